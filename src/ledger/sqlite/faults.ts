import { EverybarError, messageOf } from '../../model/errors.ts'
import { corrupt, diskFull, notWritable } from '../faults.ts'

/** SQLite's primary result codes. */
const ERROR = 1
const BUSY = 5
const LOCKED = 6
export const READONLY = 8
const IOERR = 10
const CORRUPT = 11
const FULL = 13
export const CANTOPEN = 14
const NOTADB = 26

export function resultCode(error: unknown): number | undefined {
  const code = error instanceof Error ? (error as { errcode?: unknown }).errcode : undefined
  return typeof code === 'number' ? code & 0xff : undefined
}

/** What SQLite reported, by what to do about it; anything else as it is. */
export function sqliteFault(error: unknown, path: string): unknown {
  switch (resultCode(error)) {
    case CORRUPT:
    case NOTADB:
      return corrupt(path, messageOf(error), error)
    case FULL:
      return diskFull(path, error)
    case READONLY:
    case CANTOPEN:
    case IOERR:
      return notWritable(path, error)
    case BUSY:
    case LOCKED:
      return new EverybarError('ledger.busy', `${path} is locked by another process`, {
        recovery: 'abort',
        hint: 'Wait for the other program to finish, or close it.',
        path,
        cause: error,
      })
    case ERROR:
      // The statements are ours: what they name was there when the file was made.
      return /^no such (?:table|index|column)/.test(messageOf(error))
        ? corrupt(path, messageOf(error), error)
        : error
    default:
      return error
  }
}
