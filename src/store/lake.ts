import type { BarBatch } from '../model/bar.ts'
import type { Series } from '../model/series.ts'
import { type EpochMs, monthOf, type TimeRange } from '../model/time.ts'
import type { CommittedFile, Store } from './store.ts'

/** A month file of a series. */
export interface LakeFile {
  readonly series: Series
  /** The UTC calendar month. */
  readonly month: TimeRange
  /** Relative to the data root, with `/`. */
  readonly path: string
  readonly bytes: number
}

/** What is in delta files: bars that were appended and are not folded into month files yet. */
export interface DeltaState {
  readonly files: number
  readonly rows: number
  /** The first open time among them; `undefined` when there are none. */
  readonly firstMs: EpochMs | undefined
}

/** So much may wait in delta files before they ought to be folded: every reader reads all of them. */
export const deltaLimits = { files: 120, rows: 200_000 } as const

/** Whether it is time to fold: too many files or rows, or bars of a month that has ended by `nowMs`. */
export const compactionDue = ({ files, rows, firstMs }: DeltaState, nowMs: EpochMs): boolean =>
  files >= deltaLimits.files ||
  rows >= deltaLimits.rows ||
  (firstMs !== undefined && firstMs < monthOf(nowMs).startMs)

/** Folds the bars of one series into its month files and gives those files, for the ledger. */
export type Fold = () => Promise<readonly CommittedFile[]>

export interface CompactOptions {
  /**
   * Called for every series with bars in delta files, one after another. It calls `fold` and resolves when what that gave
   * is recorded: until then the delta files stay. Just `fold()` unless said.
   */
  readonly each?: (series: Series, fold: Fold) => Promise<unknown>
  readonly signal?: AbortSignal
}

/** What a compaction did. */
export interface Compacted {
  /** Delta files that are gone. */
  readonly files: number
  /** Rows they held. */
  readonly rows: number
  readonly series: number
  /** Month files that hold their bars now. */
  readonly months: number
}

/** What the lake can say of itself beside what every store can. */
export interface LakeExtras {
  /** How much waits in delta files. Lists their folder, and reads files it has not read before. */
  deltaState(): Promise<DeltaState>

  /**
   * Bars of a series in delta files, ascending; also those a month file has by now, whose values there count.
   *
   * @throws EverybarError `store.corrupt` (abort) naming a damaged delta file.
   */
  pendingBars(series: Series): Promise<BarBatch>

  /**
   * Passes over the delta files that are damaged now, as if they were gone, until this lake is closed: what they held is
   * missing then and can be told bar for bar. Reads those it has not read before. One that is whole and has bars of a
   * series that is not known counts as damaged.
   *
   * @returns them, relative to the data root, each with what is wrong.
   */
  skipDamagedDeltas(
    isKnown?: (series: string) => Promise<boolean>,
  ): Promise<readonly { readonly path: string; readonly detail: string }[]>

  /**
   * Writes below `folder`, under their own paths, the month files of a series as the next fold will leave them: those of
   * months of `range` that have bars in delta files, byte for byte. The lake itself is left as it is.
   *
   * @returns the paths, oldest first. @throws EverybarError as `commit` does; `store.corrupt` (abort).
   */
  foldedCopies(series: Series, range: TimeRange, folder: string): Promise<readonly string[]>

  /**
   * Whether the file of a month holds a bar that is in a delta file too: a compaction is under way, or was interrupted
   * before the ledger knew.
   */
  isFolded(series: Series, month: TimeRange): Promise<boolean>

  /**
   * Folds every delta file that is there now into month files, series by series, and removes them. A file holds the very
   * bytes that commits of the same bars would give. Appends go on meanwhile. Lossless, also when it is stopped or killed at
   * any moment: a bar is in a month file before its delta goes, and a repeat does what is left.
   *
   * @throws EverybarError as `commit` does; `store.corrupt` (abort) for a damaged delta file, before anything is folded.
   */
  compact(options?: CompactOptions): Promise<Compacted>

  /** Every series that has a file or a bar in a delta file, by id. Reads one file's metadata per dataset, names for the rest. */
  seriesList(): Promise<Series[]>

  /** The month files of a series, oldest first. Reads folders, opens no file. */
  files(series: Series): AsyncIterable<LakeFile>

  /**
   * All bars of one month, those in delta files among them, checked: the file names this series and its bars ascend within
   * the month. `undefined` where there are none. Holds the month in memory: about 100 bytes a bar, 4 MB for minutes, 270 MB for seconds.
   *
   * @throws EverybarError `store.corrupt` (abort) naming the file.
   */
  readMonth(series: Series, month: TimeRange): Promise<BarBatch | undefined>

  /** Paths of all Parquet files below `lake/`, whatever they are, relative to the data root, in no order. */
  allFiles(): AsyncIterable<string>

  /** Size and hash of a file, by its path relative to the data root; `undefined` where there is none. */
  fileState(path: string): Promise<{ readonly bytes: number; readonly sha256: string } | undefined>

  /**
   * Open times in these files, file after file as they stand in them, epoch ms, in runs of a bounded size. Reads that one
   * column: about 40 million bars a second. Times of `among` that no file has come at their places; they have to ascend.
   *
   * @throws EverybarError `store.corrupt` (abort) naming the first file that cannot be read.
   */
  openTimes(paths: readonly string[], among?: Float64Array): AsyncIterable<Float64Array>
}

/** The Parquet lake: month files under `<root>/lake`, and delta files of what was appended since. */
export type Lake = Store & LakeExtras
