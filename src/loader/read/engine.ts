import type { DuckDBConnection, DuckDBDataChunk, DuckDBInstance, DuckDBTableFunction } from '@duckdb/node-api'
import { ParquetLoaderError } from '../errors.ts'

export interface EngineOptions {
  readonly threads?: number
  /** For instance `2GB`; past it DuckDB spills to `tempDir`. */
  readonly memoryLimit?: string
  readonly tempDir?: string
}

/** An answer under way; has to be closed. */
export interface Cursor {
  /** `undefined` after the last piece. */
  readonly next: () => Promise<DuckDBDataChunk | undefined>
  readonly close: () => void
}

export type Row = Readonly<Record<string, unknown>>

/** DuckDB in memory: reads and writes files, keeps nothing, downloads nothing. Loaded on first use. */
export class Engine {
  readonly #options: EngineOptions
  #opened: Promise<{ db: DuckDBInstance; connection: DuckDBConnection }> | undefined

  constructor(options: EngineOptions = {}) {
    this.#options = options
  }

  async run(sql: string): Promise<void> {
    await (await this.#connection()).run(sql)
  }

  /** A small answer, as rows. Integers of 64 bits come as bigint unless cast. */
  async rows(sql: string): Promise<Row[]> {
    const result = await (await this.#connection()).run(sql)
    return (await result.getRowObjectsJS()) as Row[]
  }

  /** An answer in pieces of about 2,000 rows, in constant memory. Each on its own connection, so they may overlap. */
  async stream(sql: string): Promise<Cursor> {
    const { db } = await this.#open()
    const connection = await db.connect()
    try {
      await connection.run("SET TimeZone = 'UTC'")
      const result = await connection.stream(sql)
      const next = async () => {
        const chunk = await result.fetchChunk()
        return chunk && chunk.rowCount > 0 ? chunk : undefined
      }
      return { next, close: () => connection.closeSync() }
    } catch (error) {
      connection.closeSync()
      throw error
    }
  }

  async register(make: (api: typeof import('@duckdb/node-api')) => DuckDBTableFunction): Promise<void> {
    const connection = await this.#connection()
    connection.registerTableFunction(make(await duckdb()))
  }

  /** Safe to call at any time, also twice; the engine opens again when used again. */
  async close(): Promise<void> {
    const opened = this.#opened
    this.#opened = undefined
    if (!opened) return
    const { db, connection } = await opened
    connection.closeSync()
    db.closeSync()
  }

  async #connection(): Promise<DuckDBConnection> {
    return (await this.#open()).connection
  }

  #open(): Promise<{ db: DuckDBInstance; connection: DuckDBConnection }> {
    this.#opened ??= open(this.#options)
    return this.#opened
  }
}

async function open({ threads, memoryLimit, tempDir }: EngineOptions) {
  const { DuckDBInstance } = await duckdb()
  const db = await DuckDBInstance.create(':memory:', {
    autoinstall_known_extensions: 'false',
    enable_external_file_cache: 'false', // it would grow with what is read
    ...(threads === undefined ? {} : { threads: String(threads) }),
    ...(memoryLimit === undefined ? {} : { memory_limit: memoryLimit }),
    ...(tempDir === undefined ? {} : { temp_directory: tempDir }),
  })
  const connection = await db.connect()
  await connection.run("SET TimeZone = 'UTC'")
  return { db, connection }
}

async function duckdb(): Promise<typeof import('@duckdb/node-api')> {
  try {
    return await import('@duckdb/node-api')
  } catch (cause) {
    throw new ParquetLoaderError('loader.no-duckdb', 'DuckDB cannot be loaded', {
      cause,
      hint: 'Install @duckdb/node-api for this platform: npm install @duckdb/node-api.',
    })
  }
}

/** `text` as an SQL string. */
export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

/** `name` as an SQL identifier, whatever it holds. */
export const identifier = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** Epoch ms as an SQL timestamp without zone. */
export const timestamp = (ms: number): string => `make_timestamp_ms(${ms}::BIGINT)`
