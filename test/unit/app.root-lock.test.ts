import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { lockRoot } from '../../src/app/root-lock.ts'

const module = fileURLToPath(new URL('../../src/app/root-lock.ts', import.meta.url))
let root: string
const children: ChildProcess[] = []

beforeEach(() => {
  root = join(mkdtempSync(join(tmpdir(), 'everybar-lock-')), 'data')
})
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  rmSync(join(root, '..'), { recursive: true })
})

const lock = (waitMs = 0) => lockRoot(root, { waitMs, command: 'sync binance:spot:BTCUSDT:1m' })

/** A process that holds the lock until it is killed. */
async function holder(): Promise<ChildProcess> {
  const program = `
    import { lockRoot } from ${JSON.stringify(module)}
    await lockRoot(${JSON.stringify(root)}, { command: 'backfill' })
    console.log('held')
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.push(child)
  await once(child.stdout!, 'data')
  return child
}

test('one at a time, in one process too', async () => {
  const held = await lock()
  await expect(lock()).rejects.toMatchObject({ code: 'root.locked', recovery: 'abort' })
  held.release()
  held.release()
  const again = await lock()
  expect(existsSync(join(root, '.everybar', 'lock.json'))).toBe(true)
  await again[Symbol.asyncDispose]()
  expect(existsSync(join(root, '.everybar', 'lock.json'))).toBe(false)
})

test('names the process that holds it, and how to end it', async () => {
  const child = await holder()
  await expect(lock()).rejects.toMatchObject({
    code: 'root.locked',
    message: expect.stringMatching(new RegExp(`process ${child.pid} on .*backfill, since 20`)),
    hint: expect.stringContaining(`kill ${child.pid}`),
  })
})

test('a killed holder leaves nothing that has to be removed, even when its pid lives on', async () => {
  const child = await holder()
  child.kill('SIGKILL')
  await once(child, 'exit')
  const path = join(root, '.everybar', 'lock.json')
  const left = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
  writeFileSync(path, JSON.stringify({ ...left, pid: process.pid })) // as if the pid had been given out again
  const held = await lock()
  expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({ pid: process.pid })
  held.release()
})

test('waits for a holder that is about to finish', async () => {
  const held = await lock()
  setTimeout(held.release, 120)
  const next = await lock(5_000)
  next.release()
})

test('stops waiting when it is told to', async () => {
  const held = await lock()
  const signal = AbortSignal.timeout(50)
  await expect(lockRoot(root, { waitMs: 60_000, command: 'x', signal })).rejects.toThrow(/abort/i)
  held.release()
})

test('a root that is a file', async () => {
  writeFileSync(root, '')
  await expect(lock()).rejects.toMatchObject({ code: 'root.not-writable', path: join(root, '.everybar') })
})

test('a lock file that is no lock file', async () => {
  const held = await lock()
  held.release()
  writeFileSync(join(root, '.everybar', 'lock.db'), 'x'.repeat(4096))
  await expect(lock()).rejects.toMatchObject({ code: 'root.not-writable' })
})
