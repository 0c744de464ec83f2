import { AsyncLocalStorage } from 'node:async_hooks'
import { EverybarError, messageOf } from '../../model/errors.ts'
import type { HttpRequest } from '../../model/http.ts'
import { nearest } from '../../model/nearest.ts'
import { decimalOrNaN } from '../read.ts'

/** A market as ccxt describes it: only what is read here is named. */
export interface Market {
  readonly id: string
  readonly symbol: string
  /** `spot`, `swap`, `future` …; the market of our series. */
  readonly type: string
  readonly active?: boolean | undefined
  readonly [field: string]: unknown
}

/** What is used of an exchange of ccxt. */
export interface Exchange {
  readonly id: string
  readonly has: Record<string, unknown>
  readonly timeframes?: Readonly<Record<string, unknown>>
  readonly features?: unknown
  readonly rateLimit: number
  options: Record<string, unknown>
  setMarkets(markets: readonly Market[]): unknown
  fetchMarkets(): Promise<readonly (Market | undefined)[]>
  fetchOHLCV(
    symbol: string,
    timeframe: string,
    since?: number,
    limit?: number,
    params?: object,
  ): Promise<unknown>
  fetchTime(): Promise<unknown>
  parseJson(text: string): unknown
  handleErrors(...args: unknown[]): unknown
  parseOHLCV(row: unknown, market?: Market): unknown
  fetch: (url: string, method?: string, headers?: Record<string, string>, body?: string) => Promise<unknown>
  throttle: (cost?: number) => Promise<void>
  milliseconds: () => number
  parseOHLCVs: (rows: unknown, market?: Market) => readonly unknown[]
  toArray: (list: unknown) => unknown
  /** Its readers of cells: `safeNumber`, `safeInteger2` … */
  [name: string]: unknown
}

type Reader = (row: unknown, key: unknown, other?: unknown) => unknown

/** A request as ccxt builds it, before it is charged to a bucket. */
export interface BuiltRequest extends Pick<HttpRequest, 'url' | 'method' | 'headers' | 'body'> {
  /** What ccxt counts it as, in units of its rate limit. */
  readonly cost: number
}

/** An answer given to ccxt to read. */
export interface GivenAnswer {
  readonly url: string
  readonly status: number
  readonly text: string
}

/** What ccxt found in an answer. */
export interface Reading {
  /** The body as JSON, as ccxt parses it. */
  json?: unknown
  /** The list of bars it took out of it, before it read the first. */
  list?: unknown
  rows?: readonly unknown[]
}

/** What the exchange is to do with the requests it makes: each call of it runs under exactly one of these. */
type Call =
  | { readonly kind: 'build'; cost: number; built?: BuiltRequest }
  | { readonly kind: 'read'; readonly answer: GivenAnswer; readonly reading: Reading }
  | { readonly kind: 'ask'; cost: number; readonly ask: (request: BuiltRequest) => Promise<GivenAnswer> }

/** Thrown through ccxt, out of the place where it would have sent the request. */
class Built extends Error {}

/**
 * The time ccxt is told it is, 2100: no window is then "recent", so that what it builds does not depend on when. A
 * request that needs the time all the same is not built here.
 */
const FAR_MS = 4_102_444_800_000

const calls = new AsyncLocalStorage<Call>()

/** The library's classes, by exchange. */
type Library = Readonly<Record<string, new (options: object) => Exchange>> & {
  readonly exchanges: readonly string[]
  readonly version: string
}

let library: Promise<Library> | undefined

/**
 * ccxt, imported on first use: it takes a third of a second.
 *
 * @throws EverybarError `source.ccxt-missing` (abort) where it is not installed.
 */
export function loadCcxt(): Promise<Library> {
  library ??= import('ccxt').then(
    (module) => module.default as unknown as Library,
    (cause: unknown) => {
      library = undefined
      throw new EverybarError('source.ccxt-missing', `ccxt cannot be loaded: ${messageOf(cause)}`, {
        recovery: 'abort',
        hint: 'Venues without a source of their own are read by ccxt. Install it beside everybar: npm install ccxt@4',
        cause,
      })
    },
  )
  return library
}

/**
 * An exchange that sends nothing, waits for nothing and reads no clock: what it would send is built, read or asked for
 * by the functions below.
 *
 * @throws EverybarError `source.ccxt-missing`, `source.unknown-venue`, `source.no-bars` (abort).
 */
export async function openExchange(venue: string): Promise<{ exchange: Exchange; version: string }> {
  const ccxt = await loadCcxt()
  if (!ccxt.exchanges.includes(venue)) throw unknownVenue(venue, ccxt.exchanges)
  const exchange = new ccxt[venue]!({ enableRateLimit: true })
  if (exchange.has.fetchOHLCV !== true || !exchange.timeframes) {
    throw new EverybarError('source.no-bars', `${venue} has no bars to ask for`, {
      recovery: 'abort',
      hint: 'The venue publishes trades only, or ccxt cannot read its bars.',
    })
  }
  exchange.has.fetchCurrencies = false // names of coins; bars need none
  exchange.milliseconds = () => FAR_MS
  exchange.throttle = async (cost = 1) => {
    const call = calls.getStore()
    if (call && call.kind !== 'read') call.cost = cost
  }
  exchange.fetch = (url, method, headers, body) => intercept(exchange, url, method, headers, body)
  readStrictly(exchange)
  return { exchange, version: ccxt.version }
}

async function intercept(
  exchange: Exchange,
  url: string,
  method = 'GET',
  headers?: Record<string, string>,
  body?: string,
): Promise<unknown> {
  const call = calls.getStore()
  if (!call) throw new TypeError('a request outside of any call')
  if (call.kind === 'read') return take(exchange, call.answer, call.reading)
  const built: BuiltRequest = {
    url,
    ...(method === 'POST' && { method: 'POST' as const }),
    ...(headers && Object.keys(headers).length > 0 && { headers }),
    ...(typeof body === 'string' && body !== '' && { body }),
    cost: call.cost,
  }
  if (call.kind === 'ask') return take(exchange, await call.ask(built), {})
  call.built = built
  throw new Built()
}

/** The body as the exchange's own code sees it, its errors thrown as ccxt's. */
function take(exchange: Exchange, { url, status, text }: GivenAnswer, reading: Reading): unknown {
  const json = exchange.parseJson(text)
  reading.json = json
  exchange.handleErrors(status, '', url, 'GET', {}, text, json, {}, undefined)
  return json === undefined || json === null ? text : json
}

const readers = ['safeNumber', 'safeFloat', 'safeInteger'] as const

/** Rows are taken as they came: unsorted, uncut, and every cell as the venue wrote it, for our own reader to judge. */
function readStrictly(exchange: Exchange): void {
  let inRow = false
  const swap = (name: string, inside: Reader): void => {
    const usual = exchange[name]
    if (typeof usual !== 'function') return
    exchange[name] = (...args: Parameters<Reader>): unknown =>
      inRow ? inside(...args) : Reflect.apply(usual, exchange, args)
  }
  for (const name of readers) {
    swap(name, (row, key) => cellOf(row, key))
    swap(`${name}2`, (row, key, other) => cellOf(row, key) ?? cellOf(row, other))
    swap(`${name}N`, (row, keys) =>
      Array.isArray(keys) ? keys.map((key) => cellOf(row, key)).find(isThere) : undefined,
    )
  }
  swap('safeTimestamp', (row, key) => decimalOrNaN(cellOf(row, key)) * 1_000)
  // It copies: then the list could not be told from one that ccxt made up.
  const usualToArray = exchange.toArray
  exchange.toArray = (list) => (Array.isArray(list) ? list : Reflect.apply(usualToArray, exchange, [list]))
  exchange.parseOHLCVs = (rows, market) => {
    const call = calls.getStore()
    const list = Array.isArray(rows) ? (rows as readonly unknown[]) : []
    inRow = true
    try {
      const read = list.map((row) => exchange.parseOHLCV(row, market))
      if (call?.kind === 'read') Object.assign(call.reading, { list: rows, rows: read })
      return read
    } finally {
      inRow = false
    }
  }
}

const cellOf = (row: unknown, key: unknown): unknown =>
  typeof row === 'object' && row !== null ? (row as Record<string, unknown>)[String(key)] : undefined

const isThere = (cell: unknown): boolean => cell !== undefined && cell !== null

/** The request a call of ccxt would send first; `undefined` when it sends none. */
export async function build(run: () => Promise<unknown>): Promise<BuiltRequest | undefined> {
  const call: Call = { kind: 'build', cost: 1 }
  try {
    await calls.run(call, run)
  } catch (error) {
    if (!(error instanceof Built)) throw error
  }
  return call.built
}

/** What a call of ccxt makes of an answer, whatever it would have sent. */
export async function read<T>(
  answer: GivenAnswer,
  run: () => Promise<T>,
): Promise<{ readonly value: T; readonly reading: Reading }> {
  const reading: Reading = {}
  const value = await calls.run({ kind: 'read', answer, reading }, run)
  return { value, reading }
}

/** Runs a call of ccxt to its end; every request it makes is handed to `ask`. */
export const converse = <T>(
  ask: (request: BuiltRequest) => Promise<GivenAnswer>,
  run: () => Promise<T>,
): Promise<T> => calls.run({ kind: 'ask', cost: 1, ask }, run)

/** What ccxt tells markets apart by; the market of our series. */
const marketTypes = ['spot', 'swap', 'future', 'option'] as const

export const isMarketType = (name: string): boolean => marketTypes.some((type) => type === name)

/**
 * @param own markets of the venue that are served without ccxt, for the hint.
 * @throws EverybarError `source.unknown-market` (abort) where ccxt has no such market of the exchange. Asks nobody.
 */
export function refuseUnknownMarket(
  { id, has }: Pick<Exchange, 'id' | 'has'>,
  type: string,
  own: readonly string[] = [],
): void {
  if (isMarketType(type) && has[type] !== false) return
  throw unknownMarket(
    id,
    type,
    own,
    marketTypes.filter((one) => has[one] === true && !own.includes(one)),
  )
}

/** @param own served by sources of ours. @param others served by ccxt. */
export function unknownMarket(
  venue: string,
  market: string,
  own: readonly string[],
  others: readonly string[] = [],
): EverybarError {
  const through = own.length > 0 && others.length > 0 ? `; through ccxt ${others.join(', ')}` : ''
  const names = own.length > 0 ? own.join(', ') + through : others.join(', ')
  return new EverybarError('source.unknown-market', `${venue} has no market "${market}"`, {
    recovery: 'abort',
    hint: `${venue} has markets ${names}.`,
  })
}

function unknownVenue(venue: string, known: readonly string[]): EverybarError {
  const close = nearest(venue, known)
  const like = close ? [close] : known.filter((id) => id.includes(venue) || venue.includes(id)).slice(0, 5)
  return new EverybarError('source.unknown-venue', `neither everybar nor ccxt knows a venue "${venue}"`, {
    recovery: 'abort',
    hint:
      like.length > 0 ? `Did you mean ${like.join(', ')}?` : 'Names are as in ccxt: kraken, coinbase, okx.',
  })
}
