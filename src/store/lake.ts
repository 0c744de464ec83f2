import type { BarBatch } from '../model/bar.ts'
import type { Series } from '../model/series.ts'
import type { TimeRange } from '../model/time.ts'
import type { Store } from './store.ts'

/** A month file of a series. */
export interface LakeFile {
  readonly series: Series
  /** The UTC calendar month. */
  readonly month: TimeRange
  /** Relative to the data root, with `/`. */
  readonly path: string
  readonly bytes: number
}

/** What the lake can say of itself beside what every store can. */
export interface LakeExtras {
  /** Every series that has a file, by id. Reads one file's metadata per dataset, names for the rest. */
  seriesList(): Promise<Series[]>

  /** The month files of a series, oldest first. Reads folders, opens no file. */
  files(series: Series): AsyncIterable<LakeFile>

  /**
   * All bars of one month, checked: the file names this series and its bars ascend within the month. `undefined` where
   * there is no file. Holds the month in memory: about 100 bytes a bar, 4 MB for minutes, 270 MB for seconds.
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
   * column: about 40 million bars a second.
   *
   * @throws EverybarError `store.corrupt` (abort) naming the first file that cannot be read.
   */
  openTimes(paths: readonly string[]): AsyncIterable<Float64Array>
}

/** The Parquet lake: month files under `<root>/lake`. */
export type Lake = Store & LakeExtras
