import { weightOf } from '../../chunking/definitions.ts'
import { type BarBatch, pickBars } from '../../model/bar.ts'
import { EverybarError, messageOf } from '../../model/errors.ts'
import type { RawResponse } from '../../model/http.ts'
import { type Series, seriesId } from '../../model/series.ts'
import type { Slice } from '../../model/slice.ts'
import { countOpens } from '../../model/timeframe.ts'
import { isRecord, jsonOf, notAnAnswer, refuseStatus, textOf, unreadable } from '../answer.ts'
import { refuseSeries, refuseWideWindow } from '../asked.ts'
import { isEpochMs } from '../read.ts'
import type { AskVenue, BarWindow, DecodedPage, EndpointSpec, Source } from '../source.ts'
import { build, type Exchange, type Market, openExchange, type Reading, read } from './exchange.ts'
import { asSourceError } from './faults.ts'
import { findFirstBar, type Searchable } from './first-bar.ts'
import { chargedTo, type KnownVenue, marketNamed, refuseByCode } from './known-venue.ts'
import { holdsList, readRows } from './rows.ts'
import { specOf } from './spec.ts'
import { factsOf, isLookedUp, type VenueFacts } from './venues.ts'

type Answer = Pick<RawResponse, 'status' | 'headers' | 'body' | 'url'>

/**
 * The bars of a venue through ccxt, one source for each type of market that is known of it: ccxt builds the requests and
 * reads the answers, and nothing else of it is used. ccxt is imported by the first function that is called.
 */
export function ccxtSources(venue: KnownVenue, options: CcxtOptions = {}): readonly Source[] {
  const exchange = once(() => openKnown(venue))
  return Object.keys(venue.pages).map((type) => sourceOf(new CcxtEndpoint(venue, type, exchange, options)))
}

export interface CcxtOptions {
  /** Takes the place of the host, scheme included, of every address ccxt builds. */
  readonly baseUrl?: string | undefined
  /** What is said of bars older than a venue gives any more; `never_fetched` unless given. */
  readonly beyond?: 'never_fetched' | 'source_absent' | undefined
}

async function openKnown(venue: KnownVenue): Promise<Exchange> {
  const { exchange } = await openExchange(venue.venue)
  exchange.setMarkets(venue.markets)
  return exchange
}

function sourceOf(endpoint: CcxtEndpoint): Source {
  const { spec, facts, venue } = endpoint
  return {
    spec,
    request: (window) => endpoint.request(window),
    check: (answer) => endpoint.check(answer),
    decode: (body, window) => endpoint.decode(body, window),
    ...(facts.reach
      ? { firstBar: { request: (series: Series) => endpoint.latest(series), decode: endpoint.earliest } }
      : {
          searchFirstBar: (series: Series, ask: AskVenue) => findFirstBar(searchable(endpoint), series, ask),
        }),
    ...(facts.opensForward && {
      lastBar: { request: (series: Series) => endpoint.latest(series, 1), decode: endpoint.earliest },
      nextBar: {
        request: (series: Series, fromMs: number) => endpoint.from(series, fromMs),
        decode: endpoint.earliest,
      },
    }),
    ...(venue.clock && {
      venueInfo: {
        request: () => endpoint.clockRequest(),
        decode: async (body: Uint8Array) => ({ venueTimeMs: await endpoint.clockOf(body), limits: [] }),
      },
    }),
  }
}

const searchable = (endpoint: CcxtEndpoint): Searchable => ({
  spec: endpoint.spec,
  rowsMax: endpoint.rowsMax,
  request: (window) => endpoint.request(window),
  decode: (body, window) => endpoint.decode(body, window),
  ...(endpoint.venue.clock && {
    clock: { request: () => endpoint.clockRequest(), decode: (body: Uint8Array) => endpoint.clockOf(body) },
  }),
})

/** One type of market of a venue. */
export class CcxtEndpoint {
  readonly spec: EndpointSpec
  readonly facts: VenueFacts
  readonly venue: KnownVenue
  readonly #type: string
  readonly #exchange: () => Promise<Exchange>
  readonly #baseUrl: string | undefined

  constructor(venue: KnownVenue, type: string, exchange: () => Promise<Exchange>, options: CcxtOptions) {
    this.venue = venue
    this.facts = factsOf(venue.venue)
    this.spec = specOf(venue, type, options.beyond)
    this.#type = type
    this.#exchange = exchange
    this.#baseUrl = options.baseUrl
  }

  get rowsMax(): number {
    return this.venue.pages[this.#type]!.rowsMax
  }

  async request(window: BarWindow) {
    const { series, range, limit } = window
    refuseSeries(this.spec, series)
    refuseWideWindow(this.spec, window, {
      bars: countOpens(window.series.timeframe, window.range),
      barsMax: this.rowsMax,
    })
    const until = this.venue.until ? { until: range.endMs - 1 } : {}
    return this.#build(series, limit, range.startMs, until)
  }

  /** The latest bars, so many or a page. */
  latest(series: Series, limit?: number) {
    refuseSeries(this.spec, series)
    return this.#build(series, limit, undefined, {})
  }

  /** The first bar from a time on, where the venue opens forward. */
  from(series: Series, fromMs: number) {
    refuseSeries(this.spec, series)
    return this.#build(series, 1, fromMs, {})
  }

  async #build(series: Series, limit: number | undefined, since: number | undefined, parameters: object) {
    const exchange = await this.#exchange()
    const market = this.#marketOf(series)
    const params = { ...this.facts.parameters, ...parameters }
    const run = () => exchange.fetchOHLCV(market.symbol, series.timeframe, since, limit, params)
    const built = await build(run).catch((error: unknown) => {
      throw notBuilt(series, error)
    })
    if (!built) throw notBuilt(series, 'it sends no request')
    const { rateLimitMs } = this.venue
    const request = chargedTo(this.venue.venue, built, { rateLimitMs, baseUrl: this.#baseUrl })
    // What the planner counted with, whatever this very request costs.
    return { ...request, weight: weightOf(this.spec.weightPolicy, limit ?? 1) }
  }

  async check(answer: Answer): Promise<void> {
    const json = jsonOf(answer.body)
    const exchange = await this.#exchange()
    const empty = isRecord(json) && Object.keys(json).length === 0
    if (!empty && (isRecord(json) || Array.isArray(json))) refuseByCode(exchange, answer, json)
    refuseStatus(answer)
    if (empty) throw notAnAnswer(answer, 'an empty object')
    if (answer.body.length === 0) throw notAnAnswer(answer, 'an empty body')
    if (json === undefined) throw notAnAnswer(answer, 'HTML, or broken or truncated JSON')
    if (!isRecord(json) && !Array.isArray(json))
      throw notAnAnswer(answer, 'JSON that is no object and no list')
    if (await this.#isClock(answer.url)) {
      if ((await this.#readClock(answer.body)) === undefined) throw notAnAnswer(answer, 'JSON without a time')
      return
    }
    for (const market of this.#marketsIn(answer.url)) {
      const reading = await this.#read(answer.body, market, this.spec.timeframes[0]!).catch(
        (error: unknown) => {
          throw asSourceError(error, answer)
        },
      )
      if (holdsList(reading)) return
    }
    throw notAnAnswer(answer, 'JSON without a list of bars')
  }

  async decode(body: Uint8Array, { series, range }: Slice | BarWindow): Promise<DecodedPage> {
    const page = await this.page(body, series)
    if (page.rows.length === 0) return page
    const kept = this.venue.until ? page.rows : opensBefore(page.rows, range.endMs)
    const { openTimeMs } = page.rows
    if (
      !openTimeMs.some((ms) => ms >= range.startMs && ms < range.endMs) &&
      !this.#mayLieElsewhere(page, range)
    ) {
      throw unreadable(`rows were asked for from ${range.startMs} and begin at ${openTimeMs[0]}`)
    }
    return { ...page, rows: kept }
  }

  /** Every row of an answer, in answer order. */
  async page(body: Uint8Array, series: Series): Promise<DecodedPage> {
    const json = jsonOf(body)
    if (!isRecord(json) && !Array.isArray(json)) throw unreadable('it is no JSON of any use')
    const reading = await this.#read(body, this.#marketOf(series), series.timeframe).catch(
      (error: unknown) => {
        throw unreadable(messageOf(error), error)
      },
    )
    if (!holdsList(reading)) throw unreadable('it holds no list of bars')
    const page = readRows(reading.rows ?? [])
    return isLookedUp(this.venue.venue) || !descends(page.rows)
      ? page
      : { ...page, rows: reversed(page.rows) }
  }

  /**
   * A venue that opens forward and knows no end answers a quiet window with the rows after it. One that only keeps the
   * latest rows does so too, and then says nothing of the window.
   */
  #mayLieElsewhere({ rows }: DecodedPage, { startMs, endMs }: { startMs: number; endMs: number }): boolean {
    const after = rows.openTimeMs.every((ms) => ms >= endMs || ms < startMs)
    return after && this.facts.opensForward === true
  }

  /** The earliest open time of an answer. */
  readonly earliest = async (body: Uint8Array, series: Series): Promise<number | undefined> => {
    const { rows, badRows } = await this.page(body, series)
    if (badRows.length > 0) throw unreadable(badRows[0]!.detail)
    return rows.length === 0 ? undefined : Math.min(...rows.openTimeMs)
  }

  async #read(body: Uint8Array, market: Market, timeframe: string): Promise<Reading> {
    const exchange = await this.#exchange()
    const answer = { url: '', status: 200, text: textOf(body) }
    const params = { ...this.facts.parameters }
    const { value, reading } = await read(answer, () =>
      exchange.fetchOHLCV(market.symbol, timeframe, undefined, undefined, params),
    )
    return reading.rows || !Array.isArray(value) ? reading : { ...reading, rows: value as unknown[] }
  }

  async clockRequest() {
    const exchange = await this.#exchange()
    const built = await build(() => exchange.fetchTime())
    if (!built) throw unreadable('the venue has no clock to ask')
    const { rateLimitMs, venue } = this.venue
    const request = chargedTo(venue, built, { rateLimitMs, baseUrl: this.#baseUrl })
    return { ...request, weight: Math.min(request.weight, this.spec.limits[0]!.capacity) }
  }

  async clockOf(body: Uint8Array): Promise<number> {
    const timeMs = await this.#readClock(body)
    if (timeMs === undefined) throw unreadable('it holds no time')
    return timeMs
  }

  async #readClock(body: Uint8Array): Promise<number | undefined> {
    const exchange = await this.#exchange()
    const answer = { url: '', status: 200, text: textOf(body) }
    try {
      const timeMs = Number((await read(answer, () => exchange.fetchTime())).value)
      return isEpochMs(timeMs) && timeMs > 0 ? timeMs : undefined
    } catch {
      return undefined
    }
  }

  async #isClock(url: string): Promise<boolean> {
    return this.venue.clock && pathOf((await this.clockRequest()).url) === pathOf(url)
  }

  #marketOf(series: Series): Market {
    const market = marketNamed(this.venue, this.#type, series.instrument.symbol)
    if (market) return market
    throw new EverybarError('source.unknown-symbol', `nothing is known yet of ${seriesId(series)}`, {
      recovery: 'abort',
      hint: 'Run "everybar sync" for it once, with the network: it keeps what the venue says of the symbol.',
    })
  }

  /** The markets an address may speak of: their id is in it. Answers name the market they are of. */
  #marketsIn(url: string): readonly Market[] {
    const own = this.venue.markets.filter(({ type }) => type === this.#type)
    const named = own.filter(({ id }) => url.includes(id) || url.includes(encodeURIComponent(id)))
    return (named.length > 0 ? named : own).toSorted((a, b) => b.id.length - a.id.length)
  }
}

const notBuilt = (series: Series, error: unknown): EverybarError =>
  new EverybarError(
    'source.not-built',
    `ccxt builds no request for ${seriesId(series)}: ${messageOf(error)}`,
    {
      recovery: 'abort',
      hint: 'Check symbol and timeframe; the venue may want more than a public request of bars says.',
      ...(error instanceof Error && { cause: error }),
    },
  )

const pathOf = (url: string): string => url.replace(/[?#].*$/, '')

function opensBefore(rows: BarBatch, endMs: number): BarBatch {
  const positions = [...rows.openTimeMs.keys()].filter((i) => rows.openTimeMs[i]! < endMs)
  return positions.length === rows.length ? rows : pickBars(rows, positions)
}

const descends = ({ openTimeMs, length }: BarBatch): boolean =>
  length > 1 && openTimeMs.every((ms, i) => i === 0 || ms < openTimeMs[i - 1]!)

const reversed = (rows: BarBatch): BarBatch => pickBars(rows, [...rows.openTimeMs.keys()].reverse())

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => {
    made ??= make().catch((error: unknown) => {
      made = undefined
      throw error
    })
    return made
  }
}
