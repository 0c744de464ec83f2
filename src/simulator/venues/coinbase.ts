import { parseTimeframe } from '../../model/timeframe.ts'
import { json } from '../binance/answers.ts'
import { numberIn, type Pair, pairsOf, rowsFor, traded, type VenueQuery, type VenueRoute } from './shape.ts'

const LIMIT_MAX = 350
const granularities: Readonly<Record<string, string>> = {
  ONE_MINUTE: '1m',
  FIVE_MINUTE: '5m',
  FIFTEEN_MINUTE: '15m',
  THIRTY_MINUTE: '30m',
  ONE_HOUR: '1h',
  TWO_HOUR: '2h',
  SIX_HOUR: '6h',
  ONE_DAY: '1d',
}

const idOf = ({ base, quote }: Pair): string => `${base}-${quote}`

/** Coinbase Advanced Trade's public REST. */
export const coinbase: readonly VenueRoute[] = [
  {
    path: /^\/api\/v3\/brokerage\/market\/products$/,
    endpoint: 'markets',
    serve: ({ feed, query }) => {
      const products = query.get('product_type') === 'FUTURE' ? [] : pairsOf(feed).map(describe)
      return { answer: json({ products, num_products: products.length }) }
    },
  },
  {
    path: /^\/v2\/time$/,
    endpoint: 'time',
    serve: ({ nowMs }) => ({
      answer: json({ data: { iso: new Date(nowMs).toISOString(), epoch: Math.floor(nowMs / 1_000) } }),
    }),
  },
  { path: /^\/api\/v3\/brokerage\/market\/products\/([^/]+)\/candles$/, endpoint: 'klines', serve: candles },
]

const refused = (status: number, error: string, details: string) => ({
  answer: json({ error, error_details: details, message: details }, status),
})

/** Both ends inclusive, in seconds; newest first; no row where nothing was traded. */
async function candles(asked: VenueQuery) {
  const { caught, query, feed } = asked
  const pair = pairsOf(feed).find((one) => idOf(one) === decodeURIComponent(caught[0] ?? ''))
  if (!pair) return refused(404, 'NOT_FOUND', 'valid product_id is required')
  const name = granularities[query.get('granularity') ?? '']
  const [start, end] = [numberIn(query, 'start'), numberIn(query, 'end')]
  if (!name || start === undefined || end === undefined) {
    return refused(400, 'INVALID_ARGUMENT', 'granularity, start and end are required')
  }
  const timeframe = parseTimeframe(name)
  const rows = await rowsFor(asked, {
    ...{ symbol: pair.listing.symbol, timeframe, fromMs: start * 1_000, toMs: end * 1_000 },
    ...{ limit: LIMIT_MAX + 1, keep: 'newest' },
  })
  if (rows.length > LIMIT_MAX) {
    return refused(400, 'INVALID_ARGUMENT', 'number of candles requested should be less than 350')
  }
  const list = traded(rows)
    .map(([ms, open, high, low, close, volume]) => {
      return { start: String(ms / 1_000), low, high, open, close, volume }
    })
    .reverse()
  return { answer: json({ candles: list }), bars: list.length }
}

const describe = (pair: Pair) => ({
  product_id: idOf(pair),
  base_currency_id: pair.base,
  quote_currency_id: pair.quote,
  base_increment: '0.00000001',
  quote_increment: '0.01',
  price_increment: '0.01',
  base_min_size: '0.00000001',
  base_max_size: '3400',
  quote_min_size: '1',
  quote_max_size: '150000000',
  status: 'online',
  trading_disabled: false,
  product_type: 'SPOT',
  alias: '',
  alias_to: [],
})
