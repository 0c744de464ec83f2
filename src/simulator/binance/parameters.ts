import type { EpochMs } from '../../model/time.ts'
import { parseTimeframe, type Timeframe } from '../../model/timeframe.ts'
import type { Feed, Listing, Market } from '../market/feed.ts'
import { Refused } from './answers.ts'

const intervals: Readonly<Record<Market, readonly string[]>> = {
  spot: '1s 1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w 1M'.split(' '),
  um: '1m 3m 5m 15m 30m 1h 2h 4h 6h 8h 12h 1d 3d 1w 1M'.split(' '),
}

const missing = (name: string): Refused =>
  new Refused(-1102, `Mandatory parameter '${name}' was not sent, was empty/null, or malformed.`)

const illegal = (name: string, range: string): Refused =>
  new Refused(-1100, `Illegal characters found in parameter '${name}'; legal range is '${range}'.`)

/** Refuses parameters the endpoint does not know, and those given twice. */
export function checkNames(query: URLSearchParams, known: readonly string[]): void {
  const names = [...query.keys()]
  if (new Set(names).size < names.length)
    throw new Refused(-1101, 'Duplicate values for a parameter detected.')
  const read = names.filter((name) => known.includes(name)).length
  if (read < names.length) {
    throw new Refused(
      -1104,
      `Not all sent parameters were read; read '${read}' parameter(s) but was sent '${names.length}'.`,
    )
  }
}

/** The text of a parameter, `undefined` where it was not sent. */
function textOf(query: URLSearchParams, name: string): string | undefined {
  const text = query.get(name)
  if (text === '') throw new Refused(-1105, `Parameter '${name}' was empty.`)
  return text ?? undefined
}

export function readSymbol(query: URLSearchParams, market: Market, feed: Feed): Listing {
  const symbol = textOf(query, 'symbol')
  if (symbol === undefined) throw missing('symbol')
  return findSymbol(symbol, market, feed)
}

/** What the venue takes for the name of a symbol: letters of any script, but none small. */
export const isSymbol = (text: string): boolean =>
  /^[\p{L}\p{N}_.-]{1,50}$/u.test(text) && !/[a-z]/.test(text)

export function findSymbol(symbol: string, market: Market, feed: Feed): Listing {
  if (!isSymbol(symbol)) throw illegal('symbol', '^[\\w\\-._&&[^a-z]]{1,50}$')
  const listing = feed.listings.find((known) => known.market === market && known.symbol === symbol)
  if (!listing) throw new Refused(-1121, 'Invalid symbol.')
  return listing
}

/** Case matters: `1M` is a month. */
export function readInterval(query: URLSearchParams, market: Market): Timeframe {
  const interval = textOf(query, 'interval')
  if (interval === undefined) throw missing('interval')
  if (!intervals[market].includes(interval)) throw badInterval()
  return parseTimeframe(interval)
}

export const badInterval = (): Refused => new Refused(-1120, 'Invalid interval.')

/** A whole number, `undefined` where it was not sent. */
export function readWhole(query: URLSearchParams, name: string): number | undefined {
  const text = textOf(query, name)
  if (text === undefined) return undefined
  if (!/^[0-9]{1,20}$/.test(text)) throw illegal(name, '^[0-9]{1,20}$')
  return Number(text)
}

/** Sixteen digits are microseconds, which the venue takes as well as milliseconds; rounded towards the range's inside. */
export function readTime(query: URLSearchParams, name: 'startTime' | 'endTime'): EpochMs | undefined {
  const value = readWhole(query, name)
  if (value === undefined || value < 1e14) return value
  return name === 'startTime' ? Math.ceil(value / 1000) : Math.floor(value / 1000)
}

/** More than `most` is taken as `most`, as the venue takes it; 0 is refused. */
export function readLimit(query: URLSearchParams, most: number): number {
  const limit = readWhole(query, 'limit') ?? 500
  if (limit === 0) throw new Refused(-1130, "Data sent for parameter 'limit' is not valid.")
  return Math.min(limit, most)
}
