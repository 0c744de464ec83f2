import { join, resolve } from 'node:path'
import { type BarBatch, batchWithin, emptyBatch } from '../../model/bar.ts'
import { isEverybarError, messageOf } from '../../model/errors.ts'
import { type OnEvent, silent } from '../../model/events.ts'
import { lakePath } from '../../model/lake.ts'
import { type Series, seriesId } from '../../model/series.ts'
import { monthOf, overlap, type TimeRange } from '../../model/time.ts'
import {
  byMonth,
  checkBatch,
  checkEntries,
  checkWithin,
  mergeBars,
  nothingChanged,
  replaceBars,
} from '../bars.ts'
import type { Lake, LakeFile } from '../lake.ts'
import type { AppendEntry, CommitResult, StoredExtent, StoreTraits } from '../store.ts'
import { Engine } from './engine.ts'
import { readError } from './errors.ts'
import { readExtent } from './extent.ts'
import { type LakeFilesystem, nodeFilesystem } from './filesystem.ts'
import { filesOf, listSeries, parquetFiles } from './listing.ts'
import { type FileState, MonthFiles, noFile } from './month-files.ts'
import { removeLeftovers } from './temp-files.ts'
import { Turns } from './turns.ts'

export interface LakeOptions {
  /** The data root; files are under `<root>/lake`. Need not exist yet. */
  readonly root: string
  /** The store's name in the configuration and the ledger; `parquet` unless said. */
  readonly name?: string
  /** What DuckDB may use for one writing or reading, `512MB` unless said. Columns in JavaScript come on top. */
  readonly memoryLimit?: string
  readonly onEvent?: OnEvent
  readonly filesystem?: LakeFilesystem
}

const traits: StoreTraits = { kind: 'parquet', rowsPerCommit: 131_072, rewritesMonths: true }

/**
 * Opens the Parquet lake under a data root and clears away what killed writers have left. DuckDB is loaded when first
 * needed. One process writes at a time (the root's lock sees to that); any number may read.
 *
 * The same bars give the same bytes, in whatever order and portions they were committed. A commit reads each month it
 * touches, and writes only the months it changes. Memory: the columns of one month, twice, while it is merged.
 */
export async function openLake(options: LakeOptions): Promise<Lake> {
  const root = resolve(options.root)
  const fs = options.filesystem ?? nodeFilesystem
  const removed = await removeLeftovers(root, fs)
  if (removed > 0) options.onEvent?.({ event: 'store_leftovers_removed', level: 'info', root, removed })
  return new ParquetLake({ ...options, root, fs })
}

class ParquetLake implements Lake {
  readonly traits = traits
  readonly name: string
  private readonly root: string
  private readonly fs: LakeFilesystem
  private readonly engine: Engine
  private readonly months: MonthFiles
  private readonly onEvent: OnEvent
  /** Writers of one file wait for each other; files are independent. */
  private readonly turns = new Turns()

  constructor(options: LakeOptions & { readonly fs: LakeFilesystem }) {
    this.name = options.name ?? 'parquet'
    this.root = options.root
    this.fs = options.fs
    this.engine = new Engine(options.memoryLimit ?? '512MB')
    this.months = new MonthFiles(this.root, this.engine, this.fs)
    this.onEvent = options.onEvent ?? silent
  }

  async commit(series: Series, batch: BarBatch, signal?: AbortSignal): Promise<CommitResult> {
    checkBatch(batch)
    let total = nothingChanged
    for (const { month, bars } of byMonth(batch)) {
      signal?.throwIfAborted()
      const path = this.months.pathOf(series, month)
      const changed = await this.turns.take(path, async () => {
        const old = await this.months.read(series, month)
        const merged = mergeBars(old ?? emptyBatch, bars)
        const changes = merged.inserted + merged.revised > 0
        const state = changes
          ? await this.write(series, month, merged.batch)
          : await this.months.stateOf(path)
        return { ...merged, files: [{ ...fileOf(series, month), ...(state ?? noFile) }] }
      })
      total = sum(total, changed)
    }
    return total
  }

  async append(entries: readonly AppendEntry[], signal?: AbortSignal): Promise<readonly CommitResult[]> {
    checkEntries(entries)
    const results: CommitResult[] = []
    for (const { series, batch } of entries) results.push(await this.commit(series, batch, signal))
    return results
  }

  async replace(
    series: Series,
    range: TimeRange,
    batch: BarBatch,
    signal?: AbortSignal,
  ): Promise<CommitResult> {
    checkBatch(batch)
    checkWithin(batch, range)
    const months = new Map<number, TimeRange>()
    for (const { month } of byMonth(batch)) months.set(month.startMs, month)
    for await (const { month } of filesOf(this.root, series, this.fs)) {
      if (overlap(month, range)) months.set(month.startMs, month)
    }
    let total = nothingChanged
    for (const startMs of [...months.keys()].sort((a, b) => a - b)) {
      signal?.throwIfAborted()
      total = sum(total, await this.replaceMonth(series, months.get(startMs)!, range, batch))
    }
    return total
  }

  async *scan(series: Series, range: TimeRange, signal?: AbortSignal): AsyncGenerator<BarBatch> {
    for await (const { month } of filesOf(this.root, series, this.fs)) {
      if (!overlap(month, range)) continue
      signal?.throwIfAborted()
      for await (const run of this.months.stream(series, month, range)) {
        yield run
        signal?.throwIfAborted()
      }
    }
  }

  async extent(series: Series): Promise<StoredExtent | undefined> {
    const paths: string[] = []
    for await (const { path } of this.files(series)) paths.push(join(this.root, path))
    return paths.length === 0 ? undefined : readExtent(this.engine, paths)
  }

  async seriesList(): Promise<Series[]> {
    const listed = await listSeries(this.root, this.fs, (path) => this.months.seriesIn(path))
    return listed.map(({ series }) => series)
  }

  files(series: Series): AsyncIterable<LakeFile> {
    return filesOf(this.root, series, this.fs)
  }

  readMonth(series: Series, month: TimeRange): Promise<BarBatch | undefined> {
    return this.months.read(series, monthOf(month.startMs))
  }

  allFiles(): AsyncIterable<string> {
    return parquetFiles(this.root, this.fs)
  }

  fileState(path: string) {
    return this.months.stateOf(join(this.root, path))
  }

  async *openTimes(paths: readonly string[]): AsyncGenerator<Float64Array> {
    const whole = paths.map((path) => join(this.root, path))
    try {
      yield* this.engine.readTimes(whole)
    } catch (error) {
      await readExtent(this.engine, whole) // names the file, where its footer is at fault
      throw readError(error, whole.find((path) => messageOf(error).includes(path)) ?? whole[0]!)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.turns.idle()
    await this.engine.close()
  }

  private replaceMonth(
    series: Series,
    month: TimeRange,
    range: TimeRange,
    batch: BarBatch,
  ): Promise<CommitResult> {
    const whole = range.startMs <= month.startMs && range.endMs >= month.endMs
    return this.turns.take(this.months.pathOf(series, month), async () => {
      const old = (await this.readTolerant(series, month, whole)) ?? emptyBatch
      const bars = batchWithin(batch, month)
      // Written even where the bars are equal: the bytes may be damaged where reading does not look.
      const state = await this.write(series, month, whole ? bars : replaceBars(old, range, bars))
      return {
        ...mergeBars(batchWithin(old, range), bars),
        files: [{ ...fileOf(series, month), ...state }],
      }
    })
  }

  /** A month's bars; nothing for a damaged file that is about to be replaced whole. */
  private async readTolerant(
    series: Series,
    month: TimeRange,
    whole: boolean,
  ): Promise<BarBatch | undefined> {
    try {
      return await this.months.read(series, month)
    } catch (error) {
      if (whole && isEverybarError(error, 'store.corrupt')) return undefined
      throw error
    }
  }

  private async write(series: Series, month: TimeRange, bars: BarBatch): Promise<FileState> {
    const state = await this.months.write(series, month, bars)
    this.onEvent({
      event: 'store_month_written',
      level: 'debug',
      series: seriesId(series),
      ...month,
      rows: bars.length,
    })
    return state
  }
}

const fileOf = (series: Series, month: TimeRange) => ({
  path: lakePath(series, month.startMs),
  range: month,
})

const sum = (a: CommitResult, b: CommitResult): CommitResult => ({
  inserted: a.inserted + b.inserted,
  revised: a.revised + b.revised,
  unchanged: a.unchanged + b.unchanged,
  revisedAtMs: [...a.revisedAtMs, ...b.revisedAtMs].slice(0, 100),
  files: [...(a.files ?? []), ...(b.files ?? [])],
})
