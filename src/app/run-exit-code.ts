import { exitCodeOfProblems, exitCodeOfStop, exitCodes } from '../model/exit-code.ts'
import type { SyncReport } from './api.ts'
import { isLevel, type LiveState } from './live-state.ts'

/**
 * The exit code of a sync or an import: what its process leaves with, its run has in the ledger, and its job tells.
 *
 * @param stop the signal that stopped it, where `report` says it was interrupted.
 */
export function syncExitCode(report: SyncReport, stop: AbortSignal): number {
  const { complete, interrupted, series, kite } = report
  if (interrupted && !complete) return exitCodeOfStop(stop.reason)
  const left = new Set((kite?.skipped ?? []).map((one) => one.series))
  const problems = series.filter((one) => !left.has(one.series)).flatMap((one) => one.problems)
  const code = complete ? exitCodes.complete : exitCodeOfProblems(problems)
  // Whatever the reasons: an import that got nothing at all has failed.
  const nothing = kite?.allFailed === true && code !== exitCodes.loginExpired && code !== exitCodes.temporary
  return nothing ? exitCodes.failed : code
}

/** The same of following series live: `stop` ended it. */
export const liveExitCode = (state: LiveState, stop: AbortSignal): number =>
  isLevel(state) ? exitCodes.complete : exitCodeOfStop(stop.reason)
