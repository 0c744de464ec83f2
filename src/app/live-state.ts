import type { LiveSeriesState, LiveState } from '../pipeline/live-state.ts'

export type { LiveSeriesState, LiveState } from '../pipeline/live-state.ts'

/** What became of following series live, when it is over. */
export interface LiveReport {
  readonly runId: string
  readonly cycles: number
  /** Final bars that were new. */
  readonly bars: number
  readonly durationMs: number
  readonly state: LiveState
}

/** A run that goes on until its signal stops it. */
export interface LiveRun {
  readonly state: () => LiveState
  /** Resolves after a clean stop; rejects where all of it ended, for instance with the ledger. */
  readonly done: Promise<LiveReport>
}

/** Whether every series is where it is due, and every store has its bars. */
export const isLevel = ({ series }: LiveState): boolean => series.every((one) => standing(one) === 'level')

/** `level`, `behind` (late, or a store lacks bars of it), or `waiting`: not reached once since the start. */
export const standing = ({ doneMs, lagMs, behind }: LiveSeriesState): 'level' | 'behind' | 'waiting' => {
  if (doneMs === null) return 'waiting'
  return lagMs === 0 && behind.length === 0 ? 'level' : 'behind'
}
