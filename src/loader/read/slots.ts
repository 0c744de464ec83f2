import type { RangeSet } from '../../model/range-set.ts'
import { DAY_MS, type EpochMs, HOUR_MS, type TimeRange } from '../../model/time.ts'
import { ceilToBar, fixedWidthMs, nextOpen, type Timeframe } from '../../model/timeframe.ts'
import { ConfigError } from '../errors.ts'

/**
 * The open times a series is expected at, ascending: `firstMs`, then `next` of each, as long as they lie before
 * `endMs`. `firstMs >= endMs` where there are none.
 */
export interface Slots {
  readonly firstMs: EpochMs
  readonly endMs: EpochMs
  readonly next: (ms: EpochMs) => EpochMs
  /** How many there are. */
  readonly count: number
}

/**
 * Which regular grid the rows stand on:
 * - `calendar`: every bar of the timeframe, day and night; closed hours are rows without values;
 * - `business-days`: Monday to Friday as the market counts its days, daily bars only; holidays are rows without values;
 * - `compact`: the bars of the trading sessions only, one after the other. Their real times are not regular, so the
 *   export gives them regular ones and a mapping back.
 */
export type GridMode = 'calendar' | 'business-days' | 'compact'

/**
 * The grid of `timeframe` in `range`. `sessions`, for `compact` only, is when the market is open.
 *
 * @param anchorMs the open time of any bar, for grids that are not counted from midnight UTC. With `compact` bars are
 *   counted from the opening bell without one.
 * @throws ConfigError `loader.bad-grid`.
 */
export function slotsOf(
  mode: GridMode,
  timeframe: Timeframe,
  range: TimeRange,
  options: { readonly anchorMs?: EpochMs; readonly sessions?: RangeSet } = {},
): Slots {
  switch (mode) {
    case 'calendar':
      return calendar(timeframe, range, options.anchorMs)
    case 'business-days':
      return businessDays(timeframe, range, options.anchorMs)
    case 'compact':
      return compact(timeframe, range, options)
    default:
      return mode satisfies never
  }
}

function calendar(timeframe: Timeframe, range: TimeRange, anchorMs?: EpochMs): Slots {
  const firstMs = ceilToBar(timeframe, range.startMs, anchorMs)
  const width = fixedWidthMs(timeframe)
  const next = width === undefined ? (ms: EpochMs) => nextOpen(timeframe, ms) : (ms: EpochMs) => ms + width
  const count =
    width === undefined
      ? walk(firstMs, range.endMs, next)
      : Math.max(0, Math.ceil((range.endMs - firstMs) / width))
  return { firstMs, endMs: range.endMs, next, count }
}

/**
 * Midnight UTC of the day a daily bar is of, by the market's own clock: 18:30 UTC on Sunday is Monday in India. Thirteen
 * hours into a day that began between UTC+13 and UTC-10, its date is the one of UTC.
 */
export const ownDay = (openMs: EpochMs): EpochMs => Math.floor((openMs + 13 * HOUR_MS) / DAY_MS) * DAY_MS

function businessDays(timeframe: Timeframe, range: TimeRange, anchorMs?: EpochMs): Slots {
  if (timeframe !== '1d') throw badGrid('business-days is for daily bars', timeframe)
  const onward = (ms: EpochMs): EpochMs => {
    const day = new Date(ownDay(ms)).getUTCDay()
    return ms + (day === 6 ? 2 : day === 0 ? 1 : 0) * DAY_MS
  }
  const next = (ms: EpochMs) => onward(ms + DAY_MS)
  const firstMs = onward(ceilToBar(timeframe, range.startMs, anchorMs))
  return { firstMs, endMs: range.endMs, next, count: walk(firstMs, range.endMs, next) }
}

function compact(
  timeframe: Timeframe,
  range: TimeRange,
  { sessions, anchorMs }: { readonly sessions?: RangeSet; readonly anchorMs?: EpochMs },
): Slots {
  if (!sessions) throw badGrid('compact needs the sessions of the market', null)
  let at = 0
  /** First slot at or after `ms` that opens within a session. Sessions are only ever walked forwards. */
  const onward = (ms: EpochMs): EpochMs => {
    if (at > 0 && ms < sessions[at - 1]!.endMs) at = 0
    for (; at < sessions.length; at++) {
      const session = sessions[at]!
      // Bars are counted from the opening bell where the timeframe does not divide the day evenly.
      const open = ceilToBar(timeframe, Math.max(ms, session.startMs), anchorMs ?? session.startMs)
      if (open < session.endMs) return open
    }
    return range.endMs
  }
  const next = (ms: EpochMs) => onward(nextOpen(timeframe, ms))
  const firstMs = onward(range.startMs)
  return { firstMs, endMs: range.endMs, next, count: walk(firstMs, range.endMs, next) }
}

function walk(firstMs: EpochMs, endMs: EpochMs, next: (ms: EpochMs) => EpochMs): number {
  let count = 0
  for (let ms = firstMs; ms < endMs; ms = next(ms)) count++
  return count
}

const badGrid = (message: string, value: unknown): ConfigError =>
  new ConfigError('loader.bad-grid', message, {
    value,
    hint: 'Use the grid calendar, business-days with 1d bars, or compact with a market calendar.',
  })
