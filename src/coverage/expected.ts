import { intersect, toRangeSet } from '../model/range-set.ts'
import type { EpochMs, TimeRange } from '../model/time.ts'
import {
  anchorOf,
  ceilToBar,
  countOpens,
  fixedWidthMs,
  floorToBar,
  nextOpen,
  shiftBars,
  type Timeframe,
  widthMsMax,
} from '../model/timeframe.ts'
import type { SessionCalendar } from './calendar.ts'

/** The grid the bars of a series are expected on. */
export interface BarGrid {
  readonly timeframe: Timeframe
  /** An open time the venue has shown, for timeframes without a documented anchor (`3d`). */
  readonly anchorMs?: EpochMs
  /** When the market is open; absent for one that never closes. */
  readonly calendar?: SessionCalendar
}

/** How many bars are expected to open in `range`: one a slot in which the market is open. */
export function expectedBars(grid: BarGrid, range: TimeRange): number {
  const { timeframe, anchorMs, calendar } = grid
  if (!calendar) return countOpens(timeframe, range, anchorMs)
  return calendar.openSlots(grid, range).reduce((sum, open) => sum + countOpens(timeframe, open, anchorMs), 0)
}

/**
 * Runs of grid slots in `range` that no bar of `openTimesMs` opens in, each from its first open time to the one after
 * its last. A bar that opens off the grid fills the slot it lies in. Slots in which the market is closed are not missing.
 *
 * @param openTimesMs ascending; times outside `range` are passed over.
 */
export function missingRuns(grid: BarGrid, range: TimeRange, openTimesMs: ArrayLike<number>): TimeRange[] {
  const { timeframe, anchorMs, calendar } = grid
  const first = ceilToBar(timeframe, range.startMs, anchorMs)
  const width = fixedWidthMs(timeframe)
  const slotOf = width
    ? (ms: number) => ms - ((((ms - first) % width) + width) % width)
    : (ms: number) => floorToBar(timeframe, ms, anchorMs)
  const runs: TimeRange[] = []
  let awaited = first
  for (let i = 0; i < openTimesMs.length; i++) {
    const ms = openTimesMs[i]!
    if (ms === awaited && width && ms < range.endMs) {
      awaited += width
      continue
    }
    if (ms < range.startMs || ms >= range.endMs) continue
    const slot = slotOf(ms)
    if (slot > awaited) runs.push({ startMs: awaited, endMs: slot })
    if (slot >= awaited) awaited = width ? slot + width : nextOpen(timeframe, slot)
  }
  if (awaited < range.endMs) {
    runs.push({ startMs: awaited, endMs: ceilToBar(timeframe, range.endMs, anchorMs) })
  }
  return calendar ? [...intersect(toRangeSet(runs), calendar.openSlots(grid, range))] : runs
}

/**
 * When, by the venue's clock, the bar that ends at `endMs` is final. A day's bar that counts as final before its width is
 * over, since trading ends early, is final as much later as a session in the evening ends.
 */
export const finalAt = ({ calendar }: BarGrid, endMs: EpochMs, settleMs: number): EpochMs =>
  endMs + settleMs + (settleMs < 0 && calendar ? calendar.lateMs(endMs - 1) : 0)

/**
 * End of the last bar that was final when the venue's clock stood at `venueTimeMs`. Where the grid is not known yet,
 * one whole bar earlier than it could be: never too late.
 */
export function finalEnd(grid: BarGrid, venueTimeMs: EpochMs, settleMs: number): EpochMs {
  const settled = Math.max(0, venueTimeMs - settleMs)
  const { timeframe, anchorMs } = grid
  if (anchorMs === undefined && anchorOf(timeframe) === undefined) {
    return Math.max(0, settled - widthMsMax(timeframe))
  }
  const endMs = floorToBar(timeframe, settled, anchorMs)
  const isFinal = finalAt(grid, endMs, settleMs) <= venueTimeMs
  return Math.max(0, isFinal ? endMs : shiftBars(timeframe, endMs, -1))
}
