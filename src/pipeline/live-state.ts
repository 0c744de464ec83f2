import type { EpochMs } from '../model/time.ts'

/** How one series that is followed live stands. */
export interface LiveSeriesState {
  /** In the venue's own spelling once that is known. */
  readonly series: string
  /** Final bars are answered and stored up to here; `null` before the first are. */
  readonly doneMs: EpochMs | null
  /** End of the last bar that is final by the venue's clock; `null` before that clock was read. */
  readonly dueMs: EpochMs | null
  /** `dueMs` − `doneMs`, 0 at least, `null` before `doneMs` is known; time in which the market was closed does not count. */
  readonly lagMs: number | null
  /** Stores that lack bars the archive has; they are given them as soon as they take them. */
  readonly behind: readonly string[]
  /** Cycles in a row that did not bring it to where it was due. */
  readonly failures: number
  /** Of the last cycle that failed; absent once one succeeds. */
  readonly lastError?: { readonly code: string; readonly message: string }
}

/** How everything that is followed live stands, at the moment it is asked for. */
export interface LiveState {
  readonly startedAtMs: EpochMs
  /** Cycles that are over. */
  readonly cycles: number
  readonly lastCycleAtMs: EpochMs | null
  readonly series: readonly LiveSeriesState[]
}
