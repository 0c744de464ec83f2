import type { EndpointSpec, SyncSource } from '../source.ts'
import { klineSource } from './endpoint.ts'

const docs = 'binance-spot-api-docs rest-api.md'

/** GET /api/v3/klines: spot bars. */
export const klinesSpec: EndpointSpec = {
  id: 'binance.klines',
  venue: 'binance',
  markets: ['spot'],
  directory: 'klines',
  timeframes: [
    '1s',
    ...['1m', '3m', '5m', '15m', '30m'],
    ...['1h', '2h', '4h', '6h', '8h', '12h'],
    ...['1d', '3d', '1w', '1M'],
  ],
  chunkPolicy: { maxPoints: 1_000 },
  chunkHint: {
    timestampKey: 'openTimeMs',
    limitField: 'limit',
    startTimeField: 'startTime',
    endTimeField: 'endTime',
    timeframeField: 'interval',
  },
  weightPolicy: { staticWeight: 2 },
  bounds: { start: 'inclusive', end: 'inclusive' },
  order: 'ascending',
  quietBars: 'emitted',
  settleMs: 5_000,
  bucket: 'binance.spot',
  limits: [{ bucket: 'binance.spot', capacity: 6_000, windowMs: 60_000 }],
  evidence: {
    markets: `${docs}, "Kline/Candlestick data": /api/v3 is the spot API`,
    timeframes: `${docs}, "Kline/Candlestick data", supported kline intervals; 1s is listed for spot only`,
    chunkPolicy: `${docs}, "Kline/Candlestick data": limit default 500, maximum 1000`,
    chunkHint: `${docs}, "Kline/Candlestick data", parameters`,
    weightPolicy: `${docs}, "Kline/Candlestick data": weight 2, any limit`,
    bounds:
      'binance-connector-php examples/spot/market/klines.php asks startTime=endTime=1640995200000; CHANGELOG 2023-03-13 ' +
      'allows it; fixture bounds.json',
    order: `${docs}, "General API Information": chronological, with startTime the oldest first`,
    quietBars:
      'ccxt issue #25610 shows a zero-volume REST row; binance-public-data #169: none while trading is suspended; ' +
      'fixture quiet.json',
    settleMs:
      'no document says; rows come from a database fed by the matching engine ("Data Source: Database"), so a bar is ' +
      'trusted five seconds after its close by the venue clock, and the slice is fetched once more when whole',
    bucket: `${docs}, "IP Limits": limits are per address, one counter for the API`,
    limits:
      'CHANGELOG 2023-08-25: REQUEST_WEIGHT 6000 a minute; exchangeInfo says the current one at run time',
    row: `${docs}, "Kline/Candlestick data", response: 12 columns, prices as text, times in milliseconds`,
  },
}

/** Spot bars from `baseUrl`, `https://api.binance.com` or another host that serves `/api/v3`. */
export const klines = (baseUrl: string): SyncSource =>
  klineSource({
    spec: klinesSpec,
    baseUrl,
    path: '/api/v3/klines',
    maxPoints: 1_000,
    info: { path: '/api/v3/exchangeInfo', weight: 20, bySymbol: true },
  })
