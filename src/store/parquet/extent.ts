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

async function query(engine: Engine, paths: readonly string[]): Promise<StoredExtent> {
  const ms = (value: string) => `epoch_ms(${value}::TIMESTAMP)::DOUBLE`
  const [row] = await engine.rows(
    `SELECT sum(row_group_num_rows)::DOUBLE AS rows, min(${ms('stats_min_value')}) AS first, max(${ms('stats_max_value')}) AS last
     FROM parquet_metadata([${paths.map(pathLiteral).join(', ')}]) WHERE path_in_schema = 'open_time'`,
  )
  const { rows, first, last } = row ?? {}
  if (typeof rows !== 'number' || typeof first !== 'number' || typeof last !== 'number') {
    throw corrupt(paths[0]!, 'has no column open_time')
  }
  return { rows, firstMs: first, lastMs: last }
}
