import type { BarBatch } from '../model/bar.ts'
import type { Series } from '../model/series.ts'
import type { EpochMs, TimeRange } from '../model/time.ts'

/** What a store is like, as data the pipeline reads. */
export interface StoreTraits {
  /** The kind: `parquet`, `postgres`, `bigquery`, `memory`. */
  readonly kind: string
  /** Bars a commit should hold for good speed; any number is correct. */
  readonly rowsPerCommit: number
  /** Whether small commits should rather be collected up to a month boundary (a month is rewritten whole). */
  readonly rewritesMonths: boolean
}

/** A bar the store would not take, and why: a constraint of its table, a value its column cannot hold. */
export interface SetAsideBar {
  readonly openTimeMs: EpochMs
  readonly reason: string
}

/** A file as a commit has left it. */
export interface CommittedFile {
  /** Relative to the data root, with `/`. */
  readonly path: string
  /** Where its bars open: a calendar month. */
  readonly range: TimeRange
  readonly bytes: number
  /** Of the whole file; `null`: there is no such file any more. */
  readonly sha256: string | null
}

/** What a commit changed. `inserted + revised + unchanged + setAside.length` is the length of the batch. */
export interface CommitResult {
  readonly inserted: number
  /** Bars that were there with other values and have the new ones now. */
  readonly revised: number
  readonly unchanged: number
  /** Open times of the revised bars, ascending, the first hundred. */
  readonly revisedAtMs: readonly EpochMs[]
  /** Bars left out so that the others could be kept, ascending; absent when there are none. They are not stored. */
  readonly setAside?: readonly SetAsideBar[]
  /** The files that hold the bars of the batch now, changed or not; absent for stores that keep none. */
  readonly files?: readonly CommittedFile[]
}

export interface StoredExtent {
  readonly rows: number
  readonly firstMs: EpochMs
  readonly lastMs: EpochMs
}

/** Bars of one series, among those of others that go to a store together. */
export interface AppendEntry {
  readonly series: Series
  readonly batch: BarBatch
}

/**
 * Where final bars are kept. A projection of the archive: it can always be made again. Equal rows change nothing;
 * a repeat is harmless.
 */
export interface Store extends AsyncDisposable {
  readonly traits: StoreTraits
  /** The name it has in the configuration and in the ledger. */
  readonly name: string
  /**
   * The place itself, `host:port/database/schema.table`: where it is another than the ledger noted, the store has nothing
   * yet. Absent for one that has its place by itself. Never a user, a password or anything else that may change while
   * the place stays.
   */
  readonly target?: string

  /**
   * Adds or replaces by (series, open time), all or none of each calendar month at least. Durable when it resolves.
   * An empty batch does nothing.
   *
   * @throws EverybarError `store.disk-full`, `store.not-writable`, `store.schema` (abort), `store.unreachable` (retry),
   *   `store.corrupt` (abort: what is there already cannot be read; rebuild it).
   */
  commit(series: Series, batch: BarBatch, signal?: AbortSignal): Promise<CommitResult>

  /**
   * As `commit` for each entry, for a few newly closed bars of many series at once: what it costs does not depend on how
   * much history a series has, where the bars are newer than the last. One result for each entry, in their order. All or
   * none of each entry, or of each calendar month of it where a month is rewritten. Durable when it resolves. No entries
   * and empty batches do nothing.
   *
   * When it rejects, any of the entries may be stored; a repeat is harmless, and entries one by one tell which is at
   * fault.
   *
   * @throws EverybarError as `commit` does; `store.bad-batch` (abort) also for a series that stands in two entries, before
   *   anything is stored.
   */
  append(entries: readonly AppendEntry[], signal?: AbortSignal): Promise<readonly CommitResult[]>

  /**
   * Takes the bar of each series that has not closed yet, in place of the one before it, apart from the final bars: no
   * reader of those ever sees it. Absent where a store keeps none, or is not asked to.
   *
   * @param entries one bar for each series. @throws EverybarError as `append` does.
   */
  provisional?(entries: readonly AppendEntry[], signal?: AbortSignal): Promise<void>

  /**
   * Makes the store hold exactly `batch` in `range`: bars there that are not in the batch are removed. Used by repair
   * and rebuild; does not read what it replaces, so damage there is no obstacle.
   */
  replace(series: Series, range: TimeRange, batch: BarBatch, signal?: AbortSignal): Promise<CommitResult>

  /**
   * Bars of `series` that open in `range`, ascending, in runs of a bounded size (at most a month each). A series never
   * written reads as nothing; gaps are left as gaps. Sees every commit that resolved before the call.
   *
   * @throws EverybarError `store.corrupt` (abort) naming the file.
   */
  scan(series: Series, range: TimeRange, signal?: AbortSignal): AsyncIterable<BarBatch>

  /** First, last and number of bars; `undefined` for a series never written. */
  extent(series: Series): Promise<StoredExtent | undefined>
}
