import { EverybarError, messageOf } from '../model/errors.ts'

export function corrupt(path: string, what: string, cause?: unknown): EverybarError {
  return new EverybarError('ledger.corrupt', `the ledger ${path} is damaged: ${what}`, {
    recovery: 'abort',
    hint: 'Make it again from the archive: everybar rebuild --ledger. No answer is lost.',
    path,
    cause,
  })
}

export function newerVersion(path: string, found: number, known: number): EverybarError {
  return new EverybarError(
    'ledger.newer-version',
    `the ledger ${path} has version ${found}; this everybar knows up to ${known}`,
    { recovery: 'abort', hint: 'Upgrade everybar. A newer ledger is never written to.', path },
  )
}

export function diskFull(path: string, cause: unknown): EverybarError {
  return new EverybarError('ledger.disk-full', `no space left for ${path}`, {
    recovery: 'abort',
    hint: 'Free some space, then run the same again: nothing is lost.',
    path,
    cause,
  })
}

export function notWritable(path: string, cause: unknown): EverybarError {
  return new EverybarError('ledger.not-writable', `cannot read or write ${path}: ${messageOf(cause)}`, {
    recovery: 'abort',
    hint: 'Give this user the rights there, or choose another root with --root.',
    path,
    cause,
  })
}
