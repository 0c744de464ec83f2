import { parseTimeframe } from '../../model/timeframe.ts'
import { json } from '../binance/answers.ts'
import { numberIn, ofMinutes, pairsOf, rowsFor, type VenueQuery, type VenueRoute } from './shape.ts'

const LIMIT_MAX = 1_000
const words: Readonly<Record<string, string>> = { D: '1d', W: '1w', M: '1M' }

/** Bybit's V5 REST, spot: `{"retCode":0,…,"result":…}`, refusals with status 200. */
export const bybit: readonly VenueRoute[] = [
  {
    path: /^\/v5\/market\/instruments-info$/,
    endpoint: 'markets',
    serve: ({ feed, query, nowMs }) => {
      const category = query.get('category') ?? 'spot'
      return ok({ category, list: category === 'spot' ? pairsOf(feed).map(describe) : [] }, nowMs)
    },
  },
  {
    path: /^\/v5\/market\/time$/,
    endpoint: 'time',
    serve: ({ nowMs }) =>
      ok({ timeSecond: String(Math.floor(nowMs / 1_000)), timeNano: `${nowMs}000000` }, nowMs),
  },
  { path: /^\/v5\/market\/kline$/, endpoint: 'klines', serve: kline },
]

const ok = (result: unknown, time: number) => ({
  answer: json({ retCode: 0, retMsg: 'OK', result, retExtInfo: {}, time }),
})
const refused = (retMsg: string, time: number) => ({
  answer: json({ retCode: 10_001, retMsg, result: {}, retExtInfo: {}, time }),
})

/** Both ends inclusive, newest first; what is over the limit is left out at the old end. */
async function kline(asked: VenueQuery) {
  const { query, feed, nowMs } = asked
  const symbol = query.get('symbol') ?? ''
  if (!pairsOf(feed).some(({ listing }) => listing.symbol === symbol)) {
    return refused('params error: symbol invalid', nowMs)
  }
  const interval = query.get('interval') ?? ''
  const word = words[interval]
  const timeframe = word ? parseTimeframe(word) : ofMinutes(Number(interval))
  if (!timeframe) return refused('Invalid period!', nowMs)
  const rows = await rowsFor(asked, {
    symbol,
    timeframe,
    fromMs: numberIn(query, 'start') ?? 0,
    toMs: numberIn(query, 'end') ?? nowMs,
    limit: Math.min(LIMIT_MAX, numberIn(query, 'limit') ?? 200),
    keep: 'newest',
  })
  const list = rows.map(([ms, o, h, l, c, v, , turnover]) => [String(ms), o, h, l, c, v, turnover]).reverse()
  return { ...ok({ category: 'spot', symbol, list }, nowMs), bars: list.length }
}

const describe = ({ base, quote, listing }: ReturnType<typeof pairsOf>[number]) => ({
  symbol: listing.symbol,
  baseCoin: base,
  quoteCoin: quote,
  innovation: '0',
  status: 'Trading',
  marginTrading: 'none',
  lotSizeFilter: { basePrecision: '0.000001', quotePrecision: '0.00000001', minOrderQty: '0.0001' },
  priceFilter: { tickSize: '0.01' },
})
