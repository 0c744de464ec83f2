import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { ParquetLoaderError } from '../errors.ts'

/**
 * Runs `deed` while no other process, nor another call here, holds `path`. The lock is one the operating system keeps
 * (SQLite's, on an empty file), so it ends with its process and is never stale.
 *
 * @throws ParquetLoaderError `loader.state-locked` (retry) after `waitMs`.
 */
export async function withLock<T>(path: string, waitMs: number, deed: () => Promise<T>): Promise<T> {
  const lock = await acquire(path, waitMs)
  try {
    return await deed()
  } finally {
    lock.close()
  }
}

async function acquire(path: string, waitMs: number): Promise<DatabaseSync> {
  const deadline = performance.now() + waitMs
  for (let pauseMs = 2; ; pauseMs = Math.min(pauseMs * 2, 50)) {
    const database = open(path)
    try {
      database.exec('PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE')
      return database
    } catch (cause) {
      database.close()
      const busy = /locked|busy/i.test(String((cause as Error).message))
      if (!busy || performance.now() > deadline) throw lockFault(path, cause, busy)
    }
    await sleep(pauseMs)
  }
}

function open(path: string): DatabaseSync {
  try {
    return new DatabaseSync(path)
  } catch (cause) {
    throw lockFault(path, cause, false)
  }
}

const lockFault = (path: string, cause: unknown, busy: boolean): ParquetLoaderError =>
  busy
    ? new ParquetLoaderError('loader.state-locked', 'another process holds the state file for too long', {
        path,
        cause,
        recovery: 'retry',
        hint: 'Wait for the other process to finish, or stop it; the lock ends with it.',
      })
    : new ParquetLoaderError('loader.not-writable', 'cannot make the lock file', {
        path,
        cause,
        hint: 'Check that the folder exists and that you may write to it; a damaged lock file may be deleted.',
      })
