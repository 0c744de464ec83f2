import { HOUR_MS, MINUTE_MS } from '../../model/time.ts'
import type { EndpointSpec, RateLimit, SyncSource } from '../source.ts'
import { historicalSource, type KiteContext } from './historical.ts'
import {
  barsInDays,
  type DayCaps,
  defaultDayCaps,
  IST_OFFSET_MS,
  kiteAnchorOf,
  kiteIntervalOf,
} from './intervals.ts'

export const KITE_BUCKET = 'kite.historical'

export interface KiteOptions extends Partial<KiteContext> {
  /** Requests a second, 3 unless given. Less leaves room for other programs with the same key. */
  readonly requestsPerSecond?: number
}

const docs = 'kite.trade/docs/connect/v3/historical'

/**
 * So many requests in every second, wherever it begins; a rate below one is one in so many seconds. One between two whole
 * numbers is kept over a shorter window, of which a second may hold parts of three: a second limit keeps it to the whole
 * number above, which the venue's own limit is not below.
 */
export function kiteLimits(requestsPerSecond = 3): readonly RateLimit[] {
  const capacity = Math.max(1, Math.floor(requestsPerSecond))
  const windowMs = Math.ceil((capacity / requestsPerSecond) * 1_000)
  const most = Math.ceil(requestsPerSecond)
  const limit = { bucket: KITE_BUCKET, counts: 'requests' } as const
  return [
    { ...limit, capacity, windowMs },
    ...(windowMs < 1_000 ? [{ ...limit, capacity: most, windowMs: 1_000 }] : []),
  ]
}

/** The exchanges in the venue's list, as selectors name them. */
export const kiteMarkets = ['nse', 'bse', 'nfo', 'bfo', 'cds', 'bcd', 'mcx', 'nco'] as const

function specOf(
  part: Pick<EndpointSpec, 'timeframes' | 'settleMs'> & { readonly name: string; readonly market: string },
  caps: DayCaps,
  limits: readonly RateLimit[],
): EndpointSpec {
  const daysOf = (timeframe: string): number => caps[kiteIntervalOf(timeframe) ?? 'day']
  const { name, market, timeframes, settleMs } = part
  return {
    id: `kite.${market}-${name}`,
    venue: 'kite',
    markets: [market],
    directory: market,
    timeframes,
    settleMs,
    chunkPolicy: ({ timeframe }) => ({ maxPoints: barsInDays(timeframe, daysOf(timeframe)) }),
    chunkHint: {
      timestampKey: 'date',
      startTimeField: 'from',
      endTimeField: 'to',
      timeframeField: 'interval',
    },
    weightPolicy: { staticWeight: 1 },
    bounds: { start: 'inclusive', end: 'inclusive' },
    order: 'ascending',
    quietBars: 'omitted',
    bucket: KITE_BUCKET,
    limits,
    sliceDays: (timeframe) => ({ count: daysOf(timeframe), offsetMs: IST_OFFSET_MS }),
    anchorMs: kiteAnchorOf,
    openSlices: 'tail',
    evidence: {
      markets: 'kite.trade/docs/connect/v3/market-quotes, "Instruments": exchange',
      timeframes: `${docs}: minute, 3minute, 5minute, 10minute, 15minute, 30minute, 60minute, day; no week, no month`,
      chunkPolicy:
        'days a request: 60, 100, 200, 400, 2000 by interval; told by many users of the API and not by its pages, ' +
        'hence configurable; bars: as many as a market that never closes would have',
      chunkHint: `${docs}, parameters`,
      weightPolicy: 'kite.trade forum 11404: requests are counted, whatever they ask for',
      bounds:
        'kite.trade forum, comment 37886: from and to are inclusive on the start of a candle; fixture bounds.json',
      order: `${docs}, response example; fixture minute.json`,
      quietBars: 'users report minutes missing for illiquid instruments; no page says so; fixture quiet.json',
      settleMs:
        'comment 37886: a candle asked for before its end is partial. A minute after the close for intraday candles, ' +
        'half an hour after the market closes at 15:30, or after midnight where it trades into the night, for days: ' +
        'a choice, no document says',
      bucket: 'kite.trade forum 11404: historical data has a limit of its own',
      limits: 'kite.trade forum 11404: 3 requests a second, else 429 until the window is over',
      row: `${docs}: [date, open, high, low, close, volume, oi]; fixtures minute.json, interest.json`,
    },
  }
}

const nobody: KiteContext = {
  baseUrl: 'https://api.kite.trade',
  authorization: () => 'token',
  tokenOf: () => undefined,
  dayCaps: defaultDayCaps,
}

/** Exchanges of shares, and of what derives from them: they close at 15:30, the others later. */
const closeInDaylight: ReadonlySet<string> = new Set(['nse', 'bse', 'nfo', 'bfo'])

const kindsOf = (market: string) => [
  { name: 'day', timeframes: ['1d'], settleMs: closeInDaylight.has(market) ? -8 * HOUR_MS : HOUR_MS / 2 },
  { name: 'intraday', timeframes: ['1m', '3m', '5m', '10m', '15m', '30m', '1h'], settleMs: MINUTE_MS },
]

/**
 * The venue's candles, an endpoint for each exchange, since a symbol may be listed on several: `kite.nse-day`,
 * `kite.nse-intraday` … The two differ in when a bar is final. A day's bar is 24 hours wide from midnight IST. Where trading
 * ends at 15:30 it is final half an hour later, eight hours before its width is over; where it goes on into the night,
 * half an hour after midnight.
 */
export function kiteSources(options: KiteOptions = {}): readonly SyncSource[] {
  const { requestsPerSecond, ...given } = options
  const context: KiteContext = { ...nobody, ...given }
  const limits = kiteLimits(requestsPerSecond)
  return kiteMarkets.flatMap((market) =>
    kindsOf(market).map((kind) =>
      historicalSource(specOf({ ...kind, market }, context.dayCaps, limits), context),
    ),
  )
}
