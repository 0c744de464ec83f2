import type { EpochMs } from '../../model/time.ts'
import type { Timeframe } from '../../model/timeframe.ts'

/** A row of Binance's klines answer, all twelve elements; numbers with a fraction are text. */
export type KlineRow = [
  openTime: number,
  open: string,
  high: string,
  low: string,
  close: string,
  volume: string,
  closeTime: number,
  quoteVolume: string,
  trades: number,
  takerBuyBase: string,
  takerBuyQuote: string,
  unused: string,
]

/**
 * Bars of `[startMs, endMs)` as the JSON text they are sent as, made once: `bytes` is a whole array, brackets included.
 * Row `i` is `bytes[offsets[i] … offsets[i + 1] - 1)`, what follows it being a comma or the closing bracket.
 */
export interface Block {
  readonly startMs: EpochMs
  readonly endMs: EpochMs
  /** Open times, strictly ascending. */
  readonly times: Float64Array
  /** One longer than `times`. */
  readonly offsets: Uint32Array
  readonly bytes: Uint8Array
}

/** Bars of one symbol and interval, in blocks that lie without a hole over `[startMs, endMs)`. */
export interface BarSeries {
  readonly interval: Timeframe
  readonly startMs: EpochMs
  /** `Infinity` where bars never end. */
  readonly endMs: EpochMs
  /** The block that holds `ms`, which has to lie in `[startMs, endMs)`. */
  readonly block: (ms: EpochMs) => Block | Promise<Block>
  /** The bar that opens at `openMs` as it stands at `nowMs`, while it is still moving. */
  readonly forming: (row: KlineRow, nowMs: EpochMs) => KlineRow | Promise<KlineRow>
}

interface Piece {
  readonly block: Block
  readonly from: number
  readonly to: number
}

/** A run of rows, ascending. */
export interface Page {
  readonly pieces: readonly Piece[]
  readonly length: number
}

export interface Wanted {
  /** Both inclusive, both on open time. */
  readonly fromMs: EpochMs
  readonly toMs: EpochMs
  readonly limit: number
  /** Which end of the range to keep when it holds more than `limit`. */
  readonly keep: 'oldest' | 'newest'
}

/** The rows of `series` in the range wanted; nothing where it has none. */
export function selectRows(series: BarSeries, wanted: Wanted): Promise<Page> {
  return wanted.keep === 'oldest' ? oldest(series, wanted) : newest(series, wanted)
}

async function oldest(series: BarSeries, { fromMs, toMs, limit }: Wanted): Promise<Page> {
  const pieces: Piece[] = []
  let length = 0
  let cursor = Math.max(fromMs, series.startMs)
  while (cursor <= toMs && cursor < series.endMs && length < limit) {
    const block = await series.block(cursor)
    const from = lowerBound(block.times, cursor)
    const to = Math.min(lowerBound(block.times, toMs + 1), from + limit - length)
    if (to > from) pieces.push({ block, from, to })
    length += Math.max(0, to - from)
    cursor = block.endMs
  }
  return { pieces, length }
}

async function newest(series: BarSeries, { fromMs, toMs, limit }: Wanted): Promise<Page> {
  const pieces: Piece[] = []
  let length = 0
  const first = Math.max(fromMs, series.startMs)
  let cursor = Math.min(toMs, series.endMs - 1)
  while (cursor >= first && length < limit) {
    const block = await series.block(cursor)
    const to = lowerBound(block.times, cursor + 1)
    const from = Math.max(lowerBound(block.times, first), to - (limit - length))
    if (to > from) pieces.unshift({ block, from, to })
    length += Math.max(0, to - from)
    cursor = block.startMs - 1
  }
  return { pieces, length }
}

/** Position of the first time at or after `ms`. */
export function lowerBound(times: Float64Array, ms: number): number {
  let low = 0
  let high = times.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (times[middle]! < ms) low = middle + 1
    else high = middle
  }
  return low
}

/** The page as a JSON array. A page that is a whole block is sent as it lies in memory, uncopied. */
export function pageBytes(page: Page): Uint8Array {
  const [first] = page.pieces
  if (!first) return Buffer.from('[]')
  if (page.pieces.length === 1 && first.from === 0 && first.to === first.block.times.length)
    return first.block.bytes
  let size = 1
  for (const { block, from, to } of page.pieces) size += block.offsets[to]! - block.offsets[from]!
  const bytes = Buffer.allocUnsafe(size)
  bytes[0] = 0x5b
  let at = 1
  for (const { block, from, to } of page.pieces) {
    const rows = block.bytes.subarray(block.offsets[from], block.offsets[to])
    bytes.set(rows, at)
    at += rows.length
    bytes[at - 1] = 0x2c
  }
  bytes[size - 1] = 0x5d
  return bytes
}

/** One row of a block, read. */
export function rowAt(block: Block, index: number): KlineRow {
  const text = Buffer.from(
    block.bytes.buffer,
    block.bytes.byteOffset + block.offsets[index]!,
    block.offsets[index + 1]! - 1 - block.offsets[index]!,
  ).toString('latin1')
  return JSON.parse(text) as KlineRow
}

export const rowsOfBlock = (block: Block): KlineRow[] =>
  JSON.parse(Buffer.from(block.bytes).toString('latin1')) as KlineRow[]

export const rowsOfPage = (page: Page): KlineRow[] =>
  JSON.parse(Buffer.from(pageBytes(page)).toString('latin1')) as KlineRow[]

/** A block made of rows, which have to ascend strictly. */
export function blockOfRows(rows: readonly KlineRow[], startMs: EpochMs, endMs: EpochMs): Block {
  const texts = rows.map((row) => JSON.stringify(row))
  const offsets = new Uint32Array(rows.length + 1)
  offsets[0] = 1
  for (let i = 0; i < texts.length; i++) offsets[i + 1] = offsets[i]! + texts[i]!.length + 1
  const bytes = Buffer.from(`[${texts.join(',')}]`, 'latin1')
  return { startMs, endMs, times: Float64Array.from(rows, (row) => row[0]), offsets, bytes }
}
