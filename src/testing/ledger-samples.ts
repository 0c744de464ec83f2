import type { LedgerSeries, SliceRecord, StoreFacet } from '../ledger/ledger.ts'
import { compositeKey, sliceId } from '../model/slice.ts'
import { type TimeRange, timeRange } from '../model/time.ts'
import type { Timeframe } from '../model/timeframe.ts'

export const at = 1_704_067_200_000
const SPAN_MS = 60_000_000

export const btc: LedgerSeries = { seriesId: 'binance:spot:BTCUSDT:1m', endpoint: 'binance.klines' }
export const eth: LedgerSeries = { seriesId: 'binance:spot:ETHUSDT:1m', endpoint: 'binance.klines' }

/** From the start of slice `from` up to that of slice `to`; halves are allowed. */
export const span = (from: number, to: number): TimeRange => timeRange(at + from * SPAN_MS, at + to * SPAN_MS)

export const hash = (text: string) => text.padEnd(64, '0')

/** A record of the n-th slice, `ok` unless said. */
export function sliceRecord(n: number, fields: Partial<SliceRecord> = {}): SliceRecord {
  const range = fields.range ?? span(n, n + 1)
  const key = compositeKey('BTCUSDT', '1m' as Timeframe, range, fields.limit ?? 1000)
  return {
    sliceId: sliceId(key),
    key,
    range,
    limit: 1000,
    status: 'ok',
    httpStatus: 200,
    items: 1000,
    firstMs: range.startMs,
    lastMs: range.endMs - 60_000,
    requestedAtMs: at + 1,
    completedAtMs: at + 251,
    error: null,
    sha256: hash('a'),
    venueTimeMs: at + 301,
    findings: [],
    ...fields,
  }
}

export const idOf = (n: number) => sliceRecord(n).sliceId
export const facet = (n: number, sha256 = hash('a')): StoreFacet => ({ sliceId: idOf(n), sha256, rows: 1000 })
export const failed = {
  status: 'failed',
  sha256: null,
  httpStatus: 500,
  items: 0,
  error: 'HTTP 500',
} as const
