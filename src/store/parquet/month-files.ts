import { dirname, join } from 'node:path'
import type { BarBatch } from '../../model/bar.ts'
import { LAKE_SCHEMA_VERSION, lakePath } from '../../model/lake.ts'
import { type Series, seriesId } from '../../model/series.ts'
import { iso, type TimeRange } from '../../model/time.ts'
import { withoutBlankColumns } from '../bars.ts'
import type { Engine, FileDescription } from './engine.ts'
import { corrupt, readError, writeError } from './errors.ts'
import type { LakeFilesystem } from './filesystem.ts'
import { tempFolder, tempPath } from './temp-files.ts'

/** Rows in a run that `stream` gives; also DuckDB's row group. */
const RUN_ROWS = 122_880

/** Month files of one lake, one at a time. Knows how a file is read, checked, written and replaced. */
export class MonthFiles {
  private readonly root: string
  private readonly engine: Engine
  private readonly fs: LakeFilesystem

  constructor(root: string, engine: Engine, fs: LakeFilesystem) {
    this.root = root
    this.engine = engine
    this.fs = fs
  }

  pathOf(series: Series, month: TimeRange): string {
    return join(this.root, lakePath(series, month.startMs))
  }

  /** The series a file says it holds; `undefined` where it says none. @throws `store.corrupt` */
  async seriesIn(path: string): Promise<string | undefined> {
    return (await this.describe(path)).series
  }

  /** A whole month, checked; `undefined` where there is no file. @throws `store.corrupt` */
  async read(series: Series, month: TimeRange): Promise<BarBatch | undefined> {
    if (!(await this.fs.stat(this.pathOf(series, month)))) return undefined
    for await (const all of this.stream(series, month, month, Number.POSITIVE_INFINITY)) return all
    throw corrupt(this.pathOf(series, month), 'holds no bars')
  }

  /** Bars of a month that open in `range`, in runs, checked. The file has to exist. @throws `store.corrupt` */
  async *stream(
    series: Series,
    month: TimeRange,
    range: TimeRange,
    runRows = RUN_ROWS,
  ): AsyncGenerator<BarBatch> {
    const path = this.pathOf(series, month)
    const file = await this.describe(path)
    if (file.series !== seriesId(series)) {
      throw corrupt(path, `holds ${file.series ?? 'no named series'}, not ${seriesId(series)}`)
    }
    let before = month.startMs - 1
    const runs = this.engine.readBars(path, file, runRows, within(month, range))
    try {
      for await (const run of runs) {
        before = checkOrder(run, before, month, path)
        yield withoutBlankColumns(run)
      }
    } catch (error) {
      throw readError(error, path)
    }
  }

  /**
   * Puts a file with exactly these bars in place, at once and durably; a reader sees the old file or the new one. No
   * bars: no file. A file that has the very bytes already is left alone.
   */
  async write(series: Series, month: TimeRange, bars: BarBatch): Promise<FileState> {
    const path = this.pathOf(series, month)
    const temp = tempPath(this.root)
    try {
      if (bars.length === 0) {
        await this.removeFile(path)
        return noFile
      }
      await this.fs.makeFolder(tempFolder(this.root))
      await this.fs.makeFolder(dirname(path))
      await this.fs.create(temp)
      await this.engine.writeFile(temp, withoutBlankColumns(bars), {
        series: seriesId(series),
        schema: String(LAKE_SCHEMA_VERSION),
      })
      const made = (await this.stateOf(temp))!
      if ((await this.stateOf(path))?.sha256 === made.sha256) {
        await this.fs.remove(temp)
        return made
      }
      await this.fs.sync(temp)
      await this.fs.rename(temp, path)
      await this.fs.syncFolder(dirname(path))
      return made
    } catch (error) {
      await this.fs.remove(temp).catch(() => {})
      throw writeError(error, path)
    }
  }

  private async describe(path: string): Promise<FileDescription> {
    try {
      return await this.engine.describe(path)
    } catch (error) {
      throw readError(error, path)
    }
  }

  private async removeFile(path: string): Promise<void> {
    if (!(await this.fs.stat(path))) return
    await this.fs.remove(path)
    await this.fs.syncFolder(dirname(path))
  }

  /** Size and hash of any file; `undefined` where there is none. */
  async stateOf(path: string): Promise<{ readonly bytes: number; readonly sha256: string } | undefined> {
    const found = await this.fs.stat(path)
    return found && { bytes: found.bytes, sha256: await this.fs.digest(path) }
  }
}

/** What lies under a path; no bytes and no hash where nothing does. */
export interface FileState {
  readonly bytes: number
  readonly sha256: string | null
}

export const noFile: FileState = { bytes: 0, sha256: null }

/** The SQL condition for bars of a month that open in `range`; empty for all of them. */
function within(month: TimeRange, range: TimeRange): string {
  const time = (ms: number) => `make_timestamp(${ms * 1000})`
  const conditions = [
    ...(range.startMs > month.startMs ? [`open_time >= ${time(range.startMs)}`] : []),
    ...(range.endMs < month.endMs ? [`open_time < ${time(range.endMs)}`] : []),
  ]
  return conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`
}

/** @returns the last open time. @throws `store.corrupt` when bars do not ascend or leave the month. */
function checkOrder(chunk: BarBatch, last: number, month: TimeRange, path: string): number {
  let before = last
  for (let i = 0; i < chunk.length; i++) {
    const ms = chunk.openTimeMs[i]!
    if (!(ms > before && ms < month.endMs)) {
      throw corrupt(
        path,
        `holds a bar at ${iso(ms)} after one at ${iso(before)}: out of order or of another month`,
      )
    }
    before = ms
  }
  return before
}
