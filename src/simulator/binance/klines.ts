import type { EpochMs } from '../../model/time.ts'
import type { Answer } from '../http.ts'
import type { Feed, Market } from '../market/feed.ts'
import {
  type BarSeries,
  type KlineRow,
  type Page,
  pageBytes,
  rowsOfPage,
  selectRows,
} from '../market/rows.ts'
import { json, jsonBytes, Refused } from './answers.ts'
import { badInterval, checkNames, readInterval, readLimit, readSymbol, readTime } from './parameters.ts'

export const klinesLimitMax: Readonly<Record<Market, number>> = { spot: 1000, um: 1500 }

const known: Readonly<Record<Market, readonly string[]>> = {
  spot: ['symbol', 'interval', 'startTime', 'endTime', 'timeZone', 'limit'],
  um: ['symbol', 'interval', 'startTime', 'endTime', 'limit'],
}

export interface KlinesAnswer {
  readonly answer: Answer
  readonly bars: number
}

/**
 * Bars whose open time lies between `startTime` and `endTime`, both included: without either the most recent `limit`,
 * with `startTime` the first `limit` from it, with `endTime` alone the last `limit` up to it. The bar that holds the
 * present comes last, as it stands; nothing of the future. A range the wrong way round is empty.
 */
export async function klines(
  query: URLSearchParams,
  market: Market,
  feed: Feed,
  nowMs: EpochMs,
  microseconds: boolean,
): Promise<KlinesAnswer> {
  checkNames(query, known[market])
  const { symbol } = readSymbol(query, market, feed)
  const interval = readInterval(query, market)
  const startMs = readTime(query, 'startTime')
  const endMs = readTime(query, 'endTime')
  const limit = readLimit(query, klinesLimitMax[market])
  checkTimeZone(query)
  const series = feed.series(market, symbol, interval)
  if (!series) throw badInterval()
  const page = await selectRows(series, {
    fromMs: startMs ?? 0,
    toMs: Math.min(endMs ?? nowMs, nowMs),
    limit,
    keep: startMs === undefined ? 'newest' : 'oldest',
  })
  const rows = await rowsIfChanged(series, page, nowMs)
  if (microseconds) return { answer: json((rows ?? rowsOfPage(page)).map(inMicroseconds)), bars: page.length }
  return { answer: rows ? json(rows) : jsonBytes(pageBytes(page)), bars: page.length }
}

/** The rows of a page, the last as it stands now. */
export const withFormingRow = async (series: BarSeries, page: Page, nowMs: EpochMs): Promise<KlineRow[]> =>
  (await rowsIfChanged(series, page, nowMs)) ?? rowsOfPage(page)

/** The rows with the last as it stands now, where that bar has not closed; `undefined` where all have. */
async function rowsIfChanged(series: BarSeries, page: Page, nowMs: EpochMs): Promise<KlineRow[] | undefined> {
  const last = page.pieces.at(-1)
  if (!last) return undefined
  // The widest bar is a month: only a page that ends so close to the present is worth reading.
  if (last.block.times[last.to - 1]! < nowMs - 32 * 86_400_000) return undefined
  const tail = rowsOfPage({ pieces: [{ ...last, from: last.to - 1 }], length: 1 })[0]!
  if (tail[6] < nowMs) return undefined
  const rows = rowsOfPage(page)
  rows[rows.length - 1] = await series.forming(tail, nowMs)
  return rows
}

/** Close times end on the last microsecond, as the venue's do. */
const inMicroseconds = (row: KlineRow): unknown[] => [
  row[0] * 1000,
  ...row.slice(1, 6),
  row[6] * 1000 + 999,
  ...row.slice(7),
]

/** Only UTC: bars on another zone's grid are not simulated. */
function checkTimeZone(query: URLSearchParams): void {
  const zone = query.get('timeZone')
  if (zone === null || /^[+-]?0{1,2}(:00)?$/.test(zone)) return
  throw new Refused(-1020, 'This operation is not supported.')
}
