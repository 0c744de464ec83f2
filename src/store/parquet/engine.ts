import type { DuckDBConnection, DuckDBInstance } from '@duckdb/node-api'
import { allocateBatch, type BarBatch, nativeFields, sliceBatch } from '../../model/bar.ts'
import { lakeColumns } from '../../model/lake.ts'
import { type Feed, registerFeed } from './feed.ts'

/** A text as an SQL literal. */
export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

/** A path as an SQL literal for a reader, which would take `*`, `?` and `[` in it as a pattern. */
export const pathLiteral = (path: string): string => literal(path.replace(/[*?[]/g, '[$&]'))

/** Lake columns by number, so that readers find a column whether a file has it or not. */
const fieldId = (column: (typeof lakeColumns)[number]): number => lakeColumns.indexOf(column) + 1

/**
 * `read_parquet` of lake files with every lake column, NULL where a file lacks it, and the file's name if asked for.
 * Opens no file to learn that.
 */
export function readLakeFiles(paths: readonly string[], filename = false): string {
  const schema = lakeColumns
    .map(
      (column) => `${fieldId(column)}: {name: '${column.name}', type: '${column.type}', default_value: NULL}`,
    )
    .join(', ')
  return `read_parquet([${paths.map(pathLiteral).join(', ')}], filename = ${filename}, schema = MAP {${schema}})`
}

export type LakeColumn = (typeof lakeColumns)[number]
const isNative = ({ field }: LakeColumn) => (nativeFields as readonly string[]).includes(field)

/** DuckDB's value for a column handed over as DOUBLE, NaN for unknown. */
export function fromDouble(column: LakeColumn): string {
  const value = isNative(column) ? `nullif(${column.name}, 'nan'::DOUBLE)` : column.name
  if (column.type === 'TIMESTAMP') return `make_timestamp((${value} * 1000)::BIGINT) AS ${column.name}`
  return column.type === 'BIGINT' ? `${value}::BIGINT AS ${column.name}` : `${value} AS ${column.name}`
}

/** The inverse of `fromDouble`. */
function toDouble(column: LakeColumn): string {
  const time = `epoch_us(${column.name})::DOUBLE / 1000`
  const value = column.type === 'TIMESTAMP' ? time : `${column.name}::DOUBLE`
  return isNative(column) ? `coalesce(${value}, 'nan'::DOUBLE)` : value
}

/** What a Parquet file's footer says. */
export interface FileDescription {
  readonly rows: number
  readonly columns: ReadonlySet<string>
  /** The series id in its metadata; `undefined` for a file that is none of ours. */
  readonly series: string | undefined
}

/** Bars on their way into DuckDB, by the number SQL calls them. */
const feeds = new Map<number, Feed>()
let lastFeed = 0

/** By memory limit: an instance that is nobody's now. Making one costs 15 ms of processor time, this one next to nothing. */
const spare = new Map<string, DuckDBInstance>()

/**
 * DuckDB, loaded when first used: about 50 ms and 40 MB. Bars go in by a table function over their columns and come out
 * by chunks; nothing is staged. One thread writes, so that the same bars give the same bytes. One that was closed and
 * never met an error is kept for the next, in the same process.
 */
export class Engine {
  private opening: Promise<DuckDBInstance> | undefined
  private failed = false
  private readonly memoryLimit: string

  constructor(memoryLimit: string) {
    this.memoryLimit = memoryLimit
  }

  /** Writes bars as a Parquet file, whole columns in `lakeColumns` order, native ones the batch has. Not synced. */
  async writeFile(path: string, batch: BarBatch, metadata: Readonly<Record<string, string>>): Promise<void> {
    const used = lakeColumns.filter((column) => sourceOf(batch, column))
    const feed = addFeed({
      names: used.map(({ name }) => name),
      columns: used.map((column) => sourceOf(batch, column)!),
      length: batch.length,
    })
    const options = [
      // Level 1 of zstd with the newer encodings is smaller than level 3 without, and takes half the time.
      'FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, PARQUET_VERSION v2, USE_TMP_FILE false',
      `FIELD_IDS {${used.map((column) => `${column.name}: ${fieldId(column)}`).join(', ')}}`,
      `KV_METADATA {${Object.entries(metadata)
        .map(([key, value]) => `${key}: ${literal(value)}`)
        .join(', ')}}`,
    ]
    try {
      const select = `SELECT ${used.map(fromDouble).join(', ')} FROM everybar_feed(${feed})`
      await this.with((connection) =>
        connection.run(`COPY (${select}) TO ${literal(path)} (${options.join(', ')})`),
      )
    } finally {
      feeds.delete(feed)
    }
  }

  /** What a file says of itself. Throws what DuckDB throws for a file that is no Parquet. */
  async describe(path: string): Promise<FileDescription> {
    const file = pathLiteral(path)
    const [row] = await this.rows(
      `SELECT (SELECT num_rows::DOUBLE FROM parquet_file_metadata(${file})) AS rows,
        (SELECT list(name) FROM parquet_schema(${file}) WHERE field_id IS NOT NULL) AS columns,
        (SELECT first(decode(value)) FROM parquet_kv_metadata(${file}) WHERE decode(key) = 'series') AS series`,
    )
    const { rows, columns, series } = row ?? {}
    return {
      rows: Number(rows),
      columns: new Set(Array.isArray(columns) ? columns.map(String) : []),
      series: typeof series === 'string' ? series : undefined,
    }
  }

  /** Bars of a lake file in file order, `runRows` at a time. The batches have the native columns of the file. */
  async *readBars(
    path: string,
    file: FileDescription,
    runRows: number,
    where = '',
  ): AsyncGenerator<BarBatch> {
    const used = lakeColumns.filter((column) => !isNative(column) || file.columns.has(column.name))
    const fields = nativeFields.filter((field) => used.some((column) => column.field === field))
    const connection = await (await this.instance()).connect()
    try {
      const result = await connection.stream(
        `SELECT ${used.map(toDouble).join(', ')} FROM ${readLakeFiles([path])} ${where}`,
      )
      let run = allocateBatch(Math.min(file.rows, runRows), fields)
      let at = 0
      for (;;) {
        const chunk = await result.fetchChunk()
        const rows = chunk?.rowCount ?? 0
        if (!chunk || rows === 0) break
        const vectors = used.map(
          (_, c) => (chunk.getColumnVector(c) as unknown as { items: Float64Array }).items,
        )
        for (let taken = 0; taken < rows; ) {
          if (at === run.length) {
            yield run
            run = allocateBatch(Math.min(file.rows, runRows), fields)
            at = 0
          }
          const part = Math.min(rows - taken, run.length - at)
          used.forEach((column, c) => {
            sourceOf(run, column)!.set(vectors[c]!.subarray(taken, taken + part), at)
          })
          taken += part
          at += part
        }
      }
      if (at > 0) yield sliceBatch(run, 0, at)
    } catch (error) {
      this.failed = true
      throw error
    } finally {
      connection.closeSync()
    }
  }

  /** Open times of files, file after file, in the order they stand in. */
  async *readTimes(paths: readonly string[]): AsyncGenerator<Float64Array> {
    if (paths.length === 0) return
    const connection = await (await this.instance()).connect()
    try {
      const result = await connection.stream(
        `SELECT epoch_us(open_time)::DOUBLE / 1000 FROM read_parquet([${paths.map(pathLiteral).join(', ')}])`,
      )
      for (;;) {
        const chunk = await result.fetchChunk()
        if (!chunk || chunk.rowCount === 0) return
        const { items } = chunk.getColumnVector(0) as unknown as { items: Float64Array }
        yield items.subarray(0, chunk.rowCount)
      }
    } catch (error) {
      this.failed = true
      throw error
    } finally {
      connection.closeSync()
    }
  }

  /** The rows of a small answer, by column name. */
  async rows(sql: string): Promise<Record<string, unknown>[]> {
    return this.with(async (connection) => (await connection.runAndReadAll(sql)).getRowObjectsJS())
  }

  async close(): Promise<void> {
    const opening = this.opening
    this.opening = undefined
    if (!opening) return
    const instance = await opening
    if (this.failed || spare.has(this.memoryLimit)) instance.closeSync()
    else spare.set(this.memoryLimit, instance)
  }

  private async with<T>(use: (connection: DuckDBConnection) => Promise<T>): Promise<T> {
    const connection = await (await this.instance()).connect()
    try {
      return await use(connection)
    } catch (error) {
      this.failed = true
      throw error
    } finally {
      connection.closeSync()
    }
  }

  private instance(): Promise<DuckDBInstance> {
    this.opening ??= this.open().catch((error: unknown) => {
      this.opening = undefined
      throw error
    })
    return this.opening
  }

  private async open(): Promise<DuckDBInstance> {
    const kept = spare.get(this.memoryLimit)
    if (kept && spare.delete(this.memoryLimit)) return kept
    const duckdb = await import('@duckdb/node-api')
    const instance = await duckdb.DuckDBInstance.create(':memory:', {
      threads: '1',
      memory_limit: this.memoryLimit,
      temp_directory: '',
    })
    const connection = await instance.connect()
    registerFeed(duckdb, connection, (id) => feeds.get(id)!)
    connection.closeSync()
    return instance
  }
}

function addFeed(feed: Feed): number {
  lastFeed = (lastFeed + 1) % 2_000_000_000
  feeds.set(lastFeed, feed)
  return lastFeed
}

/** The array behind a lake column of a batch; `undefined` for a native field it lacks. */
export function sourceOf(batch: BarBatch, { field }: LakeColumn): Float64Array | undefined {
  switch (field) {
    case 'openTimeMs':
    case 'open':
    case 'high':
    case 'low':
    case 'close':
    case 'volume':
      return batch[field]
    default:
      return batch.native[field]
  }
}
