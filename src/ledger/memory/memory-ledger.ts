import type { RangeSet } from '../../model/range-set.ts'
import type { TimeRange } from '../../model/time.ts'
import { SeriesBook } from '../book.ts'
import type {
  Ledger,
  LedgerCheck,
  LedgerSeries,
  RunRecord,
  SliceRecord,
  SliceStatus,
  StoredFile,
  StoreFacet,
} from '../ledger.ts'
import { bySeries, latestFirst } from '../order.ts'
import { isAnswered } from '../status.ts'

/** A ledger that lives as long as the process; for tests. */
export function memoryLedger(): Ledger {
  return new MemoryLedger()
}

class MemoryLedger implements Ledger {
  readonly #books = new Map<string, { readonly series: LedgerSeries; readonly book: SeriesBook }>()
  readonly #runs = new Map<string, RunRecord>()

  #book(series: LedgerSeries): SeriesBook {
    const id = JSON.stringify([series.seriesId, series.endpoint])
    const found = this.#books.get(id) ?? { series, book: new SeriesBook() }
    return found.book
  }

  /** Only writing makes a series known. */
  #bookToWrite(series: LedgerSeries): SeriesBook {
    const book = this.#book(series)
    this.#books.set(JSON.stringify([series.seriesId, series.endpoint]), { series, book })
    return book
  }

  async record(series: LedgerSeries, records: readonly SliceRecord[]): Promise<void> {
    if (records.length > 0) this.#bookToWrite(series).record(structuredClone(records))
  }

  async recordStored(
    series: LedgerSeries,
    store: string,
    facets: readonly StoreFacet[],
    files: readonly StoredFile[] = [],
  ): Promise<void> {
    this.#book(series).recordStored(store, structuredClone(facets), structuredClone(files))
  }

  async *storedFiles(series: LedgerSeries, store: string): AsyncIterable<StoredFile> {
    yield* this.#book(series).storedFiles(store)
  }

  async forget(series: LedgerSeries, sliceIds: readonly string[]): Promise<void> {
    this.#book(series).forget(sliceIds)
  }

  async get(series: LedgerSeries, sliceId: string): Promise<SliceRecord | undefined> {
    return this.#book(series).get(sliceId)
  }

  async *slices(series: LedgerSeries, range?: TimeRange): AsyncIterable<SliceRecord> {
    yield* this.#book(series).slices(range)
  }

  async covered(series: LedgerSeries, range: TimeRange): Promise<RangeSet> {
    return this.#book(series).covered(range)
  }

  async *notable(series: LedgerSeries, range: TimeRange): AsyncIterable<SliceRecord> {
    yield* this.#book(series).notable(range)
  }

  async *unstored(series: LedgerSeries, store: string, range?: TimeRange): AsyncIterable<SliceRecord> {
    yield* this.#book(series).unstored(store, range)
  }

  async *stored(series: LedgerSeries, store: string): AsyncIterable<StoreFacet> {
    yield* this.#book(series).stored(store)
  }

  async forgetStore(series: LedgerSeries, store: string): Promise<void> {
    this.#book(series).forgetStore(store)
  }

  async series(): Promise<readonly LedgerSeries[]> {
    return [...this.#books.values()].map(({ series }) => series).sort(bySeries)
  }

  async *answeredIds(series: LedgerSeries): AsyncIterable<string> {
    for (const record of this.#book(series).slices()) if (isAnswered(record)) yield record.sliceId
  }

  async revision(series: LedgerSeries): Promise<number> {
    return this.#book(series).revision
  }

  async counts(series: LedgerSeries): Promise<Readonly<Record<SliceStatus, number>>> {
    return this.#book(series).counts()
  }

  async want(series: LedgerSeries, range: TimeRange): Promise<void> {
    this.#bookToWrite(series).want(range)
  }

  async wanted(series: LedgerSeries): Promise<RangeSet> {
    return this.#book(series).wanted
  }

  async putFact(series: LedgerSeries, name: string, fact: Readonly<Record<string, unknown>>): Promise<void> {
    this.#bookToWrite(series).putFact(name, structuredClone(fact))
  }

  async getFact(series: LedgerSeries, name: string): Promise<Readonly<Record<string, unknown>> | undefined> {
    return this.#book(series).getFact(name)
  }

  async putRun(run: RunRecord): Promise<void> {
    this.#runs.set(run.runId, structuredClone(run))
  }

  async runs(limit = 100): Promise<readonly RunRecord[]> {
    return [...this.#runs.values()].sort(latestFirst).slice(0, limit)
  }

  async check(): Promise<LedgerCheck> {
    return { sealed: true, faults: [] }
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
