import {
  allocateBatch,
  type BarBatch,
  type NativeField,
  nativeFields,
  priceFields,
  sliceBatch,
} from '../../model/bar.ts'
import { seriesId } from '../../model/series.ts'
import type { EpochMs } from '../../model/time.ts'
import { withoutBlankColumns } from '../bars.ts'
import type { AppendEntry } from '../store.ts'

/**
 * A delta file: a few bars of many series, by column.
 *
 * ```text
 * bytes 0 … 7     EVBDELTA
 * bytes 8 … 11    version, 1 (uint32, little endian like all numbers here)
 * bytes 12 … 15   length of the head
 * head            JSON, padded with spaces to a multiple of 8:
 *                 { "series": [["binance:spot:BTCUSDT:1m", 1], …], "native": ["trades", …] }
 * columns         float64, one after another, a value for each bar in the order of the series:
 *                 open time (epoch ms), open, high, low, close, volume, then the native ones; NaN for unknown
 * ```
 */
const MAGIC = 'EVBDELTA'
const VERSION = 1
const FIXED_BYTES = 16

interface Head {
  readonly series: readonly (readonly [id: string, bars: number])[]
  readonly native: readonly NativeField[]
}

/** One bar, by its position. */
export interface FoundBar {
  readonly bars: BarBatch
  readonly at: number
}

/** What a delta file holds, without a copy for each series. */
export class Delta {
  readonly rows: number
  /** The first open time of all. */
  readonly firstMs: EpochMs
  /** Ids of the series in it, in their order. */
  readonly ids: readonly string[]
  /** Its bars in the order they stand in, series after series: no batch as a whole. */
  readonly all: BarBatch
  readonly #where: ReadonlyMap<string, readonly [from: number, to: number]>

  constructor(all: BarBatch, series: Head['series']) {
    this.all = all
    this.rows = all.length
    this.firstMs = all.openTimeMs.reduce((first, ms) => Math.min(first, ms), Number.POSITIVE_INFINITY)
    this.ids = series.map(([id]) => id)
    let at = 0
    this.#where = new Map(series.map(([id, count]) => [id, [at, (at += count)]]))
  }

  /** The bars of a series, sharing memory with the others; `undefined` for one that is not in it. */
  barsOf(id: string): BarBatch | undefined {
    const where = this.#where.get(id)
    return where && withoutBlankColumns(sliceBatch(this.all, ...where))
  }

  /** Positions of a series' bars in `all`: from, and up to. */
  rangeOf(id: string): readonly [from: number, to: number] {
    return this.#where.get(id) ?? nowhere
  }

  /** Where the bar of a series that opens at `ms` stands; nothing is copied. */
  find(id: string, ms: number): FoundBar | undefined {
    const [from, to] = this.rangeOf(id)
    const at = this.all.openTimeMs.subarray(from, to).indexOf(ms)
    return at < 0 ? undefined : { bars: this.all, at: from + at }
  }

  /** The last open time of a series that is in it. */
  lastMs(id: string): EpochMs {
    return this.all.openTimeMs[this.#where.get(id)![1] - 1]!
  }
}

const nowhere = [0, 0] as const

/** The same entries give the same bytes. Entries without a bar leave no trace. */
export function encodeDelta(entries: readonly AppendEntry[]): Uint8Array {
  const parts = entries.filter(({ batch }) => batch.length > 0)
  const rows = parts.reduce((sum, { batch }) => sum + batch.length, 0)
  const native = nativeFields.filter((field) => parts.some(({ batch }) => batch.native[field]))
  const head: Head = { series: parts.map(({ series, batch }) => [seriesId(series), batch.length]), native }
  const text = Buffer.from(JSON.stringify(head))
  const headBytes = Math.ceil(text.length / 8) * 8
  const width = 1 + priceFields.length + native.length
  const bytes = Buffer.alloc(FIXED_BYTES + headBytes + rows * width * 8, ' ')
  bytes.write(MAGIC, 'latin1')
  bytes.writeUInt32LE(VERSION, 8)
  bytes.writeUInt32LE(headBytes, 12)
  text.copy(bytes, FIXED_BYTES)
  let at = FIXED_BYTES + headBytes
  const write = (columnOf: (batch: BarBatch) => Float64Array | undefined) => {
    for (const { batch } of parts) {
      const column = columnOf(batch)
      // Adding 0 makes −0 a plain 0.
      for (let i = 0; i < batch.length; i++, at += 8) bytes.writeDoubleLE((column?.[i] ?? Number.NaN) + 0, at)
    }
  }
  write((batch) => batch.openTimeMs)
  for (const field of priceFields) write((batch) => batch[field])
  for (const field of native) write((batch) => batch.native[field])
  return bytes
}

/** @throws Error in a few words where the bytes are no delta file, or one of a newer version. */
export function decodeDelta(bytes: Uint8Array): Delta {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (buffer.length < FIXED_BYTES || buffer.toString('latin1', 0, 8) !== MAGIC)
    throw new Error('is no delta file')
  const version = buffer.readUInt32LE(8)
  if (version !== VERSION) throw new Error(`has version ${version}; this everybar reads ${VERSION}`)
  const from = FIXED_BYTES + buffer.readUInt32LE(12)
  const { series, native } = JSON.parse(buffer.toString('utf8', FIXED_BYTES, from)) as Head
  const rows = series.reduce((sum, [, bars]) => sum + bars, 0)
  const width = 1 + priceFields.length + native.length
  if (buffer.length !== from + rows * width * 8) throw new Error('has another length than its head says')
  const all = allocateBatch(rows, native)
  const columns = [
    all.openTimeMs,
    ...priceFields.map((field) => all[field]),
    ...native.map((field) => all.native[field]!),
  ]
  // Copied first: numbers may lie at any byte of what was read.
  const values = new Float64Array(new Uint8Array(buffer.subarray(from)).buffer)
  for (const [c, column] of columns.entries()) column.set(values.subarray(c * rows, (c + 1) * rows))
  return new Delta(all, series)
}
