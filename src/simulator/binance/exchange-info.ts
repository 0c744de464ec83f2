import type { EpochMs } from '../../model/time.ts'
import type { Feed, Listing, Market } from '../market/feed.ts'
import { Refused } from './answers.ts'
import { intervalOf } from './limits.ts'
import { findSymbol } from './parameters.ts'

/** Longest first, so that `FDUSD` is not read as `USD`. */
const quotes = 'FDUSD USDT USDC TUSD BUSD USDP DAI BTC ETH BNB EUR TRY BRL JPY GBP AUD USD'.split(' ')

/** Written for a limit that is none, since the answer has to be a number. */
const UNLIMITED = 1_000_000_000

export interface StatedLimits {
  readonly weight: number
  readonly windowMs: number
}

/** What `/api/v3/exchangeInfo` and `/fapi/v1/exchangeInfo` say of the venue and its symbols. */
export function exchangeInfo(
  query: URLSearchParams,
  market: Market,
  feed: Feed,
  nowMs: EpochMs,
  limits: StatedLimits,
): unknown {
  const symbols = wanted(query, market, feed)
  const common = { timezone: 'UTC', serverTime: Math.floor(nowMs), rateLimits: rateLimits(market, limits) }
  return market === 'spot'
    ? { ...common, exchangeFilters: [], symbols: symbols.map(spotSymbol) }
    : {
        ...common,
        futuresType: 'U_MARGINED',
        exchangeFilters: [],
        assets: [],
        symbols: symbols.map(umSymbol),
      }
}

function wanted(query: URLSearchParams, market: Market, feed: Feed): readonly Listing[] {
  const one = query.get('symbol')
  const several = query.get('symbols')
  if (one !== null && several !== null)
    throw new Refused(-1128, 'Combination of optional parameters invalid.')
  if (one !== null) return [findSymbol(one, market, feed)]
  if (several !== null) return listOf(several).map((symbol) => findSymbol(symbol, market, feed))
  return feed.listings.filter((listing) => listing.market === market)
}

function listOf(text: string): string[] {
  const malformed = new Refused(
    -1100,
    'Illegal characters found in parameter \'symbols\'; legal range is \'^\\[("[\\w\\-._&&[^a-z]]{1,50}"(,"[\\w\\-._&&[^a-z]]{1,50}"){0,}){0,1}\\]$\'.',
  )
  try {
    const value: unknown = JSON.parse(text)
    if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value
  } catch {
    throw malformed
  }
  throw malformed
}

function rateLimits(market: Market, { weight, windowMs }: StatedLimits): unknown[] {
  const limit = Number.isFinite(weight) ? weight : UNLIMITED
  const requestWeight = { rateLimitType: 'REQUEST_WEIGHT', ...intervalOf(windowMs), limit }
  const orders = { rateLimitType: 'ORDERS', interval: 'SECOND', intervalNum: 10, limit: 100 }
  const raw = {
    rateLimitType: 'RAW_REQUESTS',
    interval: 'MINUTE',
    intervalNum: 5,
    limit: Number.isFinite(weight) ? 300_000 : UNLIMITED,
  }
  return market === 'spot' ? [requestWeight, orders, raw] : [requestWeight, orders]
}

/** A symbol's two coins, by the longest quote coin it may end with. */
export function parts(symbol: string): { readonly base: string; readonly quote: string } {
  const quote =
    quotes.find((name) => symbol.endsWith(name) && symbol.length > name.length) ?? symbol.slice(-3)
  return { base: symbol.slice(0, symbol.length - quote.length), quote }
}

const step = (decimals: number, shown: number): string =>
  decimals === 0 ? (1).toFixed(shown) : (10 ** -decimals).toFixed(Math.max(decimals, shown))

function filters({ priceDecimals, quantityDecimals }: Listing, shown: number): unknown[] {
  const tickSize = step(priceDecimals, shown)
  const stepSize = step(quantityDecimals, shown)
  return [
    { filterType: 'PRICE_FILTER', minPrice: tickSize, maxPrice: '1000000.00000000', tickSize },
    { filterType: 'LOT_SIZE', minQty: stepSize, maxQty: '9000.00000000', stepSize },
    { filterType: 'NOTIONAL', minNotional: '5.00000000', applyMinToMarket: true, avgPriceMins: 5 },
  ]
}

function spotSymbol(listing: Listing): unknown {
  const { base, quote } = parts(listing.symbol)
  return {
    symbol: listing.symbol,
    status: listing.status,
    baseAsset: base,
    baseAssetPrecision: 8,
    quoteAsset: quote,
    quotePrecision: 8,
    quoteAssetPrecision: 8,
    baseCommissionPrecision: 8,
    quoteCommissionPrecision: 8,
    orderTypes: ['LIMIT', 'LIMIT_MAKER', 'MARKET'],
    icebergAllowed: true,
    ocoAllowed: true,
    quoteOrderQtyMarketAllowed: true,
    allowTrailingStop: true,
    isSpotTradingAllowed: true,
    isMarginTradingAllowed: false,
    filters: filters(listing, 8),
    permissions: [],
    permissionSets: [['SPOT']],
    defaultSelfTradePreventionMode: 'EXPIRE_MAKER',
    allowedSelfTradePreventionModes: ['EXPIRE_MAKER'],
  }
}

/** What the venue gives as the delivery date of contracts without one: 2100-12-25. */
const NEVER_MS = 4_133_404_800_000

function umSymbol(listing: Listing): unknown {
  const { base, quote } = parts(listing.symbol)
  return {
    symbol: listing.symbol,
    pair: listing.symbol,
    contractType: 'PERPETUAL',
    deliveryDate: listing.delistedMs ?? NEVER_MS,
    onboardDate: listing.onboardMs,
    status: listing.status === 'BREAK' ? 'SETTLING' : listing.status,
    maintMarginPercent: '2.5000',
    requiredMarginPercent: '5.0000',
    baseAsset: base,
    quoteAsset: quote,
    marginAsset: quote,
    pricePrecision: listing.priceDecimals,
    quantityPrecision: listing.quantityDecimals,
    baseAssetPrecision: 8,
    quotePrecision: 8,
    underlyingType: 'COIN',
    underlyingSubType: [],
    triggerProtect: '0.0500',
    liquidationFee: '0.012500',
    marketTakeBound: '0.05',
    filters: filters(listing, 0),
    orderTypes: ['LIMIT', 'MARKET'],
    timeInForce: ['GTC', 'IOC', 'FOK', 'GTX'],
  }
}
