/**
 * What the trainers demand of a file, checked as they check it (training-formats): read by other code than the one
 * that wrote it.
 */
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { zstdDecompressSync } from 'node:zlib'
import { parquetMetadata, parquetReadObjects } from 'hyparquet'

export interface ParquetRead {
  readonly schema: readonly { readonly name: string; readonly type: string }[]
  readonly rows: readonly Record<string, unknown>[]
}

/** A Parquet file by hyparquet. Types are said as a trainer sees them: `timestamp[naive us]`, `double`, `string`. */
export async function readParquet(path: string): Promise<ParquetRead> {
  const bytes = readFileSync(path)
  const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)
  const [, ...columns] = parquetMetadata(file).schema
  const schema = columns.map((column) => {
    const logical = column.logical_type
    const type =
      logical?.type === 'TIMESTAMP'
        ? `timestamp[${logical.isAdjustedToUTC ? 'utc' : 'naive'} ${logical.unit === 'MICROS' ? 'us' : logical.unit}]`
        : column.converted_type === 'UTF8'
          ? 'string'
          : String(column.type).toLowerCase()
    return { name: column.name, type }
  })
  const compressors = { ZSTD: (input: Uint8Array) => new Uint8Array(zstdDecompressSync(input)) }
  const rows = await parquetReadObjects({ file, compressors })
  return { schema, rows: rows as Record<string, unknown>[] }
}

const msOf = (value: unknown): number => (value as Date).getTime()

/** Rows by item, in file order. Fails where an item's rows do not lie together. */
function byItem(rows: readonly Record<string, unknown>[]): Map<string, Record<string, unknown>[]> {
  const items = new Map<string, Record<string, unknown>[]>()
  let last: unknown
  for (const row of rows) {
    const id = row.item_id as string
    if (id !== last && items.has(id)) throw new Error(`rows of ${id} are not together`)
    last = id
    if (!items.has(id)) items.set(id, [])
    items.get(id)!.push(row)
  }
  return items
}

/** One step for all items, as pandas infers it; `B` for business days. Fails where it cannot be inferred. */
export function inferFrequency(items: ReadonlyMap<string, readonly Record<string, unknown>[]>): number | 'B' {
  const found = new Set<number | 'B'>()
  for (const [id, rows] of items) {
    if (rows.length < 3) continue
    const times = rows.map((row) => msOf(row.timestamp))
    const steps = new Set(times.slice(1).map((ms, i) => ms - times[i]!))
    if (steps.size === 1) {
      found.add([...steps][0]!)
      continue
    }
    const weekdays = times.every((ms) => ![0, 6].includes(new Date(ms).getUTCDay()))
    const business = [...steps].every((ms) => ms === 86_400_000 || ms === 3 * 86_400_000)
    if (!weekdays || !business) throw new Error(`could not infer the frequency of ${id}`)
    found.add('B')
  }
  if (found.size !== 1) throw new Error(`items have different frequencies: ${[...found].join(', ')}`)
  return [...found][0]!
}

/** Checks a long frame as `Chronos2Pipeline.predict_df` and AutoGluon do, and gives its rows by item. */
export async function checkLong(path: string, targets: readonly string[] = ['target']) {
  if (basename(path).split('.').length !== 2) throw new Error(`${basename(path)} has not exactly one dot`)
  const { schema, rows } = await readParquet(path)
  const expected = [
    { name: 'item_id', type: 'string' },
    { name: 'timestamp', type: 'timestamp[naive us]' },
    ...targets.map((name) => ({ name, type: 'double' })),
  ]
  if (JSON.stringify(schema) !== JSON.stringify(expected))
    throw new Error(`schema is ${JSON.stringify(schema)}`)
  const items = byItem(rows)
  if ([...items.keys()].join() !== [...items.keys()].sort().join()) throw new Error('items are not sorted')
  const frequency = inferFrequency(items)
  return { items, frequency }
}

/** Checks a future frame against the long frame it goes with. */
export async function checkFuture(path: string, long: Awaited<ReturnType<typeof checkLong>>, length: number) {
  const { schema, rows } = await readParquet(path)
  if (schema.map((column) => column.name).join() !== 'item_id,timestamp')
    throw new Error('columns not in the frame')
  const items = byItem(rows)
  if ([...items.keys()].join() !== [...long.items.keys()].join()) throw new Error('other items')
  for (const [id, times] of items) {
    if (times.length !== length) throw new Error(`${id} has ${times.length} rows, not ${length}`)
    const past = long.items.get(id)!
    inferFrequency(new Map([[id, [...past, ...times]]]))
  }
  return items
}

export interface ArrowRead {
  readonly schema: readonly string[]
  readonly rows: readonly { start: number; target: Float32Array; item_id: string }[]
}

/** Checks an Arrow IPC file of GluonTS series, straight from the bytes, and gives its rows. */
export function readGluonts(path: string): ArrowRead {
  const { schema, batches } = readArrowFile(readFileSync(path))
  const rows = batches.flatMap(({ count, buffer }) => {
    const [starts, offsets, values, idOffsets, ids] = [buffer(1), buffer(3), buffer(5), buffer(7), buffer(8)]
    return Array.from({ length: count }, (_, i) => {
      const from = offsets.readInt32LE(i * 4)
      const target = new Float32Array(offsets.readInt32LE(i * 4 + 4) - from)
      for (let k = 0; k < target.length; k++) target[k] = values.readFloatLE((from + k) * 4)
      const id = ids.subarray(idOffsets.readInt32LE(i * 4), idOffsets.readInt32LE(i * 4 + 4)).toString()
      return { start: Number(starts.readBigInt64LE(i * 8) / 1000n), target, item_id: id }
    })
  })
  return { schema, rows }
}

/** The columns of an Arrow IPC file whose values are eight bytes each, by name: their bytes, batch after batch. */
export function readArrowColumns(bytes: Buffer): ReadonlyMap<string, Buffer> {
  const { schema, batches } = readArrowFile(bytes)
  return new Map(
    schema.map((column, c) => [
      column.split(':')[0]!,
      Buffer.concat(batches.map(({ count, buffer }) => buffer(2 * c + 1).subarray(0, count * 8))),
    ]),
  )
}

interface ArrowBatch {
  readonly count: number
  readonly buffer: (i: number) => Buffer
}

/** `name:type` of each column, and the record batches, by an Arrow IPC file's own footer. */
function readArrowFile(bytes: Buffer): {
  readonly schema: string[]
  readonly batches: readonly ArrowBatch[]
} {
  const text = (from: number, to: number) => bytes.subarray(from, to).toString('latin1')
  if (text(0, 6) !== 'ARROW1' || text(bytes.length - 6, bytes.length) !== 'ARROW1')
    throw new Error('no Arrow file')
  const footerLength = bytes.readInt32LE(bytes.length - 10)
  const footer = table(bytes, bytes.length - 10 - footerLength)
  const schema = vector(bytes, field(bytes, indirect(bytes, field(bytes, footer, 1)!), 1)).map((at) => {
    const column = indirect(bytes, at)
    const name = string(bytes, field(bytes, column, 0)!)
    return `${name}:${bytes.readUInt8(field(bytes, column, 2)!)}`
  })
  const blocks = field(bytes, footer, 3)!
  const start = blocks + bytes.readUInt32LE(blocks)
  const batches = Array.from({ length: bytes.readUInt32LE(start) }, (_, i) => {
    const at = start + 4 + i * 24
    return arrowBatch(bytes, Number(bytes.readBigInt64LE(at)), bytes.readInt32LE(at + 8))
  })
  return { schema, batches }
}

function arrowBatch(bytes: Buffer, offset: number, metadataLength: number): ArrowBatch {
  if (bytes.readInt32LE(offset) !== -1) throw new Error('no continuation mark')
  const batch = indirect(bytes, field(bytes, table(bytes, offset + 8), 2)!)
  const at = field(bytes, batch, 2)!
  const list = at + bytes.readUInt32LE(at)
  const body = offset + metadataLength
  const buffer = (i: number) => {
    const from = body + Number(bytes.readBigInt64LE(list + 4 + i * 16))
    if (from % 8 !== 0) throw new Error('a buffer is not aligned')
    return bytes.subarray(from, from + Number(bytes.readBigInt64LE(list + 12 + i * 16)))
  }
  return { count: Number(bytes.readBigInt64LE(field(bytes, batch, 0)!)), buffer }
}

// FlatBuffers, as far as Arrow's metadata goes.
const indirect = (bytes: Buffer, at: number) => at + bytes.readUInt32LE(at)
const table = indirect
function field(bytes: Buffer, at: number, number: number): number | undefined {
  const vtable = at - bytes.readInt32LE(at)
  const slot = 4 + number * 2
  const entry = slot < bytes.readUInt16LE(vtable) ? bytes.readUInt16LE(vtable + slot) : 0
  return entry === 0 ? undefined : at + entry
}
function vector(bytes: Buffer, at: number | undefined): number[] {
  const start = indirect(bytes, at!)
  return Array.from({ length: bytes.readUInt32LE(start) }, (_, i) => start + 4 + i * 4)
}
function string(bytes: Buffer, at: number): string {
  const start = indirect(bytes, at)
  return bytes.subarray(start + 4, start + 4 + bytes.readUInt32LE(start)).toString()
}
