import type { EndpointSpec } from '../source.ts'
import { bucketOf, type KnownVenue, weightFor } from './known-venue.ts'
import { factsOf } from './venues.ts'

/** A rate window is this long at least, and holds this many requests: bursts are short, and a stop is soon over. */
const WINDOW_MS = 1_000
const REQUESTS_A_WINDOW = 4

/** The endpoint of one market type of a venue, from what ccxt says of it and what is known besides. */
export function specOf(
  venue: KnownVenue,
  type: string,
  beyond: 'never_fetched' | 'source_absent' = 'never_fetched',
): EndpointSpec {
  const { rowsMax, cost } = venue.pages[type]!
  const { reach, bounds, order, quietBars, settleMs, evidence } = factsOf(venue.venue)
  const weight = weightFor(cost, venue.rateLimitMs)
  const bucket = bucketOf(venue.venue)
  const windowMs = Math.max(WINDOW_MS, weight * REQUESTS_A_WINDOW)
  const says = (what: string) => `ccxt ${venue.ccxt}, ${venue.venue}, ${what}`
  return {
    id: `${venue.venue}.${endpointOf(type)}`,
    venue: venue.venue,
    markets: [type],
    directory: endpointOf(type),
    timeframes: venue.timeframes,
    chunkPolicy: { maxPoints: rowsMax },
    chunkHint: {
      timestampKey: 'openTimeMs',
      limitField: 'limit',
      startTimeField: 'since',
      endTimeField: 'until',
      timeframeField: 'timeframe',
    },
    weightPolicy: { staticWeight: weight },
    bounds,
    order,
    quietBars,
    settleMs,
    bucket,
    // The budget is time: a request of cost 1 takes rateLimit milliseconds of it.
    limits: [{ bucket, capacity: windowMs, windowMs }],
    ...(reach && { reach: { bars: reach.bars, beyond } }),
    evidence: {
      ccxt: `${venue.ccxt} builds the requests and reads the answers`,
      markets: says('fetchMarkets: type'),
      timeframes: `${says('timeframes')}; weeks and months only where it is known how the venue counts them`,
      chunkPolicy: says(`features.${type}.fetchOHLCV.limit; 100 where there is none`),
      chunkHint: says('fetchOHLCV: since, limit and until, which it turns into the venue’s own parameters'),
      weightPolicy: says('the cost of the endpoint times rateLimit, in milliseconds'),
      bucket: 'ccxt, base/functions/throttle.js: one budget for the exchange',
      limits: says('rateLimit'),
      ...evidence,
    },
  }
}

export const endpointOf = (type: string): string => (type === 'spot' ? 'ohlcv' : `${type}-ohlcv`)
