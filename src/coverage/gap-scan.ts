import type { EpochMs, TimeRange } from '../model/time.ts'
import { ceilToBar, fixedWidthMs, floorToBar, nextOpen } from '../model/timeframe.ts'
import type { BarGrid } from './expected.ts'

/**
 * What open times that come by run after run leave open on a grid: `missingRuns` for more than fits in memory. Times
 * have to ascend; those outside the range are passed over. A bar off the grid fills the slot it lies in.
 */
export class GapScan {
  /** Bars that open in the range to count. */
  present = 0
  /** The first open time that did not come after the one before it. */
  disorderMs: EpochMs | undefined
  readonly #grid: BarGrid
  readonly #range: TimeRange
  readonly #counted: TimeRange
  readonly #width: number | undefined
  readonly #first: EpochMs
  readonly #runs: TimeRange[] = []
  #awaited: EpochMs
  #before = Number.NEGATIVE_INFINITY

  /** @param counted the part of the range whose bars are counted; all of it unless said. */
  constructor(grid: BarGrid, range: TimeRange, counted = range) {
    this.#grid = grid
    this.#range = range
    this.#counted = counted
    this.#width = fixedWidthMs(grid.timeframe)
    this.#first = ceilToBar(grid.timeframe, range.startMs, grid.anchorMs)
    this.#awaited = this.#first
  }

  /** A few ns a bar where none is missing. */
  add(openTimesMs: Float64Array): void {
    const { startMs, endMs } = this.#range
    const counted = this.#counted
    const width = this.#width
    let before = this.#before
    for (let i = 0; i < openTimesMs.length; i++) {
      const ms = openTimesMs[i]!
      if (ms <= before) this.disorderMs ??= ms
      before = ms
      if (ms < startMs || ms >= endMs) continue
      if (ms >= counted.startMs && ms < counted.endMs) this.present++
      if (ms === this.#awaited && width !== undefined) this.#awaited = ms + width
      else this.#fill(ms)
    }
    this.#before = before
  }

  /** Runs of slots that no bar opened in, each from its first open time to the one after its last. */
  missing(): readonly TimeRange[] {
    if (this.#awaited >= this.#range.endMs) return this.#runs
    const { timeframe, anchorMs } = this.#grid
    return [
      ...this.#runs,
      { startMs: this.#awaited, endMs: ceilToBar(timeframe, this.#range.endMs, anchorMs) },
    ]
  }

  #fill(ms: EpochMs): void {
    const { timeframe, anchorMs } = this.#grid
    const width = this.#width
    const slot = width
      ? ms - ((((ms - this.#first) % width) + width) % width)
      : floorToBar(timeframe, ms, anchorMs)
    if (slot > this.#awaited) this.#runs.push({ startMs: this.#awaited, endMs: slot })
    if (slot >= this.#awaited) this.#awaited = width ? slot + width : nextOpen(timeframe, slot)
  }
}
