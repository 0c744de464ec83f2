import type { ChunkHint, ChunkPolicy, WeightPolicy } from '../../chunking/definitions.ts'
import type { HttpRequest } from '../../model/http.ts'
import { type Answer, isRecord, jsonOf, unreadable } from '../answer.ts'
import { decimalOrNaN, isEpochMs, show, whyNoTime } from '../read.ts'
import { checkBinance } from './check.ts'
import { getRequest } from './venue.ts'

/** Trades of one order at one price, added up by the venue. Ids run without gaps, per symbol. */
export interface AggTrade {
  readonly id: number
  /** Decimal text as the venue sent it: raw data stays exact. */
  readonly price: string
  readonly quantity: string
  readonly firstTradeId: number
  readonly lastTradeId: number
  readonly timeMs: number
  readonly buyerIsMaker: boolean
}

/** One page and where the next begins; no `nextCursor` once the venue has nothing later. */
export interface AggTradePage {
  readonly points: readonly AggTrade[]
  readonly nextCursor?: number
}

const docs = 'binance-spot-api-docs rest-api.md, "Compressed/Aggregate trades list"'

/**
 * GET /api/v3/aggTrades as metadata for the chunking layer: the first page by time or id, every other by `fromId`. It
 * gives no bars, so it is no `Source`; its answers are kept raw.
 */
export const aggTradesSpec = {
  id: 'binance.agg-trades',
  venue: 'binance',
  directory: 'agg-trades',
  chunkPolicy: { maxPoints: 1_000 } satisfies ChunkPolicy,
  chunkHint: {
    cursorField: 'fromId',
    timestampKey: 'timeMs',
    limitField: 'limit',
    startTimeField: 'startTime',
    endTimeField: 'endTime',
  } satisfies ChunkHint,
  weightPolicy: { staticWeight: 4 } satisfies WeightPolicy,
  bounds: { start: 'inclusive', end: 'inclusive' },
  order: 'ascending',
  bucket: 'binance.spot',
  evidence: {
    chunkPolicy: `${docs}: limit default 500, maximum 1000`,
    chunkHint: `${docs}, parameters; fromId is inclusive, so the next page begins at the last id + 1`,
    weightPolicy: `CHANGELOG 2025-03-05: weight 4 from 2025-03-10`,
    bounds: `${docs}: "timestamp in ms to get aggregate trades from INCLUSIVE", "until INCLUSIVE"`,
    order: `${docs}: with both times, the oldest first; fixture page.json`,
    bucket: 'as for klines: one counter for the API, per address',
  },
} as const

/** What a trade is told apart by: several share a millisecond. */
export const aggTradeKey = (trade: AggTrade): number => trade.id

/** The request for a chunk, from the parameters the chunking layer made of the hint. */
export function aggTradesRequest(
  baseUrl: string,
  symbol: string,
  params: Readonly<Record<string, string | number>>,
): HttpRequest {
  const at = { baseUrl, path: '/api/v3/aggTrades', bucket: aggTradesSpec.bucket, weight: 4 }
  return getRequest(at, { symbol, ...params })
}

/** Refuses what is no answer, as for klines. */
export const checkAggTrades: (answer: Answer) => void = checkBinance

/**
 * Reads a checked page strictly and whole: raw data with a hole would go unnoticed. A page with fewer trades than
 * asked for is the venue's last, since `fromId` skips nothing.
 *
 * @throws EverybarError `source.unreadable` (quarantine).
 */
export function readAggTrades(body: Uint8Array, limit: number): AggTradePage {
  const rows = jsonOf(body)
  if (!Array.isArray(rows)) throw unreadable('aggTrades is no list')
  const points = rows.map((row: unknown, i) => readTrade(row, i))
  const last = points.at(-1)
  return last && points.length >= limit ? { points, nextCursor: last.id + 1 } : { points }
}

function readTrade(row: unknown, i: number): AggTrade {
  if (!isRecord(row)) throw unreadable(`trade ${i}: ${show(row)} is no trade`)
  const { a, p, q, f, l, T, m } = row
  const fault = faultOf(row)
  if (fault !== undefined) throw unreadable(`trade ${i}: ${fault}`)
  return {
    id: a as number,
    price: String(p),
    quantity: String(q),
    firstTradeId: f as number,
    lastTradeId: l as number,
    timeMs: T as number,
    buyerIsMaker: m as boolean,
  }
}

function faultOf(row: Readonly<Record<string, unknown>>): string | undefined {
  for (const name of ['a', 'f', 'l']) {
    if (!Number.isSafeInteger(row[name])) return `${name} ${show(row[name])} is no id`
  }
  for (const name of ['p', 'q']) {
    if (Number.isNaN(decimalOrNaN(row[name]))) return `${name} ${show(row[name])} is no number`
  }
  if (typeof row.T !== 'number' || !isEpochMs(row.T)) return `T ${whyNoTime(row.T)}`
  return typeof row.m === 'boolean' ? undefined : `m ${show(row.m)} is neither true nor false`
}
