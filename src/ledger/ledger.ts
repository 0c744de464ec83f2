import type { Finding } from '../model/finding.ts'
import type { RangeSet } from '../model/range-set.ts'
import type { EpochMs, TimeRange } from '../model/time.ts'

/**
 * - `pending`: known, not answered (an interrupted fetch is simply still pending);
 * - `ok`: answered after its window had closed, every row usable;
 * - `partial`: answered, but the window reaches past the venue's present; asked again later;
 * - `empty`: the venue answered, with no bar, after the window had closed;
 * - `failed`: no usable answer came; asked again by the next run;
 * - `quarantined`: answered, the bytes are safe, and all or some rows cannot be used; asked again by the next run.
 */
export type SliceStatus = 'pending' | 'ok' | 'partial' | 'empty' | 'failed' | 'quarantined'

/** A series at one endpoint: what slices belong to. */
export interface LedgerSeries {
  /** `seriesId`: `binance:spot:BTCUSDT:1m`. */
  readonly seriesId: string
  /** `EndpointSpec.id`: `binance.klines`. */
  readonly endpoint: string
}

/** What is known of one slice. */
export interface SliceRecord {
  readonly sliceId: string
  readonly key: string
  readonly range: TimeRange
  readonly limit: number
  readonly status: SliceStatus
  readonly httpStatus: number | null
  /** Rows in the answer. */
  readonly items: number
  readonly firstMs: EpochMs | null
  readonly lastMs: EpochMs | null
  readonly requestedAtMs: EpochMs | null
  readonly completedAtMs: EpochMs | null
  /** Why the status is `failed` or `quarantined`, with its code; no secrets. */
  readonly error: string | null
  /** Of the archived body; `null` when there is none. */
  readonly sha256: string | null
  /** The venue's clock when it answered; bars closed before it (less the settle time) were final. */
  readonly venueTimeMs: EpochMs | null
  /**
   * What was found in the answer, worst first. Runs of missing bars (`missing`) and of unusable ones (`unreadable`) are
   * all there; other kinds in a bounded number.
   */
  readonly findings: readonly Finding[]
}

/** What a store has of a slice. */
export interface StoreFacet {
  readonly sliceId: string
  /** Of the answer whose bars it committed. A slice whose record has another hash is behind. */
  readonly sha256: string
  readonly rows: number
}

/** A file a store keeps bars of a series in, as its last commit left it. */
export interface StoredFile {
  /** Relative to the data root, with `/`. */
  readonly path: string
  /** Where its bars open: a calendar month. */
  readonly range: TimeRange
  readonly bytes: number
  /** Of the whole file; `null`: the store has no such file any more. */
  readonly sha256: string | null
}

/** What a ledger can say of its own bytes. */
export interface LedgerCheck {
  /** Whether they are, byte for byte, what the last writer left. Without that only a comparison with the archive tells. */
  readonly sealed: boolean
  /** What is surely wrong with them. */
  readonly faults: readonly { readonly path: string; readonly detail: string }[]
}

export interface RunRecord {
  readonly runId: string
  readonly command: string
  readonly startedAtMs: EpochMs
  /** `null` while it runs, and for ever if it was killed. */
  readonly endedAtMs: EpochMs | null
  readonly exitCode: number | null
  /** Counts and figures of the run, JSON. */
  readonly report: Readonly<Record<string, unknown>>
}

/**
 * Status of every slice, and of every slice in every store. Written last, after the deed is durable. One process
 * writes at a time (the root's lock sees to it); others may read, and see every write that had resolved.
 *
 * All times epoch ms. A series nothing is known of reads as nothing: no record, nothing covered, all counts 0. Streams
 * show what was there when they began or a later state, each record whole; writing while one is read is allowed.
 *
 * Every method may throw EverybarError `ledger.newer-version` (abort: upgrade everybar), `ledger.corrupt` (abort:
 * `everybar rebuild --ledger`), `ledger.disk-full`, `ledger.not-writable` or `ledger.busy` (abort).
 */
export interface Ledger extends AsyncDisposable {
  /**
   * Replaces the records by slice id, all or none, durable when it resolves. A slice id that comes twice keeps the later
   * record. What stores have committed of a slice stays noted. No records: nothing happens. A record with a time or count
   * that is not a whole number is a bug and throws.
   */
  record(series: LedgerSeries, records: readonly SliceRecord[]): Promise<void>

  /**
   * Notes what a store has committed, and the files it left behind by path, all or none, durable when it resolves. Facets
   * of slices that are not known are left out, and so is everything of a series that is not known.
   */
  recordStored(
    series: LedgerSeries,
    store: string,
    facets: readonly StoreFacet[],
    files?: readonly StoredFile[],
  ): Promise<void>

  /** Forgets slices (their files are gone) and what stores have of them: they are simply not known any more. */
  forget(series: LedgerSeries, sliceIds: readonly string[]): Promise<void>

  /** The record of one slice. */
  get(series: LedgerSeries, sliceId: string): Promise<SliceRecord | undefined>

  /** Records whose range overlaps `range` (all, without one), ascending, streamed: memory does not grow with them. */
  slices(series: LedgerSeries, range?: TimeRange): AsyncIterable<SliceRecord>

  /**
   * Where slices need no request, within `range`: status `ok` or `empty`. Cost grows with the slices of this series in
   * `range` only, under a microsecond each.
   */
  covered(series: LedgerSeries, range: TimeRange): Promise<RangeSet>

  /**
   * The records that overlap `range` and say more than "answered, nothing missing": any status but `ok`, and `ok` ones
   * with findings. Ascending, streamed; the cost grows with what is found, not with the slices of the range.
   */
  notable(series: LedgerSeries, range: TimeRange): AsyncIterable<SliceRecord>

  /**
   * Slices with an archived answer that `store` has not committed in its current version, ascending: archived − stored.
   * `failed` slices have no answer and are not among them.
   */
  unstored(series: LedgerSeries, store: string, range?: TimeRange): AsyncIterable<SliceRecord>

  /** What `store` has committed, by slice, ascending. */
  stored(series: LedgerSeries, store: string): AsyncIterable<StoreFacet>

  /** The files of a store, by time. */
  storedFiles(series: LedgerSeries, store: string): AsyncIterable<StoredFile>

  /** Takes a store's facets and files back, so that everything is replayed into it. */
  forgetStore(series: LedgerSeries, store: string): Promise<void>

  /** Every series there is anything of, sorted by id. */
  series(): Promise<readonly LedgerSeries[]>

  /** Ids of all slices with an archived answer, in no order: what the archive's listing is compared with. */
  answeredIds(series: LedgerSeries): AsyncIterable<string>

  /**
   * Grows with every change to the records of the series: what was made from them is up to date while this stands. 0
   * where nothing was ever recorded.
   */
  revision(series: LedgerSeries): Promise<number>

  /** Counts by status; every status is there. */
  counts(series: LedgerSeries): Promise<Readonly<Record<SliceStatus, number>>>

  /** Adds to the ranges people asked for. Asking for what was asked for before writes nothing. */
  want(series: LedgerSeries, range: TimeRange): Promise<void>
  wanted(series: LedgerSeries): Promise<RangeSet>

  /** A fact with its evidence, JSON: the first bar, a delisting, a learned page cap. Replaces an older one. */
  putFact(series: LedgerSeries, name: string, fact: Readonly<Record<string, unknown>>): Promise<void>
  getFact(series: LedgerSeries, name: string): Promise<Readonly<Record<string, unknown>> | undefined>

  /** Replaces by run id. */
  putRun(run: RunRecord): Promise<void>
  /** Latest start first; a hundred unless said. */
  runs(limit?: number): Promise<readonly RunRecord[]>

  /** Looks at the keeper's own bytes. Costs a hash of them, and a look at their structure where that does not fit. */
  check(): Promise<LedgerCheck>
}
