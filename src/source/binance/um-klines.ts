import type { EndpointSpec, SyncSource } from '../source.ts'
import { klineSource } from './endpoint.ts'
import { klinesSpec } from './klines.ts'

const docs = 'developers.binance.com, USD-M Futures, Kline/Candlestick Data'

/** GET /fapi/v1/klines: bars of USD-M futures. Its weight grows with the limit: 499 a page gives most bars per weight. */
export const umKlinesSpec: EndpointSpec = {
  ...klinesSpec,
  id: 'binance.um-klines',
  markets: ['um'],
  directory: 'um-klines',
  timeframes: klinesSpec.timeframes.filter((timeframe) => timeframe !== '1s'),
  chunkPolicy: { maxPoints: 1_500 },
  weightPolicy: {
    tiers: [
      { minLimit: 1, maxLimit: 100, weight: 1 },
      { minLimit: 100, maxLimit: 500, weight: 2 },
      { minLimit: 500, maxLimit: 1_001, weight: 5 },
      { minLimit: 1_001, weight: 10 },
    ],
  },
  bucket: 'binance.um',
  limits: [{ bucket: 'binance.um', capacity: 2_400, windowMs: 60_000 }],
  evidence: {
    markets: `${docs}: /fapi/v1 is the USD-M API`,
    timeframes: `${docs}, intervals: no 1s`,
    chunkPolicy: `${docs}: limit default 500, maximum 1500`,
    chunkHint: `${docs}, parameters`,
    weightPolicy: `${docs}, weight by limit: [1,100) 1, [100,500) 2, [500,1000] 5, above 10`,
    bounds: 'as on spot; fundingRate of the same API documents INCLUSIVE; fixture bounds.json',
    order: `${docs}, response example: ascending by open time`,
    quietBars: 'binance-public-data #103: zero-volume rows on futures; fixture quiet.json',
    settleMs: 'no document says; as on spot',
    bucket: 'developers.binance.com, USD-M Futures, General Info: limits are per address',
    limits: 'commonly 2400 a minute, not documented; exchangeInfo says the current one at run time',
    row: `${docs}, response: 12 columns, prices as text, times in milliseconds`,
  },
}

/** Bars of USD-M futures from `baseUrl`, `https://fapi.binance.com` or another host that serves `/fapi/v1`. */
export const umKlines = (baseUrl: string): SyncSource =>
  klineSource({
    spec: umKlinesSpec,
    baseUrl,
    path: '/fapi/v1/klines',
    maxPoints: 1_500,
    // It ignores a symbol, so the answer is every symbol's, about 2 MB, at weight 1.
    info: { path: '/fapi/v1/exchangeInfo', weight: 1, bySymbol: false },
  })
