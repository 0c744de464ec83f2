import { iso } from '../../model/time.ts'
import { DataQualityError, ParquetLoaderError } from '../errors.ts'
import type { Frame } from '../frame.ts'
import type { Cursor, Engine } from './engine.ts'
import { type ReadPlan, type Source, selectOf, unreadable } from './source.ts'
import { copyDoubles } from './vectors.ts'

/** Rows a frame holds unless asked otherwise: DuckDB's own row group. */
export const ROWS_PER_FRAME = 122_880

/**
 * The rows of `source` by `plan`, in frames of `rowsMax` rows (the last shorter), each with arrays of its own. Reads
 * as it is consumed: two frames of memory, whatever the size of the files.
 *
 * @throws DataQualityError `loader.disorder` where times do not ascend and `plan.mend` is not set,
 *   `loader.unreadable-file`. @throws SchemaValidationError `loader.schema`.
 */
export async function* scan(
  engine: Engine,
  source: Source,
  plan: ReadPlan,
  rowsMax: number = ROWS_PER_FRAME,
): AsyncGenerator<Frame> {
  const sql = await selectOf(engine, source, plan)
  yield* framesOf(engine, sql, plan.columns, source.paths, rowsMax)
}

/** The answer of `sql` (`t`, then `names`, all DOUBLE) as frames. One of `paths` is named when something is wrong. */
export async function* framesOf(
  engine: Engine,
  sql: string,
  names: readonly string[],
  paths: readonly string[],
  rowsMax: number,
): AsyncGenerator<Frame> {
  let buffer = allocate(names.length + 1, rowsMax)
  let rows = 0
  let lastMs = Number.NEGATIVE_INFINITY
  let cursor: Cursor | undefined
  try {
    cursor = await engine.stream(sql)
    for (let chunk = await cursor.next(); chunk; chunk = await cursor.next()) {
      const { rowCount } = chunk
      const vectors = buffer.map((_, i) => chunk!.getColumnVector(i))
      for (let from = 0; from < rowCount; ) {
        const count = Math.min(rowCount - from, rowsMax - rows)
        for (let i = 0; i < vectors.length; i++) copyDoubles(vectors[i]!, from, count, buffer[i]!, rows)
        rows += count
        from += count
        if (rows < rowsMax) continue
        lastMs = ascends(buffer[0]!, rows, lastMs, paths)
        yield frame(buffer, names, rows)
        buffer = allocate(names.length + 1, rowsMax)
        rows = 0
      }
    }
  } catch (error) {
    if (error instanceof ParquetLoaderError || error instanceof TypeError) throw error
    throw unreadable(paths, error)
  } finally {
    cursor?.close()
  }
  ascends(buffer[0]!, rows, lastMs, paths)
  if (rows > 0) yield frame(buffer, names, rows)
}

const allocate = (columns: number, rows: number): Float64Array[] =>
  Array.from({ length: columns }, () => new Float64Array(rows))

function frame(buffer: readonly Float64Array[], names: readonly string[], rows: number): Frame {
  const cut = (i: number) => (rows === buffer[i]!.length ? buffer[i]! : buffer[i]!.subarray(0, rows))
  return {
    length: rows,
    timeMs: cut(0),
    columns: Object.fromEntries(names.map((name, i) => [name, cut(i + 1)])),
    filled: {},
  }
}

/** The last time, when all of them ascend from `lastMs`. */
function ascends(times: Float64Array, rows: number, lastMs: number, paths: readonly string[]): number {
  let last = lastMs
  for (let i = 0; i < rows; i++) {
    const ms = times[i]!
    if (!(ms > last)) {
      const value = Number.isNaN(ms) ? 'no time' : iso(ms)
      throw new DataQualityError('loader.disorder', 'rows are not in time order, one a time', {
        path: monthPath(paths, ms),
        value,
        hint: 'Run the quality checks to see where; the loader sorts such files, an export of the lake does not: rebuild the month.',
      })
    }
    last = ms
  }
  return last
}

/** The file whose name has the month of `ms`. */
function monthPath(paths: readonly string[], ms: number): string {
  const month = Number.isNaN(ms) ? 'none' : new Date(ms).toISOString().slice(0, 7).replace('-', '_')
  return paths.find((path) => path.includes(`_${month}_`)) ?? paths[0]!
}
