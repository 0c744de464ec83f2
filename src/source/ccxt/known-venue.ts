import { EverybarError, messageOf } from '../../model/errors.ts'
import type { HttpRequest, RawResponse } from '../../model/http.ts'
import type { EpochMs } from '../../model/time.ts'
import { anchorOf, fixedWidthMs, parseTimeframe } from '../../model/timeframe.ts'
import { isRecord, jsonOf, notAnAnswer, refuseStatus, textOf } from '../answer.ts'
import { type BuiltRequest, build, converse, type Exchange, type Market, openExchange } from './exchange.ts'
import { asSourceError, unknownSymbol } from './faults.ts'
import { factsOf } from './venues.ts'

/**
 * All that has to be known of a venue to ask it for bars and to read its answers again without the network: ccxt's
 * traits, and its description of the markets asked for. Plain data, kept beside the answers as `markets.json`.
 */
export interface KnownVenue {
  readonly venue: string
  /** The version of ccxt that said so. */
  readonly ccxt: string
  readonly learnedAtMs: EpochMs
  /** Milliseconds a request of cost 1 takes of the venue's budget. */
  readonly rateLimitMs: number
  readonly timeframes: readonly string[]
  /** Whether the venue can be asked for its clock. */
  readonly clock: boolean
  /** Whether requests can name their end. */
  readonly until: boolean
  /** By type of market. */
  readonly pages: Readonly<Record<string, { readonly rowsMax: number; readonly cost: number }>>
  readonly markets: readonly Market[]
}

/** How a question reaches the venue: through the house's own fetcher. */
export type Ask = (
  request: HttpRequest,
  check: (answer: RawResponse) => void | Promise<void>,
) => Promise<RawResponse>

export interface LearnOptions {
  readonly ask: Ask
  readonly baseUrl?: string | undefined
  readonly nowMs: EpochMs
}

/** A page of a venue that ccxt names no limit for. */
const ROWS_UNKNOWN = 100
const rowsIn = (feature: unknown): number | undefined => {
  const found = isRecord(feature) && isRecord(feature.fetchOHLCV) ? feature.fetchOHLCV.limit : undefined
  return typeof found === 'number' && found > 0 ? Math.floor(found) : undefined
}

/**
 * Every market of one type that the venue lists, in its order, and the venue's traits. Asks it through `ask`.
 *
 * @throws EverybarError `source.ccxt-missing`, `source.unknown-venue`, `source.unknown-market`, `source.no-bars` (abort), or what
 *   `ask` throws.
 */
export async function learnVenue(
  venue: string,
  type: string,
  { ask, baseUrl, nowMs }: LearnOptions,
): Promise<KnownVenue> {
  const { exchange, version } = await openExchange(venue)
  askForOneType(exchange, type)
  const talk = (built: BuiltRequest) => talkThrough(venue, exchange, built, { ask, baseUrl })
  const listed = await converse(talk, () => exchange.fetchMarkets())
  const markets = listed.filter(
    (one): one is Market => typeof one?.id === 'string' && one.type === type && one.symbol !== '',
  )
  if (markets.length === 0) {
    const types = [...new Set(listed.map((one) => one?.type))].filter(Boolean).join(', ')
    throw new EverybarError('source.unknown-market', `${venue} lists no market of type "${type}"`, {
      recovery: 'abort',
      hint: `It lists ${types || 'none'}. Types are spot, swap and future.`,
    })
  }
  return describe(exchange, version, { markets, type, nowMs })
}

async function describe(
  exchange: Exchange,
  version: string,
  { markets, type, nowMs }: { markets: readonly Market[]; type: string; nowMs: EpochMs },
): Promise<KnownVenue> {
  const facts = factsOf(exchange.id)
  const timeframes = Object.keys(exchange.timeframes ?? {}).filter((name) => isServed(name, facts.calendar))
  exchange.setMarkets(markets)
  const sample = markets[0]!
  const since = 1_704_067_200_000 // some bar; which one does not matter
  const width = timeframes[0]!
  const until = since + (fixedWidthMs(parseTimeframe(width)) ?? 0) * 10 - 1
  const built = await build(() => exchange.fetchOHLCV(sample.symbol, width, since, 10, { until }))
  return {
    venue: exchange.id,
    ccxt: version,
    learnedAtMs: nowMs,
    rateLimitMs: exchange.rateLimit,
    timeframes,
    clock: exchange.has.fetchTime === true,
    // An exchange that does not know `until` sends it along as it is.
    until: !/[?&"]until[="]/.test(`${built?.url ?? ''} ${built?.body ?? ''}`),
    pages: { [type]: { rowsMax: rowsMaxOf(exchange, type), cost: built?.cost ?? 1 } },
    markets,
  }
}

function rowsMaxOf({ features }: Exchange, type: string): number {
  const of = isRecord(features) ? features[type] : undefined
  const kinds = isRecord(of) ? [of, of.linear, of.inverse] : []
  const limits = kinds.flatMap((kind) => rowsIn(kind) ?? [])
  return limits.length > 0 ? Math.min(...limits) : ROWS_UNKNOWN
}

/** Timeframes on the grid of the epoch; weeks and months where it is known how the venue counts them. */
function isServed(name: string, calendar = false): boolean {
  if (!/^[1-9]\d{0,3}[smhdwM]$/.test(name)) return false
  const timeframe = parseTimeframe(name)
  return /[wM]$/.test(name) ? calendar && anchorOf(timeframe) !== undefined : anchorOf(timeframe) === 0
}

/** Where an exchange lists its markets by type, the other types need not be asked for. */
function askForOneType(exchange: Exchange, type: string): void {
  const { fetchMarkets } = exchange.options
  if (!isRecord(fetchMarkets) || !Array.isArray(fetchMarkets.types)) return
  const wanted = type === 'spot' ? ['spot'] : ['swap', 'future', 'linear', 'inverse', 'contract']
  const types = (fetchMarkets.types as unknown[]).filter((one) => wanted.includes(String(one)))
  if (types.length > 0) exchange.options.fetchMarkets = { ...fetchMarkets, types, fetchTickersFees: false }
}

async function talkThrough(
  venue: string,
  exchange: Exchange,
  built: BuiltRequest,
  { ask, baseUrl }: Pick<LearnOptions, 'ask' | 'baseUrl'>,
) {
  const request = chargedTo(venue, built, { rateLimitMs: exchange.rateLimit, baseUrl })
  const response = await ask(request, (answer) => {
    const json = jsonOf(answer.body)
    if (json !== undefined && json !== null) refuseByCode(exchange, answer, json)
    refuseStatus(answer)
    if (json === undefined || json === null) throw notAnAnswer(answer, 'no JSON')
  })
  return { url: response.url, status: response.status, text: textOf(response.body) }
}

/** The venue's own refusals, by its codes. A refusal ccxt cannot sort is left to the status, where that says more. */
export function refuseByCode(
  exchange: Exchange,
  answer: Pick<RawResponse, 'url' | 'status' | 'headers' | 'body'>,
  json: unknown,
): void {
  try {
    exchange.handleErrors(answer.status, '', answer.url, 'GET', {}, textOf(answer.body), json, {}, undefined)
  } catch (error) {
    if (factsOf(exchange.id).unknownSymbol?.test(messageOf(error))) throw unknownSymbol(answer, error)
    const sorted = asSourceError(error, answer)
    const plain = sorted.code === 'source.venue-error' || sorted.code === 'source.not-an-answer'
    if (plain) refuseStatus(answer)
    throw sorted
  }
}

/** A request with its host exchanged, and charged to the venue's bucket by the time it takes of its budget. */
export function chargedTo(
  venue: string,
  built: BuiltRequest,
  { rateLimitMs, baseUrl }: { readonly rateLimitMs: number; readonly baseUrl?: string | undefined },
): HttpRequest {
  const { cost, url, ...rest } = built
  return {
    ...rest,
    url: baseUrl === undefined ? url : url.replace(/^https?:\/\/[^/]+/, baseUrl.replace(/\/+$/, '')),
    bucket: bucketOf(venue),
    weight: weightFor(cost, rateLimitMs),
  }
}

export const bucketOf = (venue: string): string => `${venue}.ccxt`
export const isCcxtBucket = (bucket: string): boolean => bucket.endsWith('.ccxt')

/** Whole milliseconds of the venue's budget. */
export const weightFor = (cost: number, rateLimitMs: number): number =>
  Math.max(1, Math.ceil(cost * rateLimitMs))

/** The market a symbol means, in the venue's own spelling or in ccxt's. */
export function marketNamed(
  { markets }: Pick<KnownVenue, 'markets'>,
  type: string,
  symbol: string,
): Market | undefined {
  const own = markets.filter((market) => market.type === type)
  return own.find(({ id }) => id === symbol) ?? own.find((market) => market.symbol === symbol)
}

/** What is known with one market more; the newer traits win, and pages keep the size their slices were cut by. */
export function withMarket(before: KnownVenue | undefined, learned: KnownVenue, market: Market): KnownVenue {
  const others = before?.markets.filter(({ id, type }) => id !== market.id || type !== market.type) ?? []
  return { ...learned, pages: { ...learned.pages, ...before?.pages }, markets: [...others, market] }
}
