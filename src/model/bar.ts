import type { EpochMs, TimeRange } from './time.ts'

/** The columns a venue may have beside OHLCV. Times in epoch ms, volumes in units of the asset named. */
export const nativeFields = [
  'closeTimeMs',
  'quoteVolume',
  'trades',
  'takerBuyBaseVolume',
  'takerBuyQuoteVolume',
  'openInterest',
] as const
export type NativeField = (typeof nativeFields)[number]

export const priceFields = ['open', 'high', 'low', 'close', 'volume'] as const
export type PriceField = (typeof priceFields)[number]

/**
 * A run of bars by column: strictly ascending open times, one bar a time. Every column has `length` values. About
 * 48 bytes a bar, 88 with all native fields. A native column is present for the whole run or not at all; a value
 * unknown within it is NaN.
 */
export interface BarBatch {
  readonly length: number
  /** Epoch milliseconds, whole numbers. */
  readonly openTimeMs: Float64Array
  readonly open: Float64Array
  readonly high: Float64Array
  readonly low: Float64Array
  readonly close: Float64Array
  readonly volume: Float64Array
  readonly native: { readonly [field in NativeField]?: Float64Array }
}

/** One bar as a row, for people and tests; bulk code stays with columns. */
export interface Bar {
  readonly openTimeMs: EpochMs
  readonly open: number
  readonly high: number
  readonly low: number
  readonly close: number
  readonly volume: number
  readonly native?: { readonly [field in NativeField]?: number }
}

/** A batch of `length` bars, all zero, whose columns the caller fills before handing it on. One block of memory. */
export function allocateBatch(length: number, fields: readonly NativeField[] = []): BarBatch {
  const block = new Float64Array(length * (1 + priceFields.length + fields.length))
  let at = 0
  const column = () => block.subarray(at, (at += length))
  const native: { [field in NativeField]?: Float64Array } = {}
  for (const field of fields) native[field] = column()
  return {
    length,
    openTimeMs: column(),
    open: column(),
    high: column(),
    low: column(),
    close: column(),
    volume: column(),
    native,
  }
}

export const emptyBatch: BarBatch = allocateBatch(0)

/** The native fields a batch carries, in their fixed order. */
export const fieldsOf = (batch: BarBatch): NativeField[] =>
  nativeFields.filter((field) => batch.native[field])

/** Applies `change` to every column; the length of what it gives has to be `length`. */
function mapColumns(
  batch: BarBatch,
  length: number,
  change: (column: Float64Array) => Float64Array,
): BarBatch {
  const native: { [field in NativeField]?: Float64Array } = {}
  for (const field of fieldsOf(batch)) native[field] = change(batch.native[field]!)
  return {
    length,
    openTimeMs: change(batch.openTimeMs),
    open: change(batch.open),
    high: change(batch.high),
    low: change(batch.low),
    close: change(batch.close),
    volume: change(batch.volume),
    native,
  }
}

/** Bars `from` up to, not including, `to`, by position. Shares memory with `batch`. */
export function sliceBatch(batch: BarBatch, from: number, to: number): BarBatch {
  const start = Math.max(0, Math.min(from, batch.length))
  const end = Math.max(start, Math.min(to, batch.length))
  if (start === 0 && end === batch.length) return batch
  return mapColumns(batch, end - start, (column) => column.subarray(start, end))
}

/** From the first open time to just after the last; `undefined` for no bars. */
export const spanOf = ({ length, openTimeMs }: BarBatch): TimeRange | undefined =>
  length === 0 ? undefined : { startMs: openTimeMs[0]!, endMs: openTimeMs[length - 1]! + 1 }

/** Bars that open in `range`. Shares memory with `batch`. */
export const batchWithin = (batch: BarBatch, range: TimeRange): BarBatch =>
  sliceBatch(batch, lowerBound(batch.openTimeMs, range.startMs), lowerBound(batch.openTimeMs, range.endMs))

/** The bars at `positions`, in that order, copied. */
export function pickBars(batch: BarBatch, positions: ArrayLike<number>): BarBatch {
  return mapColumns(batch, positions.length, (column) => {
    const out = new Float64Array(positions.length)
    for (let i = 0; i < positions.length; i++) out[i] = column[positions[i]!]!
    return out
  })
}

/**
 * Several batches of one series as one, ascending. Where an open time stands in more than one, the bar of the later
 * batch wins. A native field that any batch has is in the result, NaN where a batch lacks it.
 */
export function concatBatches(batches: readonly BarBatch[]): BarBatch {
  const filled = batches.filter((batch) => batch.length > 0)
  if (filled.length <= 1) return filled[0] ?? emptyBatch
  const length = filled.reduce((sum, batch) => sum + batch.length, 0)
  const fields = nativeFields.filter((field) => filled.some((batch) => batch.native[field]))
  const all = allocateBatch(length, fields)
  let at = 0
  let ascending = true
  for (const batch of filled) {
    if (at > 0 && batch.openTimeMs[0]! <= all.openTimeMs[at - 1]!) ascending = false
    all.openTimeMs.set(batch.openTimeMs, at)
    for (const field of priceFields) all[field].set(batch[field], at)
    for (const field of fields) {
      const column = batch.native[field]
      if (column) all.native[field]!.set(column, at)
      else all.native[field]!.fill(Number.NaN, at, at + batch.length)
    }
    at += batch.length
  }
  return ascending ? all : byTime(all)
}

/** Bars that come in any order as a batch: sorted by time, only the last of those that share one. */
export const byTime = (bars: BarBatch): BarBatch => pickBars(bars, lastPerTime(bars.openTimeMs))

/** Positions in time order, only the last of those that share a time. */
function lastPerTime(times: Float64Array): Uint32Array {
  const order = Uint32Array.from({ length: times.length }, (_, i) => i)
  order.sort((a, b) => times[a]! - times[b]! || a - b)
  let kept = 0
  for (let i = 0; i < order.length; i++) {
    if (i + 1 < order.length && times[order[i + 1]!] === times[order[i]!]) continue
    order[kept++] = order[i]!
  }
  return order.slice(0, kept)
}

/** First position whose value is at least `value`, in an ascending array. */
export function lowerBound(ascending: Float64Array, value: number): number {
  let low = 0
  let high = ascending.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (ascending[middle]! < value) low = middle + 1
    else high = middle
  }
  return low
}

export function batchFromBars(bars: readonly Bar[]): BarBatch {
  const fields = nativeFields.filter((field) => bars.some((bar) => bar.native?.[field] !== undefined))
  const batch = allocateBatch(bars.length, fields)
  bars.forEach((bar, i) => {
    batch.openTimeMs[i] = bar.openTimeMs
    for (const field of priceFields) batch[field][i] = bar[field]
    for (const field of fields) batch.native[field]![i] = bar.native?.[field] ?? Number.NaN
  })
  return batch
}

export function barAt(batch: BarBatch, i: number): Bar {
  const native: { [field in NativeField]?: number } = {}
  for (const field of fieldsOf(batch)) native[field] = batch.native[field]![i]!
  return {
    openTimeMs: batch.openTimeMs[i]!,
    open: batch.open[i]!,
    high: batch.high[i]!,
    low: batch.low[i]!,
    close: batch.close[i]!,
    volume: batch.volume[i]!,
    native,
  }
}

/** Every bar as a row, in order. */
export const barsOf = (batch: BarBatch): Bar[] =>
  Array.from({ length: batch.length }, (_, i) => barAt(batch, i))
