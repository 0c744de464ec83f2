import { mkdir, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { DuckDBVector } from '@duckdb/node-api'
import { type Engine, identifier, literal } from '../read/engine.ts'
import { writeFault } from '../state/atomic.ts'

/** Rows gathered in memory before they are written: 8 MB a column. */
const ROWS_PER_PART = 1 << 20

// A part is written by one thread, the file by all: so only the file is compressed.
const plain = 'FORMAT parquet, COMPRESSION uncompressed, ROW_GROUP_SIZE 122880'
const compressed = 'FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880'
const csv = "FORMAT csv, HEADER, TIMESTAMPFORMAT '%Y-%m-%d %H:%M:%S'"

let sinks = 0

/**
 * Writes numeric columns, row after row, to one Parquet or CSV file, in constant memory. What a file holds is said by
 * a projection: SQL over the columns by name. Rows are gathered into parts beside the file, and the parts are joined
 * at the end; the same rows give the same bytes.
 */
export class ParquetSink {
  readonly path: string
  rows = 0
  readonly #engine: Engine
  readonly #names: readonly string[]
  readonly #csv: boolean
  readonly #function = `everybar_rows_${++sinks}`
  readonly #parts: string[] = []
  #buffer: Float64Array[] | undefined
  #held = 0
  #read = 0
  #projection = ''

  /** `path` ends in `.parquet` or `.csv`. */
  constructor(engine: Engine, path: string, names: readonly string[]) {
    this.path = path
    this.#engine = engine
    this.#names = names
    this.#csv = path.endsWith('.csv')
  }

  /** Whether it has any rows. */
  get used(): boolean {
    return this.rows + this.#held > 0
  }

  /** Adds `length` rows. `columns` are in the order of the names; they may be used again after it resolves. */
  async append(columns: readonly Float64Array[], length: number, projection: string): Promise<void> {
    if (projection !== this.#projection) {
      await this.#flush()
      this.#projection = projection
    }
    for (let from = 0; from < length; ) {
      this.#buffer ??= this.#names.map(() => new Float64Array(ROWS_PER_PART))
      const count = Math.min(length - from, ROWS_PER_PART - this.#held)
      columns.forEach((column, i) => {
        this.#buffer![i]!.set(column.subarray(from, from + count), this.#held)
      })
      this.#held += count
      from += count
      if (this.#held === ROWS_PER_PART) await this.#flush()
    }
  }

  /**
   * Ends the file. Without a row it is written with its columns and nothing in them, by `projection`.
   *
   * @throws ParquetLoaderError `loader.disk-full`, `loader.not-writable`.
   */
  async close(projection = this.#projection): Promise<void> {
    this.#projection ||= projection
    if (this.#parts.length === 0) await this.#write()
    else await this.#flush()
    this.#buffer = undefined
    const parts = this.#parts.map((part) => literal(part)).join(', ')
    await this.#copy(`SELECT * FROM read_parquet([${parts}])`, this.path, this.#csv ? csv : compressed)
    await Promise.all(this.#parts.map((part) => rm(part)))
  }

  async #flush(): Promise<void> {
    if (this.#held > 0) await this.#write()
  }

  async #write(): Promise<void> {
    if (this.#parts.length === 0) {
      await mkdir(dirname(this.path), { recursive: true })
      await this.#register()
    }
    const part = `${this.path}.part-${this.#parts.length}.parquet`
    this.#read = 0
    await this.#copy(`SELECT ${this.#projection} FROM ${this.#function}()`, part, plain)
    this.#parts.push(part)
    this.rows += this.#held
    this.#held = 0
  }

  async #copy(select: string, path: string, format: string): Promise<void> {
    try {
      await this.#engine.run(`COPY (${select}) TO ${literal(path)} (${format})`)
    } catch (cause) {
      await rm(path, { force: true })
      throw writeFault(path, cause)
    }
  }

  async #register(): Promise<void> {
    await this.#engine.register(({ DuckDBTableFunction, DOUBLE }) =>
      DuckDBTableFunction.create({
        name: this.#function,
        bindFunction: (bind) => {
          for (const name of this.#names) bind.addResultColumn(name, DOUBLE)
        },
        initFunction: (init) => init.setMaxThreads(1),
        mainFunction: (_info, chunk) => {
          const count = Math.min(this.#held - this.#read, 2048)
          chunk.rowCount = count
          for (let i = 0; count > 0 && i < this.#names.length; i++) {
            const vector = chunk.getColumnVector(i)
            doublesOf(vector).set(this.#buffer![i]!.subarray(this.#read, this.#read + count))
            vector.flush()
          }
          this.#read += count
        },
      }),
    )
  }
}

/** The array behind a DOUBLE vector: the fast way in. */
function doublesOf(vector: DuckDBVector): Float64Array {
  const { items } = vector as unknown as { readonly items: Float64Array }
  if (!(items instanceof Float64Array)) throw new TypeError('a DOUBLE vector has changed its insides')
  return items
}

/** `name` as a time, from epoch ms. */
export const asTimestamp = (name: string, as = name): string =>
  `make_timestamp_ms(${identifier(name)}::BIGINT) AS ${identifier(as)}`
