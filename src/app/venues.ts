import { hash, randomBytes } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from '../config/schema.ts'
import type { Fetcher } from '../fetch/fetcher.ts'
import { EverybarError, isEverybarError } from '../model/errors.ts'
import type { Clock, OnEvent } from '../model/events.ts'
import { TEMPORARY_PREFIX, writeFileAtomic } from '../model/filesystem.ts'
import { type Series, seriesId, series as seriesOf } from '../model/series.ts'
import { ccxtSources } from '../source/ccxt/ccxt-source.ts'
import { isMarketType, openExchange, refuseUnknownMarket, unknownMarket } from '../source/ccxt/exchange.ts'
import { type KnownVenue, learnVenue, marketNamed, withMarket } from '../source/ccxt/known-venue.ts'
import type { Source } from '../source/source.ts'
import { nodeFileSystem } from './filesystem.ts'
import { cappedTo } from './page-limit.ts'

/** What is known of a venue that ccxt serves lies beside its answers, relative to the root. */
export const venueFile = (venue: string): string => `${venue}/markets.json`

export const isVenueFile = (path: string): boolean => /^[^/]+\/markets\.json$/.test(path)

export interface VenueRooms {
  readonly fetcher: Fetcher
  readonly clock: Clock
  readonly onEvent: OnEvent
  readonly signal?: AbortSignal | undefined
}

/**
 * Every source there is: the native ones, and one for each market of a venue that ccxt serves, as far as it is known
 * under the root. A venue not known yet is asked once for its markets; what is said of those wanted is kept, and from
 * then on nothing of it needs the network.
 */
export class VenueBook {
  /** Grows when a venue is introduced; the native sources come first, and so win. */
  readonly sources: Source[]
  /** Files under the root that are not as they were written, relative to it. */
  readonly damaged: string[] = []
  readonly #config: Config
  readonly #root: string | undefined
  readonly #native: number
  readonly #known = new Map<string, KnownVenue>()
  readonly #listings = new Map<string, Promise<KnownVenue>>()
  #writing: Promise<void> = Promise.resolve()

  /** @param root where to keep what is learned; `undefined` keeps it to this process. */
  constructor(config: Config, native: readonly Source[], root: string | undefined) {
    this.#config = config
    this.#root = root
    this.#native = native.length
    this.sources = [...native]
  }

  /** Reads what is kept of venues under the root. A file that cannot be read is passed over, and asked for anew. */
  async open(onEvent: OnEvent): Promise<this> {
    const folders = await readdir(this.#config.root, { withFileTypes: true }).catch(() => [])
    for (const folder of folders) {
      if (folder.isFile() || folder.name.startsWith('.')) continue
      const path = join(this.#config.root, venueFile(folder.name))
      const text = await readFile(path, 'utf8').catch(() => undefined)
      if (text === undefined) continue
      const venue = readKnown(text)
      if (venue?.venue === folder.name) this.#remember(venue)
      else {
        this.damaged.push(venueFile(folder.name))
        onEvent({ event: 'venue_file_damaged', level: 'warn', path })
      }
    }
    return this
  }

  /** The series in the venue's own spelling, as far as that is known; else as it is. */
  canonical(series: Series): Series {
    const native = nativeSpelling(series)
    const { venue, market, symbol } = native.instrument
    const known = this.#known.get(venue)
    const found = known && marketNamed(known, market, symbol)
    return found ? respelt(native, found.id) : native
  }

  /** Whether a source of ours serves the series' market, so that ccxt is not asked. */
  isNative({ instrument }: Series): boolean {
    return this.sources
      .slice(0, this.#native)
      .some(({ spec }) => spec.venue === instrument.venue && spec.markets.includes(instrument.market))
  }

  /**
   * The series in the venue's own spelling, with a source that serves it: what is not known of the venue is asked.
   *
   * @throws EverybarError `source.ccxt-missing`, `source.unknown-venue`, `source.unknown-market`,
   *   `source.unknown-symbol`, `source.no-bars` (abort), or what a fetch throws.
   */
  async introduce(series: Series, rooms: VenueRooms): Promise<Series> {
    const wanted = this.canonical(series)
    const { venue, market, symbol } = wanted.instrument
    if (this.isNative(wanted) || this.#knows(venue, market, symbol)) return wanted
    const listing = await this.#listingOf(venue, market, rooms)
    const found = marketNamed(listing, market, symbol)
    if (!found) throw unknownSymbol(wanted, listing)
    const known = withMarket(this.#known.get(venue), listing, found)
    this.#remember(known)
    await this.#keep(known)
    rooms.onEvent({ event: 'venue_introduced', venue, market, symbol: found.id, ccxt: known.ccxt })
    return respelt(wanted, found.id)
  }

  /** Every symbol a venue's market lists. */
  async symbolsOf(venue: string, market: string, rooms: VenueRooms): Promise<readonly string[]> {
    return (await this.#listingOf(venue, market, rooms)).markets.map(({ id }) => id)
  }

  /** Whether a source for the series is at hand without asking the venue. */
  serves({ instrument: { venue, market, symbol } }: Series): boolean {
    return this.#knows(venue, market, symbol)
  }

  #knows(venue: string, market: string, symbol: string): boolean {
    const known = this.#known.get(venue)
    return known !== undefined && marketNamed(known, market, symbol) !== undefined
  }

  /**
   * Refuses a market that nothing can serve: neither a source of ours nor ccxt, by what it says of the venue. Asks nobody.
   *
   * @throws EverybarError `source.unknown-venue`, `source.unknown-market`, `source.no-bars`, `source.ccxt-missing` (abort).
   */
  async refuseUnserved({ venue, market }: Pick<Series['instrument'], 'venue' | 'market'>): Promise<void> {
    const native = this.sources.slice(0, this.#native).filter(({ spec }) => spec.venue === venue)
    const own = [...new Set(native.flatMap(({ spec }) => spec.markets))]
    try {
      const { exchange } = await openExchange(venue)
      refuseUnknownMarket(exchange, market, own)
    } catch (error) {
      // A venue of ours need not be known to ccxt, nor ccxt be installed to tell a slip.
      const slip = isEverybarError(error, 'source.ccxt-missing') && !isMarketType(market)
      if (own.length > 0 && (slip || isEverybarError(error, 'source.unknown-venue')))
        throw unknownMarket(venue, market, own)
      throw error
    }
  }

  /** Several that want the same listing share one question. A failure is not kept. */
  #listingOf(venue: string, market: string, rooms: VenueRooms): Promise<KnownVenue> {
    const key = `${venue}:${market}`
    const asked = this.#listings.get(key)
    if (asked) return asked
    const { fetcher, clock, signal } = rooms
    const listing = this.refuseUnserved({ venue, market }).then(() =>
      learnVenue(venue, market, {
        ask: (request, check) => fetcher.fetch(request, { check, ...(signal && { signal }) }),
        baseUrl: this.#baseUrl(venue),
        nowMs: clock.nowMs(),
      }),
    )
    this.#listings.set(key, listing)
    listing.catch(() => this.#listings.delete(key))
    return listing
  }

  #baseUrl(venue: string): string | undefined {
    const { ccxt } = this.#config.sources
    return ccxt.venues[venue]?.base_url ?? ccxt.base_url
  }

  #remember(known: KnownVenue): void {
    const mended = this.damaged.indexOf(venueFile(known.venue))
    if (mended >= 0) this.damaged.splice(mended, 1)
    this.#known.set(known.venue, known)
    const others = this.sources.filter(
      ({ spec }, i) => i < this.#native || spec.venue !== known.venue || !spec.evidence.ccxt,
    )
    const beyond = this.#config.sources.ccxt.beyond_reach === 'absent' ? 'source_absent' : 'never_fetched'
    const own = ccxtSources(known, { baseUrl: this.#baseUrl(known.venue), beyond })
    this.sources.splice(
      0,
      this.sources.length,
      ...others,
      ...own.map((source) => cappedTo(this.#config, source)),
    )
  }

  /** One after another: two symbols introduced at once are both in the file. */
  #keep(known: KnownVenue): Promise<void> {
    const root = this.#root
    if (root === undefined) return Promise.resolve()
    this.#writing = this.#writing
      .catch(() => {})
      .then(async () => {
        const folder = join(root, known.venue)
        await nodeFileSystem.makeDirectory(folder)
        const latest = this.#known.get(known.venue) ?? known
        const text = new TextEncoder().encode(textOf(latest))
        await writeFileAtomic(nodeFileSystem, join(root, venueFile(known.venue)), [text], {
          temporary: join(folder, `${TEMPORARY_PREFIX}${randomBytes(6).toString('hex')}`),
        })
      })
    return this.#writing
  }
}

/** A JSON document whose last field guards all before it. */
function textOf(known: KnownVenue): string {
  const guarded = JSON.stringify({ format: 1, ...known }, undefined, 1).replace(/\n}$/, ',')
  return `${guarded}\n "sha256": "${sha256(guarded)}"\n}\n`
}

/** `undefined` when any byte is not as it was written. */
function readKnown(text: string): KnownVenue | undefined {
  const [tail, guard] = /\n "sha256": "([0-9a-f]{64})"\n}\n$/.exec(text) ?? []
  if (tail === undefined || sha256(text.slice(0, -tail.length)) !== guard) return undefined
  const { format, sha256: _, ...known } = JSON.parse(text) as KnownVenue & { format: number; sha256: string }
  return format === 1 ? known : undefined
}

const sha256 = (text: string): string => hash('sha256', text)

/** ccxt's unified symbols where our own source serves the venue: `BTC/USDT` is BTCUSDT, `BTC/USDT:USDT` its future. */
function nativeSpelling(series: Series): Series {
  const { venue, market, symbol } = series.instrument
  const match = /^([^/:]+)\/([^/:]+)(?::([^/:]+))?$/.exec(symbol)
  if (venue !== 'binance' || !match) return series
  const [, base, quote, settle] = match
  if (settle !== undefined && settle !== quote) return series // settled in the coin itself: ccxt's
  const own = settle === undefined ? market : 'um'
  return seriesOf({ venue, market: own, symbol: `${base}${quote}` }, series.timeframe, series.price)
}

const respelt = (series: Series, symbol: string): Series =>
  series.instrument.symbol === symbol ? series : { ...series, instrument: { ...series.instrument, symbol } }

function unknownSymbol(series: Series, { markets }: KnownVenue): EverybarError {
  const { venue, market, symbol } = series.instrument
  const plain = (text: string) => text.replace(/[^a-z0-9]/gi, '').toLowerCase()
  const like = markets.filter(({ id, symbol: unified }) =>
    [id, unified].some(
      (name) => plain(name).startsWith(plain(symbol)) || plain(symbol).startsWith(plain(name)),
    ),
  )
  const names = like.slice(0, 5).map(({ id, symbol: unified }) => `${id} (${unified})`)
  return new EverybarError('source.unknown-symbol', `${venue}:${market} lists no symbol ${symbol}`, {
    recovery: 'abort',
    hint:
      names.length > 0
        ? `Did you mean ${names.join(', ')}?`
        : `Write it as the venue does, or as ccxt does (BTC/USD). ${seriesId(series)} may be on its other market.`,
  })
}
