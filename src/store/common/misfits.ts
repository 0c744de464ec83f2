import { type BarBatch, emptyBatch, type NativeField, type PriceField, pickBars } from '../../model/bar.ts'
import type { SetAsideBar } from '../store.ts'

export interface WholeColumn {
  readonly name: string
  readonly field: PriceField | NativeField
  /** NaN, which stands for unknown, is not allowed. */
  readonly required: boolean
}

/** The column of `field`; `undefined` for a native one the batch lacks. */
export const columnOf = (batch: BarBatch, field: PriceField | NativeField): Float64Array | undefined =>
  isPrice(field) ? batch[field] : batch.native[field]

const isPrice = (field: PriceField | NativeField): field is PriceField =>
  field === 'open' || field === 'high' || field === 'low' || field === 'close' || field === 'volume'

/** Splits off the bars that hold a fraction, or more than 2^53, where a database keeps whole numbers only. */
export function withoutMisfits(
  batch: BarBatch,
  wholeColumns: readonly WholeColumn[],
): { readonly batch: BarBatch; readonly setAside: readonly SetAsideBar[] } {
  const reasons = new Map<number, string>()
  for (const { name, field, required } of wholeColumns) {
    columnOf(batch, field)?.forEach((value, i) => {
      const unknown = Number.isNaN(value) && !required
      if (!unknown && !Number.isSafeInteger(value)) {
        reasons.set(i, `${name} ${value} is not a whole number the column can hold`)
      }
    })
  }
  if (reasons.size === 0) return { batch, setAside: [] }
  const kept = Array.from({ length: batch.length }, (_, i) => i).filter((i) => !reasons.has(i))
  return {
    batch: kept.length === 0 ? emptyBatch : pickBars(batch, kept),
    setAside: [...reasons].map(([i, reason]) => ({ openTimeMs: batch.openTimeMs[i]!, reason })),
  }
}
