import { join } from 'node:path'
import { type FileSystem, faultCode } from '../../model/filesystem.ts'
import { type RangeSet, union } from '../../model/range-set.ts'
import type { TimeRange } from '../../model/time.ts'
import { SeriesBook } from '../book.ts'
import { notWritable } from '../faults.ts'
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
import type { ManifestPlace } from '../manifest-format.ts'
import { bySeries } from '../order.ts'
import { isAnswered } from '../status.ts'
import { readDocument, writeDocument } from './document.ts'
import { RunsFile } from './runs-file.ts'
import { readText, SeriesFile } from './series-file.ts'

export interface ManifestLedgerOptions {
  /** The data root: manifests lie in the series folders below it, runs in `<root>/.everybar/runs.json`. */
  readonly root: string
  readonly files: FileSystem
  /** Where a series' manifest lies and what it says at its head. */
  readonly placeOf: (series: LedgerSeries) => ManifestPlace
  /** Refuses writing. */
  readonly readOnly?: boolean
}

/**
 * A ledger of one `manifest.json` per series, to be read by eye and mended by hand. Every change writes the series' file
 * anew, so the cost of recording grows with the slices of the series: fit for thousands, not for millions. Changes that
 * come together share one write.
 */
export function openManifestLedger(options: ManifestLedgerOptions): Ledger {
  return new ManifestLedger(options)
}

class ManifestLedger implements Ledger {
  readonly #root: string
  readonly #files: FileSystem
  readonly #placeOf: (series: LedgerSeries) => ManifestPlace
  readonly #readOnly: boolean
  readonly #open = new Map<string, Promise<SeriesFile>>()
  readonly #runs: RunsFile

  constructor({ root, files, placeOf, readOnly = false }: ManifestLedgerOptions) {
    this.#readOnly = readOnly
    this.#root = root
    this.#files = files
    this.#placeOf = placeOf
    this.#runs = new RunsFile(files, join(root, '.everybar', 'runs.json'))
  }

  async record(series: LedgerSeries, records: readonly SliceRecord[]): Promise<void> {
    if (records.length > 0) await this.#change(series, (book) => book.record(structuredClone(records)))
  }

  async recordStored(
    series: LedgerSeries,
    store: string,
    facets: readonly StoreFacet[],
    files: readonly StoredFile[] = [],
  ): Promise<void> {
    const book = await this.#book(series)
    const known = book.slices().length > 0
    if ((known && files.length > 0) || facets.some(({ sliceId }) => book.get(sliceId))) {
      const [ownFacets, ownFiles] = structuredClone([facets, files] as const)
      await this.#change(series, (changed) => changed.recordStored(store, ownFacets, ownFiles))
    }
  }

  async *storedFiles(series: LedgerSeries, store: string): AsyncIterable<StoredFile> {
    yield* (await this.#book(series)).storedFiles(store)
  }

  async forget(series: LedgerSeries, sliceIds: readonly string[]): Promise<void> {
    const book = await this.#book(series)
    if (sliceIds.some((id) => book.get(id))) await this.#change(series, (changed) => changed.forget(sliceIds))
  }

  async forgetStore(series: LedgerSeries, store: string): Promise<void> {
    const book = await this.#book(series)
    if (book.stores.includes(store)) await this.#change(series, (changed) => changed.forgetStore(store))
  }

  async get(series: LedgerSeries, sliceId: string): Promise<SliceRecord | undefined> {
    return (await this.#book(series)).get(sliceId)
  }

  async *slices(series: LedgerSeries, range?: TimeRange): AsyncIterable<SliceRecord> {
    yield* (await this.#book(series)).slices(range)
  }

  async covered(series: LedgerSeries, range: TimeRange): Promise<RangeSet> {
    return (await this.#book(series)).covered(range)
  }

  async *notable(series: LedgerSeries, range: TimeRange): AsyncIterable<SliceRecord> {
    yield* (await this.#book(series)).notable(range)
  }

  async *unstored(series: LedgerSeries, store: string, range?: TimeRange): AsyncIterable<SliceRecord> {
    yield* (await this.#book(series)).unstored(store, range)
  }

  async *stored(series: LedgerSeries, store: string): AsyncIterable<StoreFacet> {
    yield* (await this.#book(series)).stored(store)
  }

  async *answeredIds(series: LedgerSeries): AsyncIterable<string> {
    for (const record of (await this.#book(series)).slices()) if (isAnswered(record)) yield record.sliceId
  }

  async revision(series: LedgerSeries): Promise<number> {
    return (await this.#book(series)).revision
  }

  async counts(series: LedgerSeries): Promise<Readonly<Record<SliceStatus, number>>> {
    return (await this.#book(series)).counts()
  }

  async want(series: LedgerSeries, range: TimeRange): Promise<void> {
    const { wanted } = await this.#book(series)
    if (JSON.stringify(union(wanted, [range])) !== JSON.stringify(wanted))
      await this.#change(series, (book) => book.want(range))
  }

  async wanted(series: LedgerSeries): Promise<RangeSet> {
    return (await this.#book(series)).wanted
  }

  async putFact(series: LedgerSeries, name: string, fact: Readonly<Record<string, unknown>>): Promise<void> {
    await this.#change(series, (book) => book.putFact(name, structuredClone(fact)))
  }

  async getFact(series: LedgerSeries, name: string): Promise<Readonly<Record<string, unknown>> | undefined> {
    return (await this.#book(series)).getFact(name)
  }

  async putRun(run: RunRecord): Promise<void> {
    if (this.#readOnly) throw notWritable(this.#root, 'it was opened for reading')
    await this.#runs.put(run)
  }

  async runs(limit = 100): Promise<readonly RunRecord[]> {
    return (await this.#runs.read()).slice(0, limit)
  }

  /** Reads the head of every manifest below the root. */
  async series(): Promise<readonly LedgerSeries[]> {
    const found: LedgerSeries[] = []
    for await (const folder of this.#foldersAt(this.#root, ['*', '*', 'raw', '*', '*'])) {
      const path = join(folder, 'manifest.json')
      const text = await readText(this.#files, path)
      const series = text && readDocument(text, path).series
      if (series) found.push(series)
    }
    return found.sort(bySeries)
  }

  async *#foldersAt(path: string, pattern: readonly string[]): AsyncGenerator<string> {
    const [first, ...rest] = pattern
    if (first === undefined) {
      yield path
      return
    }
    try {
      for await (const { name, kind } of this.#files.list(path)) {
        if (kind === 'directory' && (first === '*' || first === name))
          yield* this.#foldersAt(join(path, name), rest)
      }
    } catch (error) {
      if (faultCode(error) !== 'ENOENT') throw notWritable(path, error)
    }
  }

  /** A manifest is only what it says: one that would be written otherwise was changed by somebody else. */
  async check(): Promise<LedgerCheck> {
    const faults: LedgerCheck['faults'][number][] = []
    for (const series of await this.series()) {
      const place = this.#placeOf(series)
      const text = await readText(this.#files, place.path)
      if (text === undefined) continue
      const { book, relativePath } = readDocument(text, place.path)
      if (writeDocument(series, { ...place, ...(relativePath && { relativePath }) }, book) !== text)
        faults.push({ path: place.path, detail: 'it is not written as everybar writes it' })
    }
    return { sealed: false, faults }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#open.clear()
  }

  async #book(series: LedgerSeries): Promise<SeriesBook> {
    return (await this.#file(series)).book
  }

  async #change(series: LedgerSeries, make: (book: SeriesBook) => void): Promise<void> {
    const file = await this.#file(series)
    if (this.#readOnly) throw notWritable(this.#placeOf(series).path, 'it was opened for reading')
    await file.change(make)
  }

  /** The series' file as it is now: read again when another process has written it. */
  async #file(series: LedgerSeries): Promise<SeriesFile> {
    const id = JSON.stringify([series.seriesId, series.endpoint])
    for (;;) {
      const open = this.#open.get(id)
      if (!open) {
        const reading = this.#read(series)
        this.#open.set(id, reading)
        reading.catch(() => this.#open.delete(id))
        return reading
      }
      const file = await open
      if (await file.isCurrent()) return file
      if (this.#open.get(id) === open) this.#open.delete(id)
    }
  }

  async #read(series: LedgerSeries): Promise<SeriesFile> {
    const place = this.#placeOf(series)
    const { path } = place
    const stamp = await this.#files.stamp(path).catch((error: unknown) => {
      throw notWritable(path, error)
    })
    const text = await readText(this.#files, path)
    const book = text === undefined ? new SeriesBook() : readDocument(text, path).book
    return new SeriesFile({
      files: this.#files,
      path,
      book,
      stamp,
      text: (changed) => writeDocument(series, place, changed),
    })
  }
}
