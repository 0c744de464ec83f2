import { allocateBatch, type BarBatch } from '../../model/bar.ts'
import type { Series } from '../../model/series.ts'
import { columnOf } from '../common/misfits.ts'
import type { TableLayout, ValueColumn } from './layout.ts'

/** PostgreSQL counts microseconds from 2000-01-01. */
const POSTGRES_EPOCH_MS = 946_684_800_000
const TWO_32 = 2 ** 32
const HEADER = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)])
const TRAILER = Buffer.from([0xff, 0xff])

/** Rows a chunk holds: about a megabyte. One chunk a row would be twice as slow. */
const ROWS_PER_CHUNK = 8_192

/**
 * The rows of `batch` as a binary COPY stream, header and trailer included, in chunks of a bounded size. NaN in a
 * column that is not required is NULL, and so is a native column the batch lacks.
 *
 * @param key the series whose key columns go before the time; without it the rows hold time and values only.
 */
export function* encodeCopy(layout: TableLayout, batch: BarBatch, key?: Series): Generator<Buffer> {
  yield HEADER
  const prefix = rowPrefix(layout, key)
  const rowBytes = prefix.length + 12 * (1 + layout.values.length)
  const columns = layout.values.map((column) => ({ ...column, from: columnOf(batch, column.field) }))
  for (let start = 0; start < batch.length; start += ROWS_PER_CHUNK) {
    const end = Math.min(batch.length, start + ROWS_PER_CHUNK)
    const chunk = Buffer.allocUnsafe((end - start) * rowBytes)
    const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.length)
    let at = 0
    for (let i = start; i < end; i++) {
      chunk.set(prefix, at)
      at = putInteger(view, at + prefix.length, microsOf(batch.openTimeMs[i]!))
      for (const { from, type, required } of columns) {
        const value = from ? from[i]! : Number.NaN
        if (Number.isNaN(value) && !required) {
          view.setInt32(at, -1)
          at += 4
        } else if (type === 'float8') {
          view.setInt32(at, 8)
          view.setFloat64(at + 4, value)
          at += 12
        } else at = putInteger(view, at, type === 'int8' ? value : microsOf(value))
      }
    }
    yield chunk.subarray(0, at)
  }
  yield TRAILER
}

const microsOf = (ms: number): number => (ms - POSTGRES_EPOCH_MS) * 1000

function putInteger(view: DataView, at: number, value: number): number {
  const high = Math.floor(value / TWO_32)
  view.setInt32(at, 8)
  view.setInt32(at + 4, high)
  view.setUint32(at + 8, value - high * TWO_32)
  return at + 12
}

/** The count of fields, and the key columns with their lengths: the same bytes for every row of a series. */
function rowPrefix(layout: TableLayout, key: Series | undefined): Buffer {
  const fields = key ? layout.key.map(({ value }) => Buffer.from(value(key))) : []
  const count = Buffer.alloc(2)
  count.writeInt16BE(fields.length + 1 + layout.values.length)
  const parts = [count]
  for (const field of fields) {
    const length = Buffer.alloc(4)
    length.writeInt32BE(field.length)
    parts.push(length, field)
  }
  return Buffer.concat(parts)
}

/** Reads a binary COPY of time and values back into batches of at most `rowsMax` bars. */
export class CopyDecoder {
  readonly #values: readonly ValueColumn[]
  readonly #rowsMax: number
  #pending: Buffer = Buffer.alloc(0)
  #begun = false
  #batch: BarBatch
  #filled: Float64Array[]
  #known: boolean[]
  #rows = 0

  constructor(layout: TableLayout, rowsMax: number) {
    this.#values = layout.values
    this.#rowsMax = rowsMax
    this.#batch = this.#allocate()
    this.#filled = this.#columns()
    this.#known = this.#values.map(() => false)
  }

  /** Batches that `chunk` completes. */
  *push(chunk: Buffer): Generator<BarBatch> {
    const data = this.#pending.length > 0 ? Buffer.concat([this.#pending, chunk]) : chunk
    const view = new DataView(data.buffer, data.byteOffset, data.length)
    let at = 0
    if (!this.#begun) {
      if (data.length < HEADER.length) {
        this.#pending = data
        return
      }
      this.#begun = true
      at = HEADER.length
    }
    for (;;) {
      const next = this.#readRow(view, at)
      if (next === undefined) break
      at = next
      if (this.#rows === this.#rowsMax) yield this.#take()
    }
    this.#pending = Buffer.from(data.subarray(at))
  }

  /** What is left; empty when nothing is. */
  end(): BarBatch {
    return this.#take()
  }

  /** Where the next row begins; `undefined` when this one is not whole, or is the end of the stream. */
  #readRow(view: DataView, start: number): number | undefined {
    if (start + 2 > view.byteLength || view.getInt16(start) < 0) return undefined
    let at = start + 2
    for (let column = -1; column < this.#values.length; column++) {
      if (at + 4 > view.byteLength) return undefined
      const bytes = view.getInt32(at)
      at += 4
      if (at + Math.max(bytes, 0) > view.byteLength) return undefined
      const type = column < 0 ? 'timestamptz' : this.#values[column]!.type
      this.#set(column, bytes < 0 ? Number.NaN : readValue(view, at, type))
      at += Math.max(bytes, 0)
    }
    this.#rows++
    return at
  }

  #set(column: number, value: number): void {
    if (column < 0) this.#batch.openTimeMs[this.#rows] = value
    else {
      this.#filled[column]![this.#rows] = value
      if (!Number.isNaN(value)) this.#known[column] = true
    }
  }

  #take(): BarBatch {
    const rows = this.#rows
    const native: { -readonly [field in keyof BarBatch['native']]: Float64Array } = {}
    this.#values.forEach(({ field }, i) => {
      const column = field in this.#batch.native && this.#known[i]
      if (column) native[field as keyof BarBatch['native']] = this.#filled[i]!.subarray(0, rows)
    })
    const { openTimeMs, open, high, low, close, volume } = this.#batch
    const cut = (column: Float64Array) => column.subarray(0, rows)
    const taken = {
      length: rows,
      openTimeMs: cut(openTimeMs),
      open: cut(open),
      high: cut(high),
      low: cut(low),
      close: cut(close),
      volume: cut(volume),
      native,
    }
    this.#batch = this.#allocate()
    this.#filled = this.#columns()
    this.#known = this.#values.map(() => false)
    this.#rows = 0
    return taken
  }

  #allocate(): BarBatch {
    const fields = this.#values.filter(({ required }) => !required).map(({ field }) => field)
    return allocateBatch(this.#rowsMax, fields as (keyof BarBatch['native'])[])
  }

  #columns(): Float64Array[] {
    return this.#values.map((column) => columnOf(this.#batch, column.field)!)
  }
}

function readValue(view: DataView, at: number, type: ValueColumn['type']): number {
  if (type === 'float8') return view.getFloat64(at)
  const value = view.getInt32(at) * TWO_32 + view.getUint32(at + 4)
  return type === 'int8' ? value : Math.floor(value / 1000) + POSTGRES_EPOCH_MS
}
