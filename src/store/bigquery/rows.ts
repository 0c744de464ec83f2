import { type BarBatch, pickBars } from '../../model/bar.ts'
import { valueColumns } from './columns.ts'

type Mutable<T> = { -readonly [key in keyof T]: T[key] }

/** Rows of `readBars` as one batch; rows of one time are all kept. A column nobody knows anything in is left out. */
export function rowsToBatch(rows: readonly (string | null)[][]): BarBatch {
  const number = (text: string | null | undefined) =>
    text === null || text === undefined ? Number.NaN : Number(text)
  const column = (at: number) => Float64Array.from(rows, (row) => number(row[at]))
  const native: Mutable<BarBatch['native']> = {}
  const prices: Partial<Record<'open' | 'high' | 'low' | 'close' | 'volume', Float64Array>> = {}
  valueColumns.forEach(({ field, required }, i) => {
    const values = column(i + 1)
    if (required) prices[field as keyof typeof prices] = values
    else if (!values.every(Number.isNaN)) native[field as keyof typeof native] = values
  })
  const { open, high, low, close, volume } = prices as Required<typeof prices>
  return { length: rows.length, openTimeMs: column(0), open, high, low, close, volume, native }
}

/** Of several rows of one time, which follow one another, the last. */
export function lastOfEach(batch: BarBatch): BarBatch {
  const { openTimeMs: times, length } = batch
  const kept: number[] = []
  for (let i = 0; i < length; i++) if (i + 1 === length || times[i + 1] !== times[i]) kept.push(i)
  return kept.length === length ? batch : pickBars(batch, kept)
}

/** Without the rows that say that a streamed bar was taken back: they have no price. */
export function withoutRemoved(batch: BarBatch): BarBatch {
  if (!batch.open.some(Number.isNaN)) return batch
  const kept = Array.from({ length: batch.length }, (_, i) => i).filter((i) => !Number.isNaN(batch.open[i]))
  return pickBars(batch, kept)
}
