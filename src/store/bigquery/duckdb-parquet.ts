import type { DuckDBInstance } from '@duckdb/node-api'
import { type BarBatch, sliceBatch } from '../../model/bar.ts'
import { columnOf } from '../common/misfits.ts'
import { valueColumns } from './columns.ts'
import type { WriteParquet } from './options.ts'

const CHUNK_ROWS = 2_048

/** The columns of the file by name; those the batch lacks are left out and read as NULL. */
const sources = (batch: BarBatch) => [
  { name: 'open_time_ms', values: batch.openTimeMs, integer: true },
  ...valueColumns.flatMap(({ loaded, field, type }) => {
    const values = columnOf(batch, field)
    return values ? [{ name: loaded, values, integer: type === 'INTEGER' || type === 'TIMESTAMP' }] : []
  }),
]

/** Writes with one DuckDB, opened at the first file and closed by `close`. */
export interface ParquetWriter {
  readonly write: WriteParquet
  close(): Promise<void>
}

export function duckdbParquetWriter(): ParquetWriter {
  let opening: Promise<DuckDBInstance> | undefined
  const open = async () => {
    const { DuckDBInstance } = await import('@duckdb/node-api')
    return DuckDBInstance.create(':memory:', { threads: '1', memory_limit: '512MB', temp_directory: '' })
  }
  return {
    async write(batch, path) {
      opening ??= open()
      await writeFile(await opening, batch, path)
    },
    async close() {
      const instance = opening
      opening = undefined
      if (instance) (await instance).closeSync()
    },
  }
}

async function writeFile(instance: DuckDBInstance, batch: BarBatch, path: string): Promise<void> {
  const { DuckDBDataChunk, DOUBLE } = await import('@duckdb/node-api')
  const connection = await instance.connect()
  try {
    const columns = sources(batch)
    await connection.run(`CREATE TEMP TABLE fed (${columns.map(({ name }) => `${name} DOUBLE`).join(', ')})`)
    const appender = await connection.createAppender('fed', 'main', 'temp')
    for (let from = 0; from < batch.length; from += CHUNK_ROWS) {
      const part = sliceBatch(batch, from, from + CHUNK_ROWS)
      const chunk = DuckDBDataChunk.create(columns.map(() => DOUBLE))
      chunk.rowCount = part.length
      for (const [i, { values }] of sources(part).entries()) {
        const vector = chunk.getColumnVector(i) as unknown as { items: Float64Array; flush(): void }
        vector.items.set(values)
        vector.flush()
      }
      appender.appendDataChunk(chunk)
    }
    appender.closeSync()
    const selected = columns.map(({ name, integer }) => {
      const value = `nullif(${name}, 'nan'::DOUBLE)`
      return integer ? `${value}::BIGINT AS ${name}` : `${value} AS ${name}`
    })
    const target = `'${path.replaceAll("'", "''")}'`
    await connection.run(
      `COPY (SELECT ${selected.join(', ')} FROM fed) TO ${target} (FORMAT parquet, COMPRESSION zstd)`,
    )
  } finally {
    connection.closeSync()
  }
}
