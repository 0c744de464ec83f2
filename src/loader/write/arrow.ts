import { FlatBufferBuilder, type Offset, type Slot } from './flatbuffer.ts'

/** A column of one record batch. `rows` values each; a list's offsets are one more. */
export type ArrowColumn =
  | { readonly name: string; readonly type: 'timestamp' /** Epoch ms. */; readonly values: Float64Array }
  | { readonly name: string; readonly type: 'float64'; readonly values: Float64Array }
  | { readonly name: string; readonly type: 'utf8'; readonly values: readonly string[] }
  | { readonly name: string; readonly type: 'list<float32>'; readonly values: readonly Float32Array[] }

export type ArrowType = ArrowColumn['type']
export type ArrowSchema = readonly { readonly name: string; readonly type: ArrowType }[]

/** The numbers Arrow's Schema.fbs and Message.fbs give to what is used here. */
const V5 = 4
const header = { schema: 1, recordBatch: 3 } as const
const typeOf = { float: 3, utf8: 5, timestamp: 10, list: 12 } as const
const precision = { single: 1, double: 2 } as const
const MICROSECOND = 2

/** Where a record batch lies in the file. */
export interface ArrowBlock {
  readonly offset: number
  readonly metadataLength: number
  readonly bodyLength: number
}

const padded = (length: number): number => (length + 7) & ~7
const ascii = (text: string): Uint8Array => new TextEncoder().encode(text)

/** The first bytes of an Arrow IPC file: the magic and the schema. */
export const arrowHead = (schema: ArrowSchema): Uint8Array =>
  join([ascii('ARROW1\0\0'), message(header.schema, (b) => schemaTable(b, schema), 0)])

/** A record batch as it lies in the file: its metadata, then the pieces of its body. */
export interface ArrowBatch {
  readonly metadata: Uint8Array
  /** Views of the columns where those are as Arrow has them; a large batch is not copied. */
  readonly body: readonly Uint8Array[]
  readonly bodyLength: number
}

/**
 * One record batch, ready to be put after what was written before. Values are never null; a value that is not known
 * is NaN. Timestamps have microseconds and no zone.
 */
export function arrowBatch(columns: readonly ArrowColumn[], rows: number): ArrowBatch {
  const nodes: number[][] = []
  const buffers: Uint8Array[] = []
  for (const column of columns) addColumn(column, rows, nodes, buffers)
  const places: number[][] = []
  const body: Uint8Array[] = []
  let offset = 0
  for (const bytes of buffers) {
    places.push([offset, bytes.length])
    const gap = padded(bytes.length) - bytes.length
    body.push(bytes, new Uint8Array(gap))
    offset += bytes.length + gap
  }
  const metadata = message(
    header.recordBatch,
    (b) => {
      const bufferVector = b.structs(places)
      const nodeVector = b.structs(nodes)
      return b.table([i64(rows), ref(nodeVector), ref(bufferVector)])
    },
    offset,
  )
  return { metadata, body, bodyLength: offset }
}

/** The last bytes of the file: the end of the stream, then the footer that says where each batch lies. */
export function arrowTail(schema: ArrowSchema, blocks: readonly ArrowBlock[]): Uint8Array {
  const b = new FlatBufferBuilder()
  // A Block holds a long, an int (with four bytes of padding) and a long: three times eight bytes.
  const batches = b.structs(blocks.map((block) => [block.offset, block.metadataLength, block.bodyLength]))
  const dictionaries = b.structs([])
  const schemaAt = schemaTable(b, schema)
  const footer = b.finish(b.table([i16(V5), ref(schemaAt), ref(dictionaries), ref(batches)]))
  return join([endOfStream(), footer, int32(footer.length), ascii('ARROW1')])
}

/** Rows as an Arrow IPC file in memory. */
export function arrowFile(columns: readonly ArrowColumn[], rows: number): Uint8Array {
  const schema = columns.map(({ name, type }) => ({ name, type }))
  const head = arrowHead(schema)
  const { metadata, body, bodyLength } = arrowBatch(columns, rows)
  const block = { offset: head.length, metadataLength: metadata.length, bodyLength }
  return join([head, metadata, ...body, arrowTail(schema, [block])])
}

function addColumn(column: ArrowColumn, rows: number, nodes: number[][], buffers: Uint8Array[]): void {
  const none = new Uint8Array(0) // no validity bitmap: nothing is null
  nodes.push([rows, 0])
  switch (column.type) {
    case 'timestamp': {
      const micros = BigInt64Array.from(column.values, (ms) => BigInt(ms) * 1000n)
      buffers.push(none, bytesOf(micros))
      return
    }
    case 'float64':
      buffers.push(none, bytesOf(column.values))
      return
    case 'utf8': {
      const texts = column.values.map((text) => new TextEncoder().encode(text))
      buffers.push(none, bytesOf(offsetsOf(texts)), join(texts))
      return
    }
    case 'list<float32>': {
      const offsets = offsetsOf(column.values)
      buffers.push(none, bytesOf(offsets))
      nodes.push([offsets.at(-1)!, 0])
      buffers.push(none, join(column.values.map(bytesOf)))
      return
    }
    default:
      column satisfies never
  }
}

function schemaTable(b: FlatBufferBuilder, schema: ArrowSchema): Offset {
  const fields = b.offsets(schema.map(({ name, type }) => fieldTable(b, name, type)))
  return b.table([i16(0), ref(fields)])
}

function fieldTable(b: FlatBufferBuilder, name: string, type: ArrowType | 'float32'): Offset {
  const children = b.offsets(type === 'list<float32>' ? [fieldTable(b, 'item', 'float32')] : [])
  const [tag, table] = typeTable(b, type)
  const text = b.string(name)
  return b.table([ref(text), u8(1), u8(tag), ref(table), undefined, ref(children)])
}

function typeTable(b: FlatBufferBuilder, type: ArrowType | 'float32'): [number, Offset] {
  switch (type) {
    case 'timestamp':
      return [typeOf.timestamp, b.table([i16(MICROSECOND)])]
    case 'float64':
      return [typeOf.float, b.table([i16(precision.double)])]
    case 'float32':
      return [typeOf.float, b.table([i16(precision.single)])]
    case 'utf8':
      return [typeOf.utf8, b.table([])]
    case 'list<float32>':
      return [typeOf.list, b.table([])]
    default:
      return type satisfies never
  }
}

/** An encapsulated message: continuation mark, length, metadata, all a multiple of eight bytes. */
function message(kind: number, build: (b: FlatBufferBuilder) => Offset, bodyLength: number): Uint8Array {
  const b = new FlatBufferBuilder()
  const content = build(b)
  const metadata = b.finish(b.table([i16(V5), u8(kind), ref(content), i64(bodyLength)]))
  return join([int32(-1), int32(metadata.length), metadata])
}

const endOfStream = (): Uint8Array => join([int32(-1), int32(0)])
const ref = (value: Offset): Slot => ({ kind: 'offset', value })
const u8 = (value: number): Slot => ({ kind: 'u8', value })
const i16 = (value: number): Slot => ({ kind: 'i16', value })
const i64 = (value: number): Slot => ({ kind: 'i64', value })
const int32 = (value: number): Uint8Array => bytesOf(Int32Array.of(value))
const bytesOf = (values: ArrayBufferView): Uint8Array =>
  new Uint8Array(values.buffer, values.byteOffset, values.byteLength)

function offsetsOf(values: readonly { readonly length: number }[]): Int32Array {
  const offsets = new Int32Array(values.length + 1)
  values.forEach((value, i) => {
    offsets[i + 1] = offsets[i]! + value.length
  })
  return offsets
}

function join(pieces: readonly Uint8Array[]): Uint8Array {
  if (pieces.length === 1) return pieces[0]!
  const out = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0))
  let at = 0
  for (const piece of pieces) {
    out.set(piece, at)
    at += piece.length
  }
  return out
}
