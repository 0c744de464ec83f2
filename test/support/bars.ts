import { allocateBatch, type BarBatch, type NativeField } from '../../src/model/bar.ts'
import { MINUTE_MS } from '../../src/model/time.ts'

export const startMs = Date.UTC(2024, 0, 31, 23, 50)

/** Minute bars with made-up values that differ from bar to bar; `shift` gives another set of values. */
export function minutes(
  count: number,
  {
    fromMs = startMs,
    shift = 0,
    native = [],
  }: { fromMs?: number; shift?: number; native?: NativeField[] } = {},
): BarBatch {
  const batch = allocateBatch(count, native)
  for (let i = 0; i < count; i++) {
    const price = 100 + (i % 977) / 8 + shift
    batch.openTimeMs[i] = fromMs + i * MINUTE_MS
    batch.open[i] = price
    batch.high[i] = price + 1
    batch.low[i] = price - 1
    batch.close[i] = price + 0.1
    batch.volume[i] = i % 13
    for (const field of native)
      batch.native[field]![i] = field === 'closeTimeMs' ? fromMs + i * MINUTE_MS + 59_999 : i
  }
  return batch
}
