import type { EpochMs } from '../../model/time.ts'
import type { StoredExtent } from '../store.ts'
import { type Engine, pathLiteral } from './engine.ts'
import { corrupt, readError } from './errors.ts'

/**
 * First, last and number of bars in files, from their footers alone.
 *
 * @throws EverybarError `store.corrupt` (abort) naming the first file that cannot be read.
 */
export async function readExtent(engine: Engine, paths: readonly string[]): Promise<StoredExtent> {
  try {
    return await query(engine, paths)
  } catch (error) {
    for (const path of paths) {
      try {
        await query(engine, [path])
      } catch (own) {
        throw readError(own, path)
      }
    }
    throw readError(error, paths[0]!)
  }
}

/**
 * The last open time in each of these files, from their footers, all in one query. A file that cannot be read has none.
 */
export async function readLastTimes(
  engine: Engine,
  paths: readonly string[],
): Promise<ReadonlyMap<string, EpochMs>> {
  if (paths.length === 0) return new Map()
  try {
    const rows = await engine.rows(
      `SELECT file_name, max(${ms('stats_max_value')}) AS last FROM parquet_metadata(${fileList(paths)})
       WHERE path_in_schema = 'open_time' GROUP BY file_name`,
    )
    return new Map(
      rows.flatMap(({ file_name, last }) =>
        typeof last === 'number' ? [[String(file_name), last] as const] : [],
      ),
    )
  } catch {
    if (paths.length === 1) return new Map()
    const parts = await Promise.all(paths.map((path) => readLastTimes(engine, [path])))
    return new Map(parts.flatMap((part) => [...part]))
  }
}

const ms = (value: string): string => `epoch_ms(${value}::TIMESTAMP)::DOUBLE`

const fileList = (paths: readonly string[]): string => `[${paths.map(pathLiteral).join(', ')}]`

async function query(engine: Engine, paths: readonly string[]): Promise<StoredExtent> {
  const [row] = await engine.rows(
    `SELECT sum(row_group_num_rows)::DOUBLE AS rows, min(${ms('stats_min_value')}) AS first, max(${ms('stats_max_value')}) AS last
     FROM parquet_metadata(${fileList(paths)}) WHERE path_in_schema = 'open_time'`,
  )
  const { rows, first, last } = row ?? {}
  if (typeof rows !== 'number' || typeof first !== 'number' || typeof last !== 'number') {
    throw corrupt(paths[0]!, 'has no column open_time')
  }
  return { rows, firstMs: first, lastMs: last }
}
