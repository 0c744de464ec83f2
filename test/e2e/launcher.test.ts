import { type ChildProcess, spawn } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
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

async function until(condition: () => boolean, ms = 30_000): Promise<boolean> {
  for (let waited = 0; waited < ms; waited += 20) {
    if (condition()) return true
    await sleep(20)
  }
  return condition()
}

interface Started {
  readonly outer: ChildProcess
  readonly innerPid: number
  /** Waits for a line of output. */
  readonly line: () => Promise<string>
  readonly ended: Promise<unknown[]>
}

/** Starts the command, whose first line of output is the inner process's id. */
async function started(command: readonly string[]): Promise<Started> {
  const outer = spawn(command[0]!, [...command.slice(1), 'work'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = new Promise<unknown[]>((resolve) => outer.on('exit', (...how) => resolve(how)))
  const lines = createInterface({ input: outer.stdout! })[Symbol.asyncIterator]()
  const line = async () => String((await lines.next()).value)
  return { outer, innerPid: Number(await line()), line, ended }
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

  const go = 'dist/cli/go'
  /** Says that it was told to stop, and ends when the file `go` is there; at a second signal at once. */
  const patient = `import { existsSync } from 'node:fs'
watchLauncher()
const stop = listenForStop(() => console.log('stopping'))
const may = () => stop.exitCode() !== undefined && existsSync(new URL('./go', import.meta.url))
setInterval(() => { if (may()) process.exit(stop.exitCode()) }, 10)
console.log(process.pid)`

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s to the launcher alone stops the work cleanly: %i', (signal, code) =>
    inPackage(patient, async (command, folder) => {
      const { outer, innerPid, line, ended } = await started(command)
      outer.kill(signal)
      expect(await line()).toBe('stopping')
      expect(alive(innerPid), 'it finishes what is in flight').toBe(true)
      writeFileSync(join(folder, go), '')
      expect(await ended).toEqual([code, null])
    }),
  )

  test('one Ctrl-C, which the terminal sends to both, counts once; a second stops at once', () =>
    inPackage(patient, async (command) => {
      const { outer, innerPid, line, ended } = await started(command)
      const press = () => [outer.pid!, innerPid].forEach((pid) => void process.kill(pid, 'SIGINT'))
      press()
      expect(await line()).toBe('stopping')
      await sleep(150)
      expect(alive(innerPid), 'the press that came twice counts once').toBe(true)
      press()
      expect(await ended).toEqual([130, null])
    }))

  test('ends by the signal that ended the work', () =>
    inPackage(`process.kill(process.pid, 'SIGTERM')\nsetInterval(() => {}, 1000)`, async (command) => {
      const { code, signal } = await runCli(['sync'], { command })
      expect({ code, signal }).toEqual({ code: null, signal: 'SIGTERM' })
    }))
})
