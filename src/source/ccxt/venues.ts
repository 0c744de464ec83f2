import type { EndpointSpec } from '../source.ts'

/** What ccxt does not say of a venue's bars, and what shows it. */
export interface VenueFacts extends Pick<EndpointSpec, 'bounds' | 'order' | 'quietBars' | 'settleMs'> {
  /** Only so many of the latest bars can be had, whatever is asked for. */
  readonly reach?: { readonly bars: number }
  /** Asked from a time on, without an end, it gives the first bar from there: `nextBar` can be asked. */
  readonly opensForward?: boolean
  /** What it says of a symbol it does not know, where ccxt does not tell that from other refusals. */
  readonly unknownSymbol?: RegExp
  /** Weeks open on Monday and months on the 1st, UTC. Without evidence such timeframes are not offered. */
  readonly calendar?: boolean
  /** Sent with every request. */
  readonly parameters?: Readonly<Record<string, string>>
  readonly evidence: Readonly<Record<'bounds' | 'order' | 'quietBars' | 'settleMs', string>>
}

const settleUnknown =
  'no document says; ten seconds after the close by the venue clock, and the slice is fetched once more when whole'

/**
 * A venue nobody has looked at. Every page is checked all the same; where bars are missing nothing is claimed of trades:
 * they are `source_absent`, not `no_trade`.
 */
const unknownVenue: VenueFacts = {
  bounds: { start: 'inclusive', end: 'inclusive' },
  order: 'ascending',
  quietBars: 'emitted',
  settleMs: 10_000,
  evidence: {
    bounds: 'not looked up: rows outside the window are findings, and none inside it is no answer',
    order: 'not looked up: a page that only descends is turned round, any other disorder is a finding',
    quietBars: 'not looked up: missing bars are source_absent, so that nothing is said of trades',
    settleMs: settleUnknown,
  },
}

const known: Readonly<Record<string, VenueFacts>> = {
  binance: {
    bounds: { start: 'inclusive', end: 'inclusive' },
    order: 'ascending',
    quietBars: 'emitted',
    settleMs: 5_000,
    opensForward: true,
    calendar: true,
    evidence: {
      bounds: 'as the native source, evidence there; fixture binance.json',
      order: 'binance-spot-api-docs rest-api.md, "General API Information"; fixture binance.json',
      quietBars: 'as the native source: zero-volume rows',
      settleMs: settleUnknown,
    },
  },
  bybit: {
    bounds: { start: 'inclusive', end: 'inclusive' },
    order: 'descending',
    quietBars: 'emitted',
    settleMs: 5_000,
    unknownSymbol: /symbol invalid/i,
    evidence: {
      bounds:
        'bybit-exchange.github.io, V5, Get Kline: start and end in ms; fixture bybit.json asks one bar by both',
      order: 'the same page: "sort in reverse by startTime"; fixture bybit.json',
      quietBars: 'no document says; missing bars are source_absent, so that nothing is said of trades',
      settleMs: settleUnknown,
    },
  },
  okx: {
    bounds: { start: 'exclusive', end: 'exclusive' },
    order: 'descending',
    quietBars: 'emitted',
    settleMs: 5_000,
    // ccxt picks the endpoint by its clock; history serves every age, so the same window is always the same request.
    parameters: { type: 'HistoryCandles' },
    evidence: {
      bounds:
        'okx.com docs-v5, Get Candlesticks History: before and after are newer and earlier than, so ccxt asks a ms less',
      order: 'the same page, response example: newest first; fixture okx.json',
      quietBars: 'no document says; missing bars are source_absent, so that nothing is said of trades',
      settleMs:
        'the ninth column, confirm, tells finished bars; rows of the forming bar are held by the clock as well',
    },
  },
  kraken: {
    bounds: { start: 'exclusive', end: 'inclusive' },
    order: 'ascending',
    quietBars: 'emitted',
    settleMs: 10_000,
    reach: { bars: 720 },
    unknownSymbol: /Unknown asset pair/,
    evidence: {
      bounds:
        'docs.kraken.com, Get OHLC Data: since is exclusive, ccxt asks a bar earlier, and there is no end; fixture kraken.json',
      order: 'the same page, response example; fixture kraken.json',
      quietBars: 'no document says; missing bars are source_absent, so that nothing is said of trades',
      settleMs: 'the same page: the last entry is the current, not-yet-committed bar',
    },
  },
  coinbase: {
    bounds: { start: 'inclusive', end: 'inclusive' },
    order: 'descending',
    quietBars: 'omitted',
    settleMs: 10_000,
    unknownSymbol: /product_id is required/,
    evidence: {
      bounds:
        'docs.cdp.coinbase.com, Get Public Product Candles: start and end in seconds; fixture coinbase.json',
      order: 'the same page, response example: newest first; fixture coinbase.json',
      quietBars:
        'Coinbase Exchange, Get product candles: "no data is published for intervals where there are no ticks"',
      settleMs: settleUnknown,
    },
  },
  kucoin: {
    bounds: { start: 'inclusive', end: 'inclusive' },
    order: 'descending',
    quietBars: 'omitted',
    settleMs: 10_000,
    unknownSymbol: /symbol not exists|unsupported trading pair/i,
    evidence: {
      bounds: 'kucoin.com docs, Get Klines: startAt and endAt in seconds; fixture kucoin.json',
      order: 'the same page, response example: newest first; fixture kucoin.json',
      quietBars:
        'the same page: "no data is published for intervals where there are no ticks"; JKorf/Kucoin.Net #152',
      settleMs: settleUnknown,
    },
  },
}

export const factsOf = (venue: string): VenueFacts => known[venue] ?? unknownVenue

/** Whether anybody has looked the venue up: a page's order is only taken on trust where somebody has. */
export const isLookedUp = (venue: string): boolean => venue in known
