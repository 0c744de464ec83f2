import { EverybarError, isEverybarError, messageOf } from '../../model/errors.ts'

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''

/** What a failed write to `path` means. DuckDB tells the system's reason only in its message, Node by a code. */
export function writeError(error: unknown, path: string): unknown {
  if (isEverybarError(error)) return error
  const code = codeOf(error)
  const message = messageOf(error)
  if (/^(ENOSPC|EDQUOT|EFBIG)$/.test(code) || /No space left|quota exceeded|File too large/i.test(message)) {
    return new EverybarError('store.disk-full', `no space to write ${path}`, {
      recovery: 'abort',
      hint: 'Free some space or move the data root, then run the same command again; nothing is half written.',
      path,
      cause: error,
    })
  }
  const denied = /^(EACCES|EPERM|EROFS|ENOTDIR|EISDIR|ENOENT|EEXIST|ELOOP|ENAMETOOLONG)$/.test(code)
  if (denied || /Permission denied|Read-only file system|Not a directory/i.test(message)) {
    return new EverybarError('store.not-writable', `cannot write ${path}: ${message}`, {
      recovery: 'abort',
      hint: 'Check that the data root is a folder this user may write to.',
      path,
      cause: error,
    })
  }
  return new EverybarError('store.write-failed', `writing ${path} failed: ${message}`, {
    recovery: 'retry',
    hint: 'Run the same command again; if it fails the same way, check the disk.',
    path,
    cause: error,
  })
}

/** A lake file that is not what its name promises. */
export const corrupt = (path: string, what: string, cause?: unknown): EverybarError =>
  new EverybarError('store.corrupt', `${path} ${what}`, {
    recovery: 'abort',
    hint: 'Run `everybar repair`, or `everybar rebuild --store parquet` to make the lake again from the archive.',
    path,
    cause,
  })

/** A month file that changed after it was written, before bars are merged with what it holds. */
export const altered = (path: string): EverybarError =>
  new EverybarError('store.altered', `${path} is not as it was written`, {
    recovery: 'abort',
    hint: 'Run `everybar repair`: it makes the month again from the archive.',
    path,
  })

/** What a failed read of `path` means: that the file is damaged, unless the system says what hindered it. */
export function readError(error: unknown, path: string): unknown {
  if (isEverybarError(error)) return error
  const message = messageOf(error)
  if (/Permission denied/i.test(message) || codeOf(error) === 'EACCES') {
    return new EverybarError('store.not-readable', `cannot read ${path}: permission denied`, {
      recovery: 'abort',
      hint: 'Check that this user may read the data root.',
      path,
      cause: error,
    })
  }
  if (codeOf(error) === 'EISDIR') return corrupt(path, 'is a directory', error)
  if (/^E[A-Z]+$/.test(codeOf(error))) {
    return new EverybarError('store.read-failed', `reading ${path} failed: ${message}`, {
      recovery: 'retry',
      hint: 'Run the same command again; if it fails the same way, check the disk.',
      path,
      cause: error,
    })
  }
  return corrupt(path, `cannot be read: ${message.split('\n')[0]}`, error)
}
