import { EverybarError } from '../model/errors.ts'
import { series as seriesNamed } from '../model/series.ts'
import { type TimeRange, timeRange } from '../model/time.ts'
import { type Collected, collectPages, pageSizeOf, type RawEndpoint } from '../pipeline/collect-pages.ts'
import { jobOf } from '../pipeline/house.ts'
import { Venues } from '../pipeline/venue-clock.ts'
import {
  type AggTrade,
  aggTradeKey,
  aggTradesRequest,
  aggTradesSpec,
  checkAggTrades,
  readAggTrades,
} from '../source/binance/agg-trades.ts'
import { type OpenHouse, openHouse } from './house.ts'
import { contextOf, type LibraryOptions } from './library-options.ts'

export interface CollectTradesOptions extends LibraryOptions {
  /** A spot symbol: `BTCUSDT`. */
  readonly symbol: string
  /** Where to begin: an id, or the start of a range. */
  readonly fromId?: number
  readonly range?: TimeRange
  /** Trades at most. */
  readonly limit?: number
  /** Called with the trades of each page, ascending by id, each once. */
  readonly onTrades?: (trades: readonly AggTrade[]) => void | Promise<void>
}

/**
 * Keeps the venue's aggregate trades raw, page by page, below `<root>/binance/agg-trades/raw/<symbol>/by-id/`. The
 * same planner and executor as for bars, by cursor: pages begin at whole thousands of ids, so a run that is repeated or
 * begins elsewhere asks only for pages that are not there or were not full. Holds one page.
 *
 * @throws EverybarError `series.no-range` (abort) without `fromId` and `range`, and what the archive, the fetcher and the
 *   endpoint throw; `root.locked` (abort) while another process writes there.
 */
export async function collectTrades(options: CollectTradesOptions): Promise<Collected> {
  const { symbol, fromId, range, limit, onTrades, signal } = options
  if (fromId === undefined && range === undefined) throw nowhere(symbol)
  const within = range && timeRange(range.startMs, range.endMs)
  const house = await openHouse({ ...contextOf(options), access: 'write', command: 'collect trades' })
  try {
    const endpoint = aggTradesOf(house, symbol)
    const clock = await new Venues(house).clockOf(minutesOf(house, symbol), signal)
    const first = fromId ?? (await idAt(house, endpoint, within!.startMs, signal))
    if (first === undefined) return nothing
    const size = pageSizeOf(endpoint.spec)
    const folder = {
      venue: aggTradesSpec.venue,
      directory: aggTradesSpec.directory,
      symbol,
      timeframe: 'by-id',
    }
    return await collectPages(house, {
      endpoint,
      folder,
      fromId: first - (first % size),
      venueNowMs: clock.nowMs,
      firstId: first,
      ...(within && { range: within }),
      ...(limit !== undefined && { limit }),
      ...(onTrades && { onPoints: onTrades }),
      ...(signal && { signal }),
    })
  } finally {
    await house[Symbol.asyncDispose]()
  }
}

function aggTradesOf(house: OpenHouse, symbol: string): RawEndpoint<AggTrade> {
  const { base_url: baseUrl } = house.config.sources.binance
  return {
    spec: aggTradesSpec,
    request: (params) => aggTradesRequest(baseUrl, symbol, params),
    check: checkAggTrades,
    read: readAggTrades,
    keyOf: aggTradeKey,
  }
}

/** The venue's clock and limits come with any series of the symbol. */
const minutesOf = (house: OpenHouse, symbol: string) =>
  jobOf(house, seriesNamed({ venue: aggTradesSpec.venue, market: 'spot', symbol }, '1m'))

/** Id of the first trade at or after `startMs`; `undefined` where the venue has none yet. */
async function idAt(
  { fetcher }: OpenHouse,
  endpoint: RawEndpoint<AggTrade>,
  startMs: number,
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  const options = { check: endpoint.check, ...(signal && { signal }) }
  const { body } = await fetcher.fetch(endpoint.request({ startTime: startMs, limit: 1 }), options)
  return endpoint.read(body, 1).points[0]?.id
}

const nothing: Collected = {
  chunksUsed: 0,
  requests: 0,
  weightConsumed: 0,
  throttleApplied: false,
  throttledMs: 0,
  totalPoints: 0,
  outOfRange: 0,
  duplicates: 0,
  stale: 0,
  endedBy: 'cursor-end',
  pagesFetched: 0,
  pagesReused: 0,
}

const nowhere = (symbol: string): EverybarError =>
  new EverybarError('series.no-range', `which trades of ${symbol}? Neither an id nor a range was given`, {
    recovery: 'abort',
    hint: 'Give fromId, or a range of time.',
  })
