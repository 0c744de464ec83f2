import type { EpochMs, TimeRange } from '../model/time.ts'

/** One thing found wrong, and where. */
export interface Fault {
  /** What it is: a code with an entry in `docs/errors.md`. */
  readonly kind: string
  readonly series?: string
  /** Relative to the data root. */
  readonly path?: string
  readonly openTimeMs?: EpochMs
  readonly detail: string
  readonly hint: string
  /** The slice whose answer or record it is about: what repair fetches or records again. */
  readonly sliceId?: string
  /** Where the bars open that it is about: what repair settles again. */
  readonly range?: TimeRange
}

export type OnFault = (fault: Fault) => void

export const repairHint = 'Run "everybar repair"; with --dry-run it shows first what it would do.'

/** A run of two or more as `A … B`, ends in ISO 8601. */
export const countedBars = (count: number): string => (count === 1 ? '1 bar' : `${count} bars`)
