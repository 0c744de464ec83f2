import type { EpochMs } from './time.ts'

/**
 * A fact about data that a person may want to see. `rejected` ones name a row that is not stored: its slot counts
 * as quarantined and keeps the range from being complete. The others are stored as they came.
 */
export type FindingKind =
  | 'duplicate' // the same row twice; one is kept
  | 'conflicting-duplicate' // two rows of one open time that differ; the later is kept
  | 'out-of-order' // rows did not ascend; they were sorted
  | 'out-of-range' // rejected: opens outside the slice that was asked
  | 'off-grid' // opens off the timeframe's grid; stored as it came
  | 'bad-ohlc' // rejected: high below low, or open or close outside them
  | 'bad-number' // rejected: null, text that is no number, NaN, Infinity
  | 'negative' // rejected: a negative price or volume
  | 'not-closed' // rejected for now: the bar was still forming
  | 'short-bar' // the venue closed the bar early; stored as it came
  | 'empty-answer' // the venue answered, with nothing
  | 'unreadable' // bars the answer held, or may have held, that could not be used; without a time: all of it
  | 'revised' // a final bar came back with other values
  | 'missing' // an expected bar the answer did not hold

export const rejectedKinds: ReadonlySet<FindingKind> = new Set(['bad-ohlc', 'bad-number', 'negative'])

export interface Finding {
  readonly kind: FindingKind
  /** The bar, or the start of the run, where there is one. */
  readonly openTimeMs?: EpochMs
  /** How many bars in a row; 1 unless said. */
  readonly count?: number
  /** Of a missing run: the venue's clock each time it was asked and did not have it, ascending. */
  readonly askedAtMs?: readonly EpochMs[]
  /** What was found, in a few words: `high 1 < low 2`. */
  readonly detail: string
}
