import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { EverybarError, messageOf } from '../model/errors.ts'
import { iso } from '../model/time.ts'

export interface RootLockOptions {
  /** How long to wait for another process to finish before giving up; 2,000 ms unless said. */
  readonly waitMs?: number
  /** What the process does, for the message the next one shows: `sync`. No secrets: it is written to a file. */
  readonly command: string
  readonly signal?: AbortSignal
}

export interface RootLock extends AsyncDisposable {
  /** Repeating it is harmless. */
  readonly release: () => void
}

interface Holder {
  readonly pid: number
  readonly host: string
  readonly command: string
  readonly since: string
}

const POLL_MS = 50
/** SQLite's primary result codes for "somebody else holds it". */
const TAKEN = new Set([5, 6])

/**
 * Makes this the one process that writes below `root`, until it releases or dies: the lock is the operating system's,
 * on `<root>/.everybar/lock.db`, and goes with the process however that ends, so there is no stale lock to remove.
 * `lock.json` beside it only says who holds it. Makes the root where it is not there yet.
 *
 * @throws EverybarError `root.locked` (abort) naming the holder, `root.not-writable` (abort).
 */
export async function lockRoot(root: string, options: RootLockOptions): Promise<RootLock> {
  const folder = join(root, '.everybar')
  const holderPath = join(folder, 'lock.json')
  const db = openLockFile(folder)
  try {
    await acquire(db, holderPath, options)
  } catch (error) {
    tryClose(db)
    throw error
  }
  writeHolder(holderPath, options.command)
  let held = true
  const release = () => {
    if (!held) return
    held = false
    tryRemove(holderPath)
    tryClose(db) // rolls back, and so unlocks
  }
  return { release, [Symbol.asyncDispose]: async () => release() }
}

function openLockFile(folder: string): DatabaseSync {
  try {
    mkdirSync(folder, { recursive: true })
    return new DatabaseSync(join(folder, 'lock.db'), { timeout: 0 })
  } catch (error) {
    throw notWritable(folder, error)
  }
}

async function acquire(
  db: DatabaseSync,
  holderPath: string,
  { waitMs = 2_000, signal }: RootLockOptions,
): Promise<void> {
  for (let waited = 0; ; waited += POLL_MS) {
    try {
      db.exec('BEGIN EXCLUSIVE')
      return
    } catch (error) {
      const code = ((error as { errcode?: number }).errcode ?? 0) & 0xff
      if (!TAKEN.has(code)) throw notWritable(holderPath, error)
      if (waited >= waitMs) throw locked(holderPath, error)
    }
    await sleep(POLL_MS, undefined, signal && { signal })
  }
}

/** For messages only: when it cannot be written, the lock holds all the same. */
function writeHolder(path: string, command: string): void {
  const holder: Holder = { pid: process.pid, host: hostname(), command, since: iso(Date.now()) }
  const temporary = `${path}.tmp` // ours alone: we hold the lock
  try {
    writeFileSync(temporary, `${JSON.stringify(holder)}\n`)
    renameSync(temporary, path)
  } catch {
    tryRemove(temporary)
  }
}

/** Nothing was written. What holds the lock yet goes with the process. */
function tryClose(db: DatabaseSync): void {
  try {
    db.close()
  } catch {}
}

/** What stays is overwritten by the next holder. */
function tryRemove(path: string): void {
  try {
    rmSync(path, { force: true })
  } catch {}
}

function readHolder(path: string): Partial<Holder> {
  try {
    const found: unknown = JSON.parse(readFileSync(path, 'utf8'))
    return typeof found === 'object' && found !== null ? found : {}
  } catch {
    return {}
  }
}

function locked(holderPath: string, cause: unknown): EverybarError {
  const { pid, host, command, since } = readHolder(holderPath)
  const who = pid === undefined ? 'another process' : `process ${pid} on ${host} (${command}, since ${since})`
  return new EverybarError('root.locked', `the data root is in use by ${who}`, {
    recovery: 'abort',
    hint: `Wait for it to finish or stop it${pid === undefined ? '' : ` (kill ${pid})`}, or use another root with --root.`,
    path: holderPath,
    cause,
  })
}

function notWritable(path: string, cause: unknown): EverybarError {
  return new EverybarError('root.not-writable', `cannot make or write ${path}: ${messageOf(cause)}`, {
    recovery: 'abort',
    hint: 'Give this user the right to write there, or choose another root with --root.',
    path,
    cause,
  })
}
