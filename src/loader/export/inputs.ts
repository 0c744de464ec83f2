import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { lakePath } from '../../model/lake.ts'
import { type Series, seriesId } from '../../model/series.ts'
import { type EpochMs, monthOf, type TimeRange } from '../../model/time.ts'
import { DataNotFoundError, ParquetLoaderError } from '../errors.ts'
import type { Frame } from '../frame.ts'
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

/** The lake files of one series in a range. */
export interface SeriesInput {
  readonly series: Series
  readonly id: string
  readonly files: readonly FileDigest[]
  /** Open times of the first and the last stored bar in the range. */
  readonly firstMs: EpochMs
  readonly lastMs: EpochMs
}

/**
 * Finds and digests what a series is stored in.
 *
 * @throws DataNotFoundError `loader.no-data` where not one bar is stored in the range.
 */
export async function findInput(
  engine: Engine,
  root: string,
  series: Series,
  range: TimeRange,
): Promise<SeriesInput> {
  const files: FileDigest[] = []
  for (let ms = monthOf(range.startMs).startMs; ms < range.endMs; ms = monthOf(ms).endMs) {
    const path = lakePath(series, ms)
    if (await stat(join(root, path)).catch(() => undefined)) files.push(await digest(root, path))
  }
  const extent = files.length > 0 ? await extentOf(engine, root, files, range) : undefined
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
  root: string,
  files: readonly FileDigest[],
  { startMs, endMs }: TimeRange,
) {
  const paths = files.map((file) => literal(join(root, file.path)))
  const [row] = await engine
    .rows(
      `SELECT min(epoch_ms(open_time))::DOUBLE AS first, max(epoch_ms(open_time))::DOUBLE AS last
       FROM read_parquet([${paths.join(', ')}], union_by_name = true)
       WHERE open_time >= ${timestamp(startMs)} AND open_time < ${timestamp(endMs)}`,
    )
    .catch((cause: unknown) => {
      throw unreadable(
        files.map((file) => join(root, file.path)),
        cause,
      )
    })
  const { first, last } = row as { first: number | null; last: number | null }
  return first === null || last === null ? undefined : { firstMs: first, lastMs: last }
}

/** The stored rows of a series in a range, month after month. */
export async function* storedRows(
  engine: Engine,
  root: string,
  input: SeriesInput,
  columns: readonly string[],
  range: TimeRange,
): AsyncGenerator<Frame> {
  const paths = input.files.map((file) => join(root, file.path))
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
    const now = await digest(root, file.path).catch(() => undefined)
    if (now?.sha256 === file.sha256) continue
    throw new ParquetLoaderError('loader.input-changed', 'a lake file was replaced while it was exported', {
      path: join(root, file.path),
      recovery: 'retry',
      hint: 'Run the export again; nothing was left of this one.',
    })
  }
}
