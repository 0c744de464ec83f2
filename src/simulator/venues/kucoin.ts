import { parseTimeframe } from '../../model/timeframe.ts'
import { json } from '../binance/answers.ts'
import { numberIn, type Pair, pairsOf, rowsFor, traded, type VenueQuery, type VenueRoute } from './shape.ts'

const LIMIT_MAX = 1_500
const units: Readonly<Record<string, string>> = { min: 'm', hour: 'h', day: 'd', week: 'w', month: 'M' }

const idOf = ({ base, quote }: Pair): string => `${base}-${quote}`

/** KuCoin's public REST, spot: `{"code":"200000","data":…}`, refusals with status 200. */
export const kucoin: readonly VenueRoute[] = [
  {
    path: /^\/api\/v2\/symbols$/,
    endpoint: 'markets',
    serve: ({ feed }) => ok(pairsOf(feed).map(describe)),
  },
  { path: /^\/api\/v1\/timestamp$/, endpoint: 'time', serve: ({ nowMs }) => ok(nowMs) },
  { path: /^\/api\/v1\/market\/candles$/, endpoint: 'klines', serve: candles },
]

const ok = (data: unknown) => ({ answer: json({ code: '200000', data }) })
const refused = (code: string, msg: string) => ({ answer: json({ code, msg }) })

/** From `startAt`, inclusive, to `endAt`, exclusive, in seconds; newest first; no row where nothing was traded. */
async function candles(asked: VenueQuery) {
  const { query, feed, nowMs } = asked
  const pair = pairsOf(feed).find((one) => idOf(one) === query.get('symbol'))
  if (!pair) return refused('400100', 'symbol not exists')
  const match = /^(\d{1,2})(min|hour|day|week|month)$/.exec(query.get('type') ?? '')
  if (!match) return refused('400100', 'type is invalid')
  const endAt = numberIn(query, 'endAt')
  const rows = await rowsFor(asked, {
    symbol: pair.listing.symbol,
    timeframe: parseTimeframe(`${match[1]}${units[match[2]!]}`),
    fromMs: (numberIn(query, 'startAt') ?? 0) * 1_000,
    toMs: endAt === undefined || endAt === 0 ? nowMs : endAt * 1_000 - 1,
    limit: LIMIT_MAX,
    keep: 'newest',
  })
  const data = traded(rows)
    .map(([ms, o, h, l, c, v, , turnover]) => [String(ms / 1_000), o, c, h, l, v, turnover])
    .reverse()
  return { ...ok(data), bars: data.length }
}

const describe = (pair: Pair) => ({
  symbol: idOf(pair),
  name: idOf(pair),
  baseCurrency: pair.base,
  quoteCurrency: pair.quote,
  feeCurrency: pair.quote,
  market: 'USDS',
  baseMinSize: '0.00001',
  quoteMinSize: '0.1',
  baseMaxSize: '10000000000',
  quoteMaxSize: '99999999',
  baseIncrement: '0.00000001',
  quoteIncrement: '0.000001',
  priceIncrement: '0.1',
  priceLimitRate: '0.1',
  minFunds: '0.1',
  isMarginEnabled: false,
  enableTrading: true,
})
