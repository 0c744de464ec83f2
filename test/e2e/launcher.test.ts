import { type ChildProcess, spawn } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { inFolder, runCli } from '../run-cli.ts'

const launcher = fileURLToPath(new URL('../../bin/everybar.js', import.meta.url))
const links = new URL('../../src/cli/signals.ts', import.meta.url).href

/** Makes Node say that it is 20: the launcher then takes the way it takes on an older one. */
const OLD = `Object.defineProperty(process.versions, 'node', { value: '20.0.0' })\n`

/**
 * A package of its own around the real launcher. Its `dist/cli/main.js` is `program`, which may use the real
 * `watchLauncher` and `listenForStop`; its newer Node is this one.
 */
async function inPackage<T>(
  program: string,
  body: (run: readonly [string, ...string[]], folder: string) => Promise<T>,
  withNode = true,
): Promise<T> {
  return inFolder(async (folder) => {
    mkdirSync(join(folder, 'bin'))
    cpSync(launcher, join(folder, 'bin/everybar.js'))
    writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
    mkdirSync(join(folder, 'dist/cli'), { recursive: true })
    writeFileSync(
      join(folder, 'dist/cli/main.js'),
      `import { listenForStop, watchLauncher } from ${JSON.stringify(links)}\n${program}`,
    )
    if (withNode) {
      mkdirSync(join(folder, 'node_modules/node/bin'), { recursive: true })
      writeFileSync(join(folder, 'node_modules/node/package.json'), '{"version":"24.1.0"}')
      symlinkSync(process.execPath, join(folder, 'node_modules/node/bin/node'))
    }
    writeFileSync(join(folder, 'old.mjs'), OLD)
    return body(
      [process.execPath, '--import', join(folder, 'old.mjs'), join(folder, 'bin/everybar.js')],
      folder,
    )
  })
}

const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

async function until(condition: () => boolean, ms = 5_000): Promise<boolean> {
  for (let waited = 0; waited < ms; waited += 20) {
    if (condition()) return true
    await sleep(20)
  }
  return condition()
}

/** Starts the command and gives its first line of output, which is the inner process's id. */
async function started(
  command: readonly string[],
): Promise<{ outer: ChildProcess; innerPid: number; ended: Promise<unknown[]> }> {
  const outer = spawn(command[0]!, [...command.slice(1), 'work'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise<unknown[]>((resolve) => outer.on('exit', (...how) => resolve(how)))
  const innerPid = await new Promise<number>((resolve) =>
    outer.stdout!.once('data', (text) => resolve(Number(text))),
  )
  return { outer, innerPid, ended }
}

describe.skipIf(process.platform !== 'linux')('on an older Node (skipped elsewhere: reads /proc)', () => {
  const echo = `watchLauncher()
console.log(JSON.stringify({ args: process.argv.slice(2), fd: process.env.EVERYBAR_LAUNCHER_FD ?? null, node: process.versions.node }))
process.exitCode = 3`

  test('runs itself on the newer one: arguments, exit code, nothing left in the environment', () =>
    inPackage(echo, async (command) => {
      const { code, stdout } = await runCli(['sync', 'a b', '--from', '-30d'], { command })
      expect(code).toBe(3)
      expect(JSON.parse(stdout)).toEqual({
        args: ['sync', 'a b', '--from', '-30d'],
        fd: null,
        node: process.versions.node,
      })
    }))

  test.each([[['--help']], [['sync', '--help']], [['help', 'sync']], [['--version']], [[]]])(
    '%j starts no second Node',
    (args) =>
      inPackage(echo, async (command) => {
        expect(JSON.parse((await runCli(args, { command })).stdout).node).toBe('20.0.0')
      }),
  )

  test('standard input reaches it', () =>
    inPackage(`process.stdin.pipe(process.stdout)`, async (command) => {
      expect((await runCli(['query', '-'], { command, stdin: 'select 1' })).stdout).toBe('select 1')
    }))

  test('without a newer Node: what is needed and how to get it, exit 2', () =>
    inPackage(
      echo,
      async (command) => {
        const { code, stdout, stderr } = await runCli(['sync'], { command })
        expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
        expect(stderr).toMatch(
          /^error\[cli\.node-too-old\] everybar needs Node 24 or later, and this is 20\.0\.0\nhint: npm install node@24/,
        )
      },
      false,
    ))

  test('kill -9 of the launcher ends the work too', () =>
    inPackage(`watchLauncher()\nconsole.log(process.pid)\nsetInterval(() => {}, 1000)`, async (command) => {
      const { outer, innerPid } = await started(command)
      expect(innerPid).not.toBe(outer.pid)
      outer.kill('SIGKILL')
      expect(await until(() => !alive(innerPid)), 'the inner process is gone').toBe(true)
    }))

  const patient = (ms: number) => `watchLauncher()
const stop = listenForStop(() => {})
const beat = setInterval(() => {}, 1000)
stop.signal.addEventListener('abort', () => setTimeout(() => { clearInterval(beat); process.exit(stop.exitCode()) }, ${ms}))
console.log(process.pid)`

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s to the launcher alone stops the work cleanly: %i', (signal, code) =>
    inPackage(patient(400), async (command) => {
      const { outer, innerPid, ended } = await started(command)
      outer.kill(signal)
      await sleep(150)
      expect(alive(innerPid), 'it finishes what is in flight').toBe(true)
      expect(await ended).toEqual([code, null])
    }),
  )

  test('one Ctrl-C, which the terminal sends to both, counts once; a second stops at once', () =>
    inPackage(patient(10_000), async (command) => {
      const { outer, innerPid, ended } = await started(command)
      const press = () => [outer.pid!, innerPid].forEach((pid) => void process.kill(pid, 'SIGINT'))
      press()
      await sleep(150)
      expect(alive(innerPid)).toBe(true)
      const pressedAt = performance.now()
      press()
      expect(await ended).toEqual([130, null])
      expect(performance.now() - pressedAt).toBeLessThan(5_000)
    }))

  test('ends by the signal that ended the work', () =>
    inPackage(`process.kill(process.pid, 'SIGTERM')\nsetInterval(() => {}, 1000)`, async (command) => {
      const { code, signal } = await runCli(['sync'], { command })
      expect({ code, signal }).toEqual({ code: null, signal: 'SIGTERM' })
    }))
})
