import type { EpochMs, TimeRange } from '../../model/time.ts'
import { countOpens, nextOpen, type Timeframe } from '../../model/timeframe.ts'
import { type MissingRun, UNKNOWN_CLASS } from '../coverage.ts'

/**
 * Runs of grid points without a row, as rows come by: nobody has said why they are missing.
 */
export class MissingTracker {
  readonly runs: MissingRun[] = []
  readonly #timeframe: Timeframe
  #nextMs: EpochMs
  readonly #endMs: EpochMs

  /** `range` starts on the grid. */
  constructor(timeframe: Timeframe, range: TimeRange) {
    this.#timeframe = timeframe
    this.#nextMs = range.startMs
    this.#endMs = range.endMs
  }

  /** A row on the grid, later than the ones before. */
  saw(ms: EpochMs): void {
    if (ms > this.#nextMs) this.#miss(ms)
    this.#nextMs = nextOpen(this.#timeframe, ms)
  }

  /** Everything up to the end of the range that was not seen. */
  end(): readonly MissingRun[] {
    if (this.#nextMs < this.#endMs) this.#miss(this.#endMs)
    this.#nextMs = this.#endMs
    return this.runs
  }

  #miss(endMs: EpochMs): void {
    const range = { startMs: this.#nextMs, endMs }
    const bars = countOpens(this.#timeframe, range, this.#nextMs)
    if (bars > 0) this.runs.push({ class: UNKNOWN_CLASS, range, bars })
  }
}
