import { json } from '../binance/answers.ts'
import {
  numberIn,
  ofMinutes,
  type Pair,
  pairsOf,
  rowsFor,
  type VenueQuery,
  type VenueRoute,
} from './shape.ts'

/** Only so many of the latest bars can be had, whatever `since` says. */
const LATEST = 720

const own: Readonly<Record<string, string>> = { BTC: 'XXBT', ETH: 'XETH', USD: 'ZUSD', EUR: 'ZEUR' }
const short: Readonly<Record<string, string>> = { BTC: 'XBT' }
const asset = (coin: string): string => own[coin] ?? coin
const idOf = ({ base, quote }: Pair): string => `${asset(base)}${asset(quote)}`

/** Kraken's public REST: `{"error":[],"result":…}`, every status 200. */
export const kraken: readonly VenueRoute[] = [
  {
    path: /^\/0\/public\/AssetPairs$/,
    endpoint: 'markets',
    serve: ({ feed }) => ok(Object.fromEntries(pairsOf(feed).map((pair) => [idOf(pair), describe(pair)]))),
  },
  {
    path: /^\/0\/public\/Time$/,
    endpoint: 'time',
    serve: ({ nowMs }) => ok({ unixtime: Math.floor(nowMs / 1_000), rfc1123: new Date(nowMs).toUTCString() }),
  },
  { path: /^\/0\/public\/OHLC$/, endpoint: 'klines', serve: ohlc },
]

const ok = (result: unknown) => ({ answer: json({ error: [], result }) })
const refused = (error: string) => ({ answer: json({ error: [error] }) })

/** `since` is exclusive and in seconds; there is no end, and the last row is the bar that is still forming. */
async function ohlc(asked: VenueQuery) {
  const { query, feed, nowMs } = asked
  const name = query.get('pair')
  const pair = pairsOf(feed).find((one) => idOf(one) === name || describe(one).altname === name)
  if (!pair) return refused('EQuery:Unknown asset pair')
  const timeframe = ofMinutes(numberIn(query, 'interval') ?? 1)
  if (!timeframe) return refused('EGeneral:Invalid arguments')
  const latest = await rowsFor(asked, {
    ...{ symbol: pair.listing.symbol, timeframe, fromMs: 0, toMs: nowMs },
    ...{ limit: LATEST, keep: 'newest' },
  })
  const since = (numberIn(query, 'since') ?? 0) * 1_000
  const rows = latest
    .filter((row) => row[0] > since)
    .map(([ms, open, high, low, close, volume, , quote, trades]) => {
      const vwap = Number(volume) > 0 ? (Number(quote) / Number(volume)).toFixed(5) : '0.0'
      return [ms / 1_000, open, high, low, close, vwap, volume, trades]
    })
  const committed = latest.at(-2)?.[0] ?? 0
  return { ...ok({ [idOf(pair)]: rows, last: committed / 1_000 }), bars: rows.length }
}

function describe({ base, quote, listing }: Pair) {
  const [b, q] = [short[base] ?? base, short[quote] ?? quote]
  return {
    altname: `${b}${q}`,
    wsname: `${b}/${q}`,
    aclass_base: 'currency',
    base: asset(base),
    aclass_quote: 'currency',
    quote: asset(quote),
    pair_decimals: listing.priceDecimals,
    lot_decimals: listing.quantityDecimals,
    leverage_buy: [],
    leverage_sell: [],
    fees: [[0, 0.4]],
    fees_maker: [[0, 0.25]],
    ordermin: '0.0001',
    costmin: '0.5',
    tick_size: '0.1',
    status: 'online',
  }
}
