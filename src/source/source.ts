import type { ChunkHint, ChunkPolicy, WeightPolicy } from '../chunking/definitions.ts'
import type { BarBatch } from '../model/bar.ts'
import type { Finding } from '../model/finding.ts'
import type { HttpRequest, RawResponse } from '../model/http.ts'
import type { Series } from '../model/series.ts'
import type { Slice } from '../model/slice.ts'
import type { EpochMs, TimeRange } from '../model/time.ts'

/** A value, now or later. */
export type Awaitable<T> = T | Promise<T>

/** One rate limit of a venue: `capacity` weight in every window of `windowMs`, per egress address. */
export interface RateLimit {
  readonly bucket: string
  readonly capacity: number
  readonly windowMs: number
  /** What the venue adds up: the weights of requests, or their number. Weights unless said. */
  readonly counts?: 'weight' | 'requests'
}

/** What one endpoint can do, as data. The planner, the fetcher and the contract suite read it; none knows a venue. */
export interface EndpointSpec {
  /** `binance.klines`: venue, dot, endpoint. */
  readonly id: string
  readonly venue: string
  /** The venue's markets it serves: `['spot']`. */
  readonly markets: readonly string[]
  /** Folder name under `<root>/<venue>/`: `klines`. */
  readonly directory: string
  readonly timeframes: readonly string[]
  readonly chunkPolicy: ChunkPolicy | ((request: { readonly timeframe: string }) => ChunkPolicy)
  readonly chunkHint: ChunkHint
  readonly weightPolicy: WeightPolicy
  /** Whether a bar that opens exactly at the start or end parameter is in the answer. */
  readonly bounds: { readonly start: 'inclusive' | 'exclusive'; readonly end: 'inclusive' | 'exclusive' }
  readonly order: 'ascending' | 'descending'
  /** Bars without a trade: sent as zero-volume rows, or left out. */
  readonly quietBars: 'emitted' | 'omitted'
  /**
   * How long after its width is over a bar may still change, by the venue's clock. Negative where trading ends before the
   * width does: a day's bar of a market that closes at 15:30; as much later then as the market's calendar has a session
   * end later on a day.
   */
  readonly settleMs: number
  /** The bucket requests are charged to, and its limits until the venue has told its own. */
  readonly bucket: string
  readonly limits: readonly RateLimit[]
  /**
   * For endpoints that only ever give their latest bars, so many, whatever is asked for: older ones cannot be had.
   * `beyond` is what is said of those: not complete, or absent at the source and settled with that.
   */
  readonly reach?: { readonly bars: number; readonly beyond: 'never_fetched' | 'source_absent' }
  /** For endpoints that cap a request by days: slices are that many calendar days, `offsetMs` ahead of UTC. */
  readonly sliceDays?: (timeframe: string) => { readonly count: number; readonly offsetMs: number }
  /** A point of the grid bars open on, where it is not the epoch's: days that begin at a local midnight. */
  readonly anchorMs?: (timeframe: string) => EpochMs
  /**
   * How a slice that reaches the present is asked again: `whole`, unless said, or its `tail` from the bar after the last
   * known one, where slices are so long that the whole would be most of the traffic. Once its window has passed it is
   * asked whole either way.
   */
  readonly openSlices?: 'whole' | 'tail'
  /** For each claim above, what proves it: a page of the venue's documentation or a fixture. */
  readonly evidence: Readonly<Record<string, string>>
}

/** What is asked in one request: bars of `series` that open in `range`, `limit` at most. */
export interface BarWindow {
  readonly series: Series
  readonly range: TimeRange
  readonly limit: number
}

/** A page as the venue sent it: rows in answer order, neither sorted nor deduplicated nor checked for sense. */
export interface DecodedPage {
  /** Columns of the rows that could be read. `openTimeMs` may be in any order here. */
  readonly rows: BarBatch
  /** Rows that could not be read, one finding each; they are not in `rows`. */
  readonly badRows: readonly Finding[]
}

/** How a search reaches the venue. */
export interface AskVenue {
  readonly ask: (request: HttpRequest) => Promise<RawResponse>
  /** This machine's clock; the venue's own is to be preferred. */
  readonly nowMs: EpochMs
}

/** What a venue says of itself and its clock. */
export interface VenueInfo {
  readonly venueTimeMs: EpochMs
  /** Empty where the venue does not say. */
  readonly limits: readonly RateLimit[]
}

/**
 * An endpoint's spec and its pure functions. No I/O, no clock, no waiting, no retry: the same input gives the same
 * output, always. A function may answer with a promise, for libraries that know no other way; what it promises is
 * settled without the world outside. Adding one: `docs/adding-a-source.md`.
 */
export interface Source {
  readonly spec: EndpointSpec

  /**
   * The request for a window. A window wider than the endpoint serves in one answer is a bug and throws
   * `source.window-too-wide` (abort).
   */
  readonly request: (window: BarWindow) => Awaitable<HttpRequest>

  /**
   * Refuses what is not an answer: any status but 2xx, HTML, an empty or truncated body, `null`, an error object.
   * Called before anything is archived, on every answer; gives nothing when the body has the endpoint's shape.
   *
   * @throws EverybarError `retry` for what may pass (5xx, 429, 418, HTML with status 200, broken JSON), `abort` for
   *   what will not (unknown symbol, bad interval).
   */
  readonly check: (response: Pick<RawResponse, 'status' | 'headers' | 'body' | 'url'>) => Awaitable<void>

  /**
   * Reads a checked body strictly: text that is no number, `null`, NaN and missing columns become `badRows`.
   *
   * @throws EverybarError `source.unreadable` (quarantine) when the body as a whole cannot be read.
   */
  readonly decode: (body: Uint8Array, window: Slice | BarWindow) => Awaitable<DecodedPage>

  /** How to find the first bar the venue has of a series; absent where it cannot be asked. */
  readonly firstBar?: {
    readonly request: (series: Series) => Awaitable<HttpRequest>
    /** Open time of the first bar; `undefined` when the venue answered that it has none. */
    readonly decode: (body: Uint8Array, series: Series) => Awaitable<EpochMs | undefined>
  }

  /**
   * The same for venues that have to be asked several times, each question depending on the answers before it. `ask` is
   * the caller's: it fetches, and checks the answer as any other.
   */
  readonly searchFirstBar?: (series: Series, venue: AskVenue) => Promise<EpochMs | undefined>

  /** How to find the latest bar the venue has, closed or not; absent where it cannot be asked. */
  readonly lastBar?: {
    readonly request: (series: Series) => Awaitable<HttpRequest>
    readonly decode: (body: Uint8Array, series: Series) => Awaitable<EpochMs | undefined>
  }

  /** How to find the next bar the venue has, closed or not, that opens at or after a time; absent where it cannot be asked. */
  readonly nextBar?: {
    readonly request: (series: Series, fromMs: EpochMs) => Awaitable<HttpRequest>
    readonly decode: (body: Uint8Array, series: Series) => Awaitable<EpochMs | undefined>
  }

  /** Every symbol a market lists, traded now or not; absent where it cannot be asked. */
  readonly instruments?: {
    readonly request: (market: string) => Awaitable<HttpRequest>
    readonly decode: (
      body: Uint8Array,
    ) => Awaitable<readonly { readonly symbol: string; readonly status: string }[]>
  }

  /** One cheap request for the venue's clock and limits; absent where there is none (the `Date` header serves then). */
  readonly venueInfo?: {
    readonly request: (series: Series) => Awaitable<HttpRequest>
    /** `headers` for venues that tell their clock there only; names in lower case. */
    readonly decode: (
      body: Uint8Array,
      series: Series,
      headers?: Readonly<Record<string, string>>,
    ) => Awaitable<VenueInfo>
  }
}

type AtOnce<T> = T extends (...args: infer A) => infer R
  ? (...args: A) => Awaited<R>
  : { readonly [K in keyof T]: AtOnce<T[K]> }

/** A source that never needs a promise: every one that is written here by hand. */
export type SyncSource = Pick<Source, 'spec'> & AtOnce<Omit<Source, 'spec' | 'searchFirstBar'>>
