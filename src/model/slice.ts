import { blake2b } from '@noble/hashes/blake2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import { type Series, seriesId } from './series.ts'
import { type EpochMs, iso, type TimeRange } from './time.ts'
import { fixedWidthMs, floorToBar, shiftBars, type Timeframe } from './timeframe.ts'

/**
 * One deterministic request window of a series, anchored on the epoch: the k-th slice of a series covers
 * `[k·span, (k+1)·span)` with span = bar width × limit. Asking for an earlier start never changes a key.
 */
export interface Slice {
  readonly series: Series
  /** The endpoint that answers it: `binance.klines`. */
  readonly endpoint: string
  /** Where bars of this slice open. */
  readonly range: TimeRange
  /** Bars at most, the page size it is asked with. */
  readonly limit: number
  /** `BTCUSDT:1m:1609440000000-1609499999999:1000` (symbol:interval:first ms-last ms:limit, both inclusive). */
  readonly key: string
  /** BLAKE2b-128 of the key, 32 hexadecimal characters. */
  readonly id: string
}

/** BLAKE2b-128 of a composite key as 32 hexadecimal characters. */
export const sliceId = (key: string): string => bytesToHex(blake2b(utf8ToBytes(key), { dkLen: 16 }))

export const compositeKey = (symbol: string, timeframe: Timeframe, range: TimeRange, limit: number): string =>
  `${symbol}:${timeframe}:${range.startMs}-${range.endMs - 1}:${limit}`

/** The slice that covers exactly `range`. The range is taken as it is: see `sliceRangeAt` for the grid. */
export function slice(series: Series, endpoint: string, range: TimeRange, limit: number): Slice {
  const key = compositeKey(series.instrument.symbol, series.timeframe, range, limit)
  return { series, endpoint, range, limit, key, id: sliceId(key) }
}

/** What sets the grid slices lie on. */
export interface SliceGrid {
  readonly timeframe: Timeframe
  /** Bars a slice. */
  readonly limit: number
  /**
   * For endpoints that cap a request by days: every slice covers this many days of the calendar `offsetMs` ahead of
   * UTC (IST: 19,800,000), whatever `limit` says.
   */
  readonly days?: { readonly count: number; readonly offsetMs: number }
}

/** The slice range that holds `ms`. Months are counted from January 1970, weeks by the epoch like everything else. */
export function sliceRangeAt(grid: SliceGrid, ms: EpochMs): TimeRange {
  const { timeframe, limit, days } = grid
  if (days) {
    const span = days.count * 86_400_000
    const local = ms + days.offsetMs
    const startMs = Math.floor(local / span) * span - days.offsetMs
    return { startMs: Math.max(0, startMs), endMs: startMs + span }
  }
  const width = fixedWidthMs(timeframe)
  if (width !== undefined) {
    const anchor = timeframe.endsWith('w') ? floorToBar('1w' as Timeframe, 7 * 86_400_000) : 0
    const span = width * limit
    const k = Math.floor((ms - anchor) / span)
    return { startMs: Math.max(0, anchor + k * span), endMs: anchor + (k + 1) * span }
  }
  const open = floorToBar(timeframe, ms)
  const date = new Date(open)
  const months = (date.getUTCFullYear() - 1970) * 12 + date.getUTCMonth()
  const perBar = Number.parseInt(timeframe, 10)
  const first = Date.UTC(1970, months - (months % (perBar * limit)), 1)
  return { startMs: first, endMs: shiftBars(timeframe, first, limit) }
}

/** The slice ranges that together cover `range`, ascending, whole slices: the first may start before it. */
export function* sliceRanges(grid: SliceGrid, range: TimeRange): Generator<TimeRange> {
  for (let next = sliceRangeAt(grid, range.startMs); next.startMs < range.endMs; ) {
    yield next
    next = sliceRangeAt(grid, next.endMs)
  }
}

/** From the start of the slice that holds the first instant of `range` to the end of the one that holds its last. */
export const wholeSlices = (grid: SliceGrid, { startMs, endMs }: TimeRange): TimeRange => ({
  startMs: sliceRangeAt(grid, startMs).startMs,
  endMs: sliceRangeAt(grid, endMs - 1).endMs,
})

export const describeSlice = (s: Slice): string =>
  `${seriesId(s.series)} ${iso(s.range.startMs)} … ${iso(s.range.endMs)}`

/** What a composite key says; `undefined` for text no key has. The symbol may itself hold colons. */
export function parseCompositeKey(
  key: string,
): { symbol: string; timeframe: string; range: TimeRange; limit: number } | undefined {
  const match = /^(.+):([1-9]\d*[smhdwM]):(\d+)-(\d+):(\d+)$/.exec(key)
  if (!match) return undefined
  const [, symbol, timeframe, first, last, limit] = match
  const range = { startMs: Number(first), endMs: Number(last) + 1 }
  return range.startMs < range.endMs
    ? { symbol: symbol!, timeframe: timeframe!, range, limit: Number(limit) }
    : undefined
}
