import { EverybarError, isEverybarError, type Recovery } from './errors.ts'

/** What a process says as it leaves, and a run in the ledger; each is a promise to scripts. */
export const exitCodes = {
  complete: 0,
  failed: 1,
  usage: 2,
  incomplete: 3,
  corrupt: 4,
  temporary: 5,
  noRoot: 10,
  locked: 11,
  loginExpired: 12,
  interrupted: 130,
  terminated: 143,
} as const

/** First match wins. */
const byCode: readonly (readonly [pattern: RegExp, exitCode: number])[] = [
  [/^root\.not-found$/, exitCodes.noRoot],
  [/^root\.locked$/, exitCodes.locked],
  [/(^|[.-])login-expired$/, exitCodes.loginExpired],
  [/^(cli|app)\.(unexpected|not-built)$/, exitCodes.failed],
  [/^(cli|config|series|timeframe|time)\./, exitCodes.usage],
  [/^[a-z]+\.(unknown|unsupported|bad-option|bad-faults|not-served)(-[a-z-]+)?$/, exitCodes.usage],
  [/^source\.no-bars$/, exitCodes.usage],
  [/^root\.not-a-folder$/, exitCodes.usage],
  [/^serve\.no-token$/, exitCodes.usage],
  [/^certificate\.(not-adjoining|conflict|not-readable)$/, exitCodes.usage],
  [/^query\.(bad-sql|not-a-select|not-allowed)$/, exitCodes.usage],
  [/^loader\.(bad-[a-z-]+|config|out-not-empty|ambiguous|irregular|too-short)$/, exitCodes.usage],
  [/^loader\.(incomplete|incomplete-context)$/, exitCodes.incomplete],
  [/^loader\.unreadable-file$/, exitCodes.corrupt],
  [/\.corrupt(-[a-z-]+)?$/, exitCodes.corrupt],
]

/** The exit code of an error by its code, and by its recovery where the code says nothing: what may pass is temporary. */
export function exitCodeOf(code: string, recovery?: Recovery): number {
  for (const [pattern, exitCode] of byCode) if (pattern.test(code)) return exitCode
  return recovery === 'retry' ? exitCodes.temporary : exitCodes.failed
}

export const exitCodeOfError = (error: unknown): number =>
  error instanceof EverybarError ? exitCodeOf(error.code, error.recovery) : exitCodes.failed

/**
 * The exit code of what was stopped with something left to do.
 *
 * @param reason of the signal that stopped it; its cause is the name of the process signal, where there was one.
 */
export const exitCodeOfStop = (reason: unknown): number =>
  isEverybarError(reason) && reason.cause === 'SIGTERM' ? exitCodes.terminated : exitCodes.interrupted

/** Of several problems the one a person has to see to first; anything else just leaves the range incomplete. */
const worstFirst = [exitCodes.corrupt, exitCodes.loginExpired, exitCodes.usage] as const

/**
 * The exit code of a run that finished without making everything complete: what stopped it, if that is a person's to
 * mend; 5 when waiting is all it takes; else 3.
 */
export function exitCodeOfProblems(
  problems: readonly { readonly code: string; readonly recovery?: Recovery }[],
): number {
  const codes = problems.map(({ code, recovery }) => exitCodeOf(code, recovery))
  const worst = worstFirst.find((code) => codes.includes(code))
  if (worst !== undefined) return worst
  const waiting = codes.length > 0 && codes.every((code) => code === exitCodes.temporary)
  return waiting ? exitCodes.temporary : exitCodes.incomplete
}
