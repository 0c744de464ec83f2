import { blake2b } from '@noble/hashes/blake2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import { escapeSymbol, type PriceKind, type Series, unescapeSymbol } from './series.ts'
import type { EpochMs } from './time.ts'
import { parseTimeframe, type Timeframe } from './timeframe.ts'

/** Version of the lake's columns; part of every file's dataset hash. */
export const LAKE_SCHEMA_VERSION = 1

/** Names and DuckDB types of a lake file's columns, in order. The native ones are there where the venue has them. */
export const lakeColumns = [
  { name: 'open_time', type: 'TIMESTAMP', field: 'openTimeMs' },
  { name: 'open', type: 'DOUBLE', field: 'open' },
  { name: 'high', type: 'DOUBLE', field: 'high' },
  { name: 'low', type: 'DOUBLE', field: 'low' },
  { name: 'close', type: 'DOUBLE', field: 'close' },
  { name: 'volume', type: 'DOUBLE', field: 'volume' },
  { name: 'close_time', type: 'TIMESTAMP', field: 'closeTimeMs' },
  { name: 'quote_volume', type: 'DOUBLE', field: 'quoteVolume' },
  { name: 'trades', type: 'BIGINT', field: 'trades' },
  { name: 'taker_buy_base_volume', type: 'DOUBLE', field: 'takerBuyBaseVolume' },
  { name: 'taker_buy_quote_volume', type: 'DOUBLE', field: 'takerBuyQuoteVolume' },
  { name: 'open_interest', type: 'DOUBLE', field: 'openInterest' },
] as const

/**
 * 16 hexadecimal characters that name a dataset by its definition (venue, market, price kind, schema version), not
 * by its content: a month's file keeps its name when its bars change.
 */
export function datasetHash(venue: string, market: string, price: PriceKind): string {
  const definition = JSON.stringify({ venue, market, price, schema: LAKE_SCHEMA_VERSION })
  return bytesToHex(blake2b(utf8ToBytes(definition), { dkLen: 8 }))
}

/** `1m` → `1min`, `1M` → `1mon`: tokens that would differ by case only are spelled out. */
export const timeframeToken = (timeframe: Timeframe): string =>
  timeframe.replace(/m$/, 'min').replace(/M$/, 'mon')

/** The inverse of `timeframeToken`; `undefined` for text it never makes. */
export function timeframeOfToken(token: string): Timeframe | undefined {
  const match = /^([1-9]\d{0,3})(s|min|h|d|w|mon)$/.exec(token)
  if (!match) return undefined
  const unit = match[2] === 'min' ? 'm' : match[2] === 'mon' ? 'M' : match[2]
  return parseTimeframe(`${match[1]}${unit}`)
}

/** What a lake file's name says. Market and price kind are behind the hash; the file's own metadata names the series. */
export interface LakeFileName {
  readonly symbol: string
  readonly timeframe: Timeframe
  /** 0 for market bars; prediction targets built for n steps carry n. */
  readonly horizon: number
  readonly year: number
  /** 1 to 12. */
  readonly month: number
  readonly hash: string
}

const two = (n: number) => String(n).padStart(2, '0')

/** `BTCUSDT_1min_h0_2018_02_<hash>.parquet` for the UTC month that holds `ms`. */
export function lakeFileName(series: Series, ms: EpochMs): string {
  const { venue, market, symbol } = series.instrument
  const date = new Date(ms)
  const month = `${date.getUTCFullYear()}_${two(date.getUTCMonth() + 1)}`
  const hash = datasetHash(venue, market, series.price)
  return `${escapeSymbol(symbol)}_${timeframeToken(series.timeframe)}_h0_${month}_${hash}.parquet`
}

/** `lake/<venue>/<YYYY>/<MM>/<file>`, relative to the data root, with `/`. */
export function lakePath(series: Series, ms: EpochMs): string {
  const date = new Date(ms)
  const folder = `lake/${series.instrument.venue}/${date.getUTCFullYear()}/${two(date.getUTCMonth() + 1)}`
  return `${folder}/${lakeFileName(series, ms)}`
}

/** Reads a lake file's name; `undefined` for any other name. */
export function parseLakeFileName(name: string): LakeFileName | undefined {
  const match = /^([A-Za-z0-9-]+)_([0-9a-z]+)_h(\d+)_(\d{4})_(\d{2})_([0-9a-f]{16})\.parquet$/.exec(name)
  if (!match) return undefined
  const symbol = unescapeSymbol(match[1]!)
  const timeframe = timeframeOfToken(match[2]!)
  const month = Number(match[5])
  if (symbol === undefined || !timeframe || month < 1 || month > 12) return undefined
  return { symbol, timeframe, horizon: Number(match[3]), year: Number(match[4]), month, hash: match[6]! }
}
