import { EverybarError, messageOf } from '../../model/errors.ts'
import { faultCode } from '../../model/filesystem.ts'

export function corrupt(path: string, what: string): EverybarError {
  return new EverybarError('archive.corrupt', `${path} ${what}`, {
    recovery: 'quarantine',
    hint: 'Fetch that slice again (everybar repair), or restore the file from a copy.',
    path,
  })
}

/** Any fault of the file system while writing at `path`, by what to do about it. */
export function writeFault(error: unknown, path: string): EverybarError {
  if (error instanceof EverybarError) return error
  switch (faultCode(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return fault(
        'archive.disk-full',
        `no space left for ${path}`,
        path,
        error,
        'Free some space, then run the same again: nothing is lost.',
      )
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return fault(
        'archive.not-writable',
        `may not write ${path}`,
        path,
        error,
        'Give this user the right to write there, or choose another root with --root.',
      )
    case 'ENOTDIR':
    case 'EEXIST':
      return fault(
        'archive.not-writable',
        `a file stands where a folder has to be: ${path}`,
        path,
        error,
        'Move that file away, or choose another root with --root.',
      )
    default:
      return ioFault(error, path)
  }
}

/** A fault while reading at `path`: nothing is known of the content. */
export function readFault(error: unknown, path: string): EverybarError {
  return error instanceof EverybarError ? error : ioFault(error, path)
}

const ioFault = (error: unknown, path: string): EverybarError =>
  fault(
    'archive.io',
    `the system failed at ${path}: ${messageOf(error)}`,
    path,
    error,
    'Check the disk and the rights of the folder, then run the same again.',
  )

function fault(code: string, message: string, path: string, cause: unknown, hint: string): EverybarError {
  return new EverybarError(code, message, { recovery: 'abort', hint, path, cause })
}
