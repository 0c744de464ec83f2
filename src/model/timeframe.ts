import { EverybarError } from './errors.ts'
import { DAY_MS, type EpochMs, HOUR_MS, MINUTE_MS, SECOND_MS, type TimeRange, WEEK_MS } from './time.ts'

/**
 * A bar's width as venues write it: a count and a unit, `1s` `15m` `4h` `1d` `1w` `1M`. Case matters: `1m` is a
 * minute, `1M` a month. Made by `parseTimeframe`.
 */
export type Timeframe = string & { readonly __timeframe: true }

type Unit = 's' | 'm' | 'h' | 'd' | 'w' | 'M'
interface Parts {
  readonly count: number
  readonly unit: Unit
}

const unitMs: Readonly<Record<Exclude<Unit, 'M'>, number>> = {
  s: SECOND_MS,
  m: MINUTE_MS,
  h: HOUR_MS,
  d: DAY_MS,
  w: WEEK_MS,
}

/** The first Monday, 1970-01-05: weeks are counted from here. */
const FIRST_MONDAY_MS = 4 * DAY_MS

const parsed = new Map<string, Parts>()

/**
 * Reads `1m`, `4h`, `1M` …
 *
 * @throws EverybarError `timeframe.unknown` (abort) for anything but a positive count and one of `s m h d w M`.
 */
export function parseTimeframe(text: string): Timeframe {
  const match = /^([1-9]\d{0,3})([smhdwM])$/.exec(text)
  if (!match) {
    throw new EverybarError('timeframe.unknown', `unknown timeframe "${text}"`, {
      recovery: 'abort',
      hint: 'A timeframe is a count and a unit of s, m, h, d, w or M (month): 1m, 4h, 1d, 1w, 1M.',
    })
  }
  parsed.set(text, { count: Number(match[1]), unit: match[2] as Unit })
  return text as Timeframe
}

function partsOf(timeframe: Timeframe): Parts {
  const known = parsed.get(timeframe)
  if (known) return known
  parseTimeframe(timeframe)
  return parsed.get(timeframe)!
}

/** Width in milliseconds; `undefined` for months, which have no fixed width. */
export function fixedWidthMs(timeframe: Timeframe): number | undefined {
  const { count, unit } = partsOf(timeframe)
  return unit === 'M' ? undefined : count * unitMs[unit]
}

/** Width in milliseconds, a month counted as 31 days: an upper bound, for sizing only. */
export function widthMsMax(timeframe: Timeframe): number {
  return fixedWidthMs(timeframe) ?? partsOf(timeframe).count * 31 * DAY_MS
}

export const isCalendarTimeframe = (timeframe: Timeframe): boolean => partsOf(timeframe).unit === 'M'

/**
 * The instant the grid of a timeframe is counted from: the epoch for anything that divides a day and for days,
 * the first Monday for weeks. `undefined` where no anchor is documented and none is guessed: several days
 * (Binance's `3d`) or several weeks. There the grid is the one the first observed bar shows.
 */
export function anchorOf(timeframe: Timeframe): EpochMs | undefined {
  const { count, unit } = partsOf(timeframe)
  if (unit === 'w') return count === 1 ? FIRST_MONDAY_MS : undefined
  if (unit === 'M') return 0
  const width = count * unitMs[unit]
  return DAY_MS % width === 0 ? 0 : undefined
}

function anchorOrThrow(timeframe: Timeframe, anchorMs: EpochMs | undefined): EpochMs {
  const anchor = anchorMs ?? anchorOf(timeframe)
  if (anchor !== undefined) return anchor
  throw new EverybarError('timeframe.no-anchor', `no documented anchor for ${timeframe} bars`, {
    recovery: 'abort',
    hint: 'Pass the open time of a bar the venue has shown as the anchor.',
  })
}

/**
 * Open time of the bar that holds `ms`: the latest grid point at or before it.
 *
 * @param anchorMs any known open time, for timeframes `anchorOf` knows no anchor for; wins over it.
 * @throws EverybarError `timeframe.no-anchor` (abort) where neither is known.
 */
export function floorToBar(timeframe: Timeframe, ms: EpochMs, anchorMs?: EpochMs): EpochMs {
  const { count, unit } = partsOf(timeframe)
  if (unit === 'M') {
    const date = new Date(ms)
    const months = (date.getUTCFullYear() - 1970) * 12 + date.getUTCMonth()
    return Date.UTC(1970, months - (months % count), 1)
  }
  const width = count * unitMs[unit]
  const anchor = anchorOrThrow(timeframe, anchorMs)
  return ms - ((((ms - anchor) % width) + width) % width)
}

/** The first grid point at or after `ms`. Same anchor rules as `floorToBar`. */
export function ceilToBar(timeframe: Timeframe, ms: EpochMs, anchorMs?: EpochMs): EpochMs {
  const floor = floorToBar(timeframe, ms, anchorMs)
  return floor === ms ? ms : nextOpen(timeframe, floor)
}

/** Open time of the bar after the one that opens at `openMs`; equally, the time that bar closes. */
export function nextOpen(timeframe: Timeframe, openMs: EpochMs): EpochMs {
  const { count, unit } = partsOf(timeframe)
  if (unit !== 'M') return openMs + count * unitMs[unit]
  const date = new Date(openMs)
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + count, 1)
}

/** The bar `bars` bars away from the one that opens at `openMs`; negative counts go back. */
export function shiftBars(timeframe: Timeframe, openMs: EpochMs, bars: number): EpochMs {
  const { count, unit } = partsOf(timeframe)
  if (unit !== 'M') return openMs + bars * count * unitMs[unit]
  const date = new Date(openMs)
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + bars * count, 1)
}

/** How many bars open in `[startMs, endMs)`. Same anchor rules as `floorToBar`. */
export function countOpens(timeframe: Timeframe, range: TimeRange, anchorMs?: EpochMs): number {
  const first = ceilToBar(timeframe, range.startMs, anchorMs)
  if (first >= range.endMs) return 0
  const width = fixedWidthMs(timeframe)
  if (width !== undefined) return Math.floor((range.endMs - 1 - first) / width) + 1
  let count = 0
  for (let open = first; open < range.endMs; open = nextOpen(timeframe, open)) count++
  return count
}
