import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { lakePath } from '../../model/lake.ts'
import { type Series, seriesId } from '../../model/series.ts'
import { type EpochMs, monthOf, type TimeRange } from '../../model/time.ts'
import type { Timeframe } from '../../model/timeframe.ts'
import { DataNotFoundError, ParquetLoaderError } from '../errors.ts'
import type { Frame } from '../frame.ts'
import { anchorIn } from '../read/anchor.ts'
import { type Engine, literal, timestamp } from '../read/engine.ts'
import { scan } from '../read/scan.ts'
import { unreadable } from '../read/source.ts'

/** A file as it was when it was read or written. */
export interface FileDigest {
  /** Relative to the root or the output folder, with `/`. */
  readonly path: string
  readonly bytes: number
  readonly sha256: string
}

/** A month file of the lake, or a copy made for this export of one that lacks bars. */
export interface InputFile extends FileDigest {
  /** Where it is read. */
  readonly at: string
  readonly month: TimeRange
  readonly copy: boolean
}

/** Where the files of the lake are, and the folder of those that were copied for an export, by their paths. */
export interface Places {
  readonly root: string
  readonly copies: { readonly folder: string; readonly paths: readonly string[] }
}

/** The lake files of one series in a range, oldest first. */
export interface SeriesInput {
  readonly series: Series
  readonly id: string
  readonly files: readonly InputFile[]
  /** Open times of the first and the last stored bar in the range. */
  readonly firstMs: EpochMs
  readonly lastMs: EpochMs
  /** A point of the grid most of those bars stand on; none for months. */
  readonly anchorMs?: EpochMs
}

/**
 * Finds and digests what a series is stored in, from `fromMs` on: at or before the range's start.
 *
 * @throws DataNotFoundError `loader.no-data` where not one bar is stored in the range.
 */
export async function findInput(
  engine: Engine,
  { root, copies }: Places,
  series: Series,
  range: TimeRange,
  fromMs: EpochMs = range.startMs,
): Promise<SeriesInput> {
  const files: InputFile[] = []
  for (let month = monthOf(fromMs); month.startMs < range.endMs; month = monthOf(month.endMs)) {
    const path = lakePath(series, month.startMs)
    const copy = copies.paths.includes(path)
    const folder = copy ? copies.folder : root
    const at = join(folder, path)
    if (await stat(at).catch(() => undefined)) {
      files.push({ ...(await digest(folder, path)), at, month, copy })
    }
  }
  const extent = files.length > 0 ? await extentOf(engine, files, series.timeframe, range) : undefined
  if (!extent) {
    throw new DataNotFoundError('loader.no-data', `no bars of ${seriesId(series)} are stored in the range`, {
      path: join(root, lakePath(series, range.startMs)),
      hint: 'Run `everybar sync` for it first, and check the selector and the range.',
    })
  }
  return { series, id: seriesId(series), files, ...extent }
}

async function extentOf(
  engine: Engine,
  files: readonly InputFile[],
  timeframe: Timeframe,
  { startMs, endMs }: TimeRange,
) {
  const paths = files.map((file) => file.at)
  const opens = `
    SELECT epoch_ms(open_time)::DOUBLE AS t
    FROM read_parquet([${paths.map(literal).join(', ')}], union_by_name = true)
    WHERE open_time >= ${timestamp(startMs)} AND open_time < ${timestamp(endMs)}`
  try {
    const [row] = await engine.rows(`SELECT min(t) AS first, max(t) AS last FROM (${opens})`)
    const { first, last } = row as { first: number | null; last: number | null }
    if (first === null || last === null) return undefined
    const anchorMs = await anchorIn(engine, opens, timeframe)
    return { firstMs: first, lastMs: last, ...(anchorMs !== undefined && { anchorMs }) }
  } catch (cause) {
    throw unreadable(paths, cause)
  }
}

/** The stored rows of a series in a range, month after month. */
export async function* storedRows(
  engine: Engine,
  input: SeriesInput,
  columns: readonly string[],
  range: TimeRange,
): AsyncGenerator<Frame> {
  const paths = input.files.map((file) => file.at)
  yield* scan(engine, { paths }, { time: 'open_time', columns, range })
}

/** Size and SHA-256 of a file, in constant memory. */
export async function digest(root: string, path: string): Promise<FileDigest> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const piece of createReadStream(join(root, path)) as AsyncIterable<Buffer>) {
    hash.update(piece)
    bytes += piece.length
  }
  return { path, bytes, sha256: hash.digest('hex') }
}

/**
 * @throws ParquetLoaderError `loader.input-changed` (retry) where a file is not what it was when its digest was made.
 */
export async function checkUnchanged(root: string, inputs: readonly SeriesInput[]): Promise<void> {
  for (const file of inputs.flatMap((input) => input.files)) {
    if (file.copy) continue
    const now = await digest(root, file.path).catch(() => undefined)
    if (now?.sha256 === file.sha256) continue
    throw new ParquetLoaderError('loader.input-changed', 'a lake file was replaced while it was exported', {
      path: join(root, file.path),
      recovery: 'retry',
      hint: 'Run the export again; nothing was left of this one.',
    })
  }
}
