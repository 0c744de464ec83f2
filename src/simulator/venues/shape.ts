import { DAY_MS, type EpochMs, HOUR_MS, MINUTE_MS } from '../../model/time.ts'
import { parseTimeframe, type Timeframe } from '../../model/timeframe.ts'
import { parts } from '../binance/exchange-info.ts'
import { withFormingRow } from '../binance/klines.ts'
import type { Answer } from '../http.ts'
import type { Feed, Listing } from '../market/feed.ts'
import { type KlineRow, selectRows } from '../market/rows.ts'

/** What a request says, as far as these venues read it. */
export interface VenueQuery {
  /** What the path's pattern caught. */
  readonly caught: readonly string[]
  readonly query: URLSearchParams
  readonly feed: Feed
  readonly nowMs: EpochMs
  /** What a fault does to the rows before they take the venue's shape. */
  readonly spoilRows: (rows: readonly KlineRow[]) => readonly KlineRow[]
}

export interface VenueAnswer {
  readonly answer: Answer
  readonly bars?: number
}

/** One endpoint of a venue that is not Binance: enough for its markets, its clock and its bars. */
export interface VenueRoute {
  readonly path: RegExp
  /** What faults and counts call it: `klines`, `markets`, `time`. */
  readonly endpoint: string
  readonly serve: (asked: VenueQuery) => VenueAnswer | Promise<VenueAnswer>
}

/** A spot symbol of the feed, with its two coins. */
export interface Pair {
  readonly listing: Listing
  readonly base: string
  readonly quote: string
}

export const pairsOf = ({ listings }: Feed): readonly Pair[] =>
  listings.filter(({ market }) => market === 'spot').map((listing) => ({ listing, ...parts(listing.symbol) }))

/** Which bars, both ends included, and which to keep when there are more than `limit`. */
export interface WantedBars {
  readonly symbol: string
  readonly timeframe: Timeframe
  readonly fromMs: EpochMs
  readonly toMs: EpochMs
  readonly limit: number
  readonly keep: 'oldest' | 'newest'
}

/** Rows of the feed, ascending; the forming bar last, as it stands. Nothing of the future. */
export async function rowsFor(
  { feed, nowMs, spoilRows }: Pick<VenueQuery, 'feed' | 'nowMs' | 'spoilRows'>,
  wanted: WantedBars,
): Promise<readonly KlineRow[]> {
  const series = feed.series('spot', wanted.symbol, wanted.timeframe)
  if (!series) return []
  const page = await selectRows(series, { ...wanted, toMs: Math.min(wanted.toMs, nowMs) })
  return spoilRows(await withFormingRow(series, page, nowMs))
}

/** Minutes as a timeframe: 60 is `1h`. */
export function ofMinutes(minutes: number): Timeframe | undefined {
  const ms = minutes * MINUTE_MS
  if (!(Number.isInteger(minutes) && minutes > 0)) return undefined
  if (ms % DAY_MS === 0) return parseTimeframe(`${ms / DAY_MS}d`)
  return parseTimeframe(ms % HOUR_MS === 0 ? `${ms / HOUR_MS}h` : `${minutes}m`)
}

/** A parameter as a whole number; `undefined` where it is absent or none. */
export function numberIn(query: URLSearchParams, name: string): number | undefined {
  const text = query.get(name)
  return text !== null && /^-?\d+$/.test(text) ? Number(text) : undefined
}

/** Bars in which something was traded: some venues have no others. */
export const traded = (rows: readonly KlineRow[]): readonly KlineRow[] =>
  rows.filter((row) => Number(row[5]) > 0)
