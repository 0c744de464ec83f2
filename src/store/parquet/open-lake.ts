import { join, resolve } from 'node:path'
import { type BarBatch, batchWithin, emptyBatch } from '../../model/bar.ts'
import { isEverybarError } from '../../model/errors.ts'
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
  ownCopy,
  replaceBars,
} from '../bars.ts'
import type { Compacted, CompactOptions, DeltaState, Lake, LakeFile } from '../lake.ts'
import type { AppendEntry, CommitResult, CommittedFile, StoredExtent, StoreTraits } from '../store.ts'
import { sortEntry } from './append.ts'
import { DELTA_FOLDER, DeltaFiles } from './delta-files.ts'
import { Engine } from './engine.ts'
import { altered, corrupt, readError } from './errors.ts'
import { type LakeFilesystem, nodeFilesystem } from './filesystem.ts'
import { LastBars } from './last-bars.ts'
import { filesOf, listSeries, parquetFiles } from './listing.ts'
import { type FileState, MonthFiles, noFile } from './month-files.ts'
import { LakeReads, underlay } from './reads.ts'
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
  /**
   * The sha256 that a month file (its path from the data root) had when it was last written, where somebody keeps that.
   * Bars are not merged with a file that has another, or is gone: what is wrong with it would get a good name.
   */
  readonly notedHash?: (series: Series, path: string) => Promise<string | null | undefined>
  readonly filesystem?: LakeFilesystem
}

/** What the lake is called unless somebody says otherwise. */
export const LAKE = 'parquet'

/** Hashes of its own files that a lake remembers. */
const WRITTEN_MAX = 4_096

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
  private readonly deltas: DeltaFiles
  private readonly last: LastBars
  private readonly reads: LakeReads
  private readonly onEvent: OnEvent
  private readonly notedHash: NonNullable<LakeOptions['notedHash']>
  /** Hashes of files written here, of which others may not have been told yet. */
  private readonly written = new Map<string, string | null>()
  /** Writers of one series wait for each other; series are independent. */
  private readonly turns = new Turns()

  constructor(options: LakeOptions & { readonly fs: LakeFilesystem }) {
    this.name = options.name ?? LAKE
    this.root = options.root
    this.fs = options.fs
    this.engine = new Engine(options.memoryLimit ?? '512MB')
    this.months = new MonthFiles(this.root, this.engine, this.fs)
    this.deltas = new DeltaFiles(this.root, this.fs)
    const folder = { root: this.root, fs: this.fs, engine: this.engine, months: this.months }
    this.last = new LastBars(folder)
    this.reads = new LakeReads({ ...folder, deltas: this.deltas })
    this.onEvent = options.onEvent ?? silent
    this.notedHash = options.notedHash ?? (async () => undefined)
  }

  async commit(series: Series, batch: BarBatch, signal?: AbortSignal): Promise<CommitResult> {
    checkBatch(batch)
    let total = nothingChanged
    for (const part of byMonth(batch)) {
      signal?.throwIfAborted()
      total = sum(total, await this.turns.take(seriesId(series), () => this.commitMonth(series, part)))
    }
    return total
  }

  async append(entries: readonly AppendEntry[], signal?: AbortSignal): Promise<readonly CommitResult[]> {
    checkEntries(entries)
    signal?.throwIfAborted()
    const filled = entries.filter(({ batch }) => batch.length > 0)
    if (filled.length === 0) return entries.map(() => nothingChanged)
    const ids = filled.map(({ series }) => seriesId(series))
    const results = await this.turns.takeAll(ids, () => this.appendFilled(filled, ids))
    return entries.map((entry) => results.get(entry) ?? nothingChanged)
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
    const pending = await this.reads.pending(series)
    for (const { month } of [...byMonth(batch), ...byMonth(batchWithin(pending, range))]) {
      months.set(month.startMs, month)
    }
    for await (const { month } of filesOf(this.root, series, this.fs)) {
      if (overlap(month, range)) months.set(month.startMs, month)
    }
    let total = nothingChanged
    for (const startMs of [...months.keys()].sort((a, b) => a - b)) {
      signal?.throwIfAborted()
      const month = months.get(startMs)!
      const replaced = this.turns.take(seriesId(series), () => this.replaceMonth(series, month, range, batch))
      total = sum(total, await replaced)
    }
    return total
  }

  scan(series: Series, range: TimeRange, signal?: AbortSignal): AsyncIterable<BarBatch> {
    return this.reads.scan(series, range, signal)
  }

  extent(series: Series): Promise<StoredExtent | undefined> {
    return this.reads.extent(series)
  }

  async deltaState(): Promise<DeltaState> {
    await this.deltas.refresh()
    return this.deltas.state()
  }

  async pendingBars(series: Series): Promise<BarBatch> {
    return ownCopy(await this.reads.pending(series))
  }

  skipDamagedDeltas(isKnown?: (series: string) => Promise<boolean>) {
    return this.deltas.skipDamaged(isKnown)
  }

  foldedCopies(series: Series, range: TimeRange, folder: string): Promise<readonly string[]> {
    return this.reads.foldedCopies(series, range, resolve(folder))
  }

  isFolded(series: Series, month: TimeRange): Promise<boolean> {
    return this.reads.isFolded(series, monthOf(month.startMs))
  }

  /** One at a time: the next one folds what is left. */
  compact(options: CompactOptions = {}): Promise<Compacted> {
    return this.turns.take('compact', () => this.compactNow(options))
  }

  private async compactNow({ each = (_, fold) => fold(), signal }: CompactOptions): Promise<Compacted> {
    const [skipped] = await this.deltas.skippedNames()
    if (skipped !== undefined) throw corrupt(join(this.root, DELTA_FOLDER, skipped), 'is damaged')
    await this.deltas.refresh()
    const names = this.deltas.taken()
    const { rows } = this.deltas.state()
    const series = this.deltas.series()
    const folded = new Set<string>()
    let months = 0
    for (const one of series) {
      signal?.throwIfAborted()
      await each(one, async () => {
        const files = await this.turns.take(seriesId(one), () => this.fold(one))
        folded.add(seriesId(one))
        months += files.length
        return files
      })
    }
    if (folded.size < series.length) throw new Error('a series was not folded: its delta files stay')
    await this.deltas.remove(names)
    return { files: names.length, rows, series: series.length, months }
  }

  async seriesList(): Promise<Series[]> {
    await this.deltas.refresh()
    const pending = this.deltas.series()
    const listed = await listSeries(this.root, this.fs, (path) => this.months.seriesIn(path))
    const all = [...listed.map(({ series }) => series), ...pending]
    const byId = new Map(all.map((series) => [seriesId(series), series]))
    return [...byId].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, series]) => series)
  }

  files(series: Series): AsyncIterable<LakeFile> {
    return filesOf(this.root, series, this.fs)
  }

  readMonth(series: Series, month: TimeRange): Promise<BarBatch | undefined> {
    return this.reads.month(series, monthOf(month.startMs))
  }

  async *allFiles(): AsyncGenerator<string> {
    try {
      yield* parquetFiles(this.root, this.fs)
    } catch (error) {
      throw readError(error, join(this.root, 'lake'))
    }
  }

  fileState(path: string) {
    return this.months.stateOf(join(this.root, path))
  }

  openTimes(paths: readonly string[], among = new Float64Array()): AsyncIterable<Float64Array> {
    return this.reads.openTimes(paths, among)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.turns.idle()
    await this.engine.close()
  }

  /** The bars of one month, in the turn of their series. What delta files have of the month is folded in on the way. */
  private async commitMonth(
    series: Series,
    { month, bars }: { readonly month: TimeRange; readonly bars: BarBatch },
  ): Promise<CommitResult> {
    await this.checkUnaltered(series, month)
    const old = await this.reads.month(series, month)
    const { batch, ...changed } = mergeBars(old ?? emptyBatch, bars)
    const changes = changed.inserted + changed.revised > 0
    const state = changes
      ? await this.write(series, month, batch)
      : await this.months.stateOf(this.months.pathOf(series, month))
    return { ...changed, files: [{ ...fileOf(series, month), ...(state ?? noFile) }] }
  }

  /** Entries with bars, in the turn of all their series: one delta file, and commits for those that need one. */
  private async appendFilled(
    entries: readonly AppendEntry[],
    ids: readonly string[],
  ): Promise<ReadonlyMap<AppendEntry, CommitResult>> {
    const { deltas, last } = this
    await deltas.refresh()
    await last.learn(entries.map(({ series }) => series))
    const results = new Map<AppendEntry, CommitResult>()
    const small: AppendEntry[] = []
    const commits: AppendEntry[] = []
    for (const [i, entry] of entries.entries()) {
      const sorted = await sortEntry({ deltas, last }, entry, ids[i]!)
      if (sorted === 'commit') commits.push(entry)
      else {
        results.set(entry, sorted.result)
        small.push({ series: entry.series, batch: sorted.fresh })
      }
    }
    if (small.some(({ batch }) => batch.length > 0)) await deltas.write(small)
    const errors: unknown[] = []
    for (const entry of commits) {
      try {
        let total = nothingChanged
        for (const part of byMonth(entry.batch))
          total = sum(total, await this.commitMonth(entry.series, part))
        results.set(entry, total)
      } catch (error) {
        errors.push(error) // what cannot be read of one series holds up no other
      }
    }
    if (errors.length > 0) throw errors[0]
    return results
  }

  private async fold(series: Series): Promise<readonly CommittedFile[]> {
    const files: CommittedFile[] = []
    for (const { month, bars } of byMonth(await this.reads.pending(series))) {
      await this.checkUnaltered(series, month)
      const inFile = (await this.months.read(series, month)) ?? emptyBatch
      const state = await this.write(series, month, underlay(inFile, bars))
      files.push({ ...fileOf(series, month), ...state })
    }
    return files
  }

  private async replaceMonth(
    series: Series,
    month: TimeRange,
    range: TimeRange,
    batch: BarBatch,
  ): Promise<CommitResult> {
    const whole = range.startMs <= month.startMs && range.endMs >= month.endMs
    const pending = batchWithin(await this.reads.pending(series), month)
    const old = underlay((await this.readTolerant(series, month, whole)) ?? emptyBatch, pending)
    const bars = batchWithin(batch, month)
    // Written even where the bars are equal: the bytes may be damaged where reading does not look.
    const state = await this.write(series, month, whole ? bars : replaceBars(old, range, bars))
    // Only now: until then a bar that is to stay was nowhere else.
    await this.deltas.without(series, month)
    return {
      ...mergeBars(batchWithin(old, range), bars),
      files: [{ ...fileOf(series, month), ...state }],
    }
  }

  private remember(path: string, { sha256 }: FileState): void {
    this.written.delete(path)
    this.written.set(path, sha256)
    const [oldest] = this.written.keys()
    if (this.written.size > WRITTEN_MAX) this.written.delete(oldest!)
  }

  /** @throws EverybarError `store.altered` (abort) */
  private async checkUnaltered(series: Series, month: TimeRange): Promise<void> {
    const path = this.months.pathOf(series, month)
    const noted = await this.notedHash(series, lakePath(series, month.startMs))
    if (!noted) return
    const now = (await this.months.stateOf(path))?.sha256
    if (now !== noted && (now === undefined || now !== this.written.get(path))) throw altered(path)
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
    this.last.wrote(series, month, bars)
    this.remember(this.months.pathOf(series, month), state)
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
