import { type BarBatch, lowerBound, sliceBatch } from '../../model/bar.ts'
import { monthOf } from '../../model/time.ts'

/** The batch cut at the calendar months' ends; nothing for an empty one. */
export function* byMonth(batch: BarBatch): Generator<BarBatch> {
  for (let from = 0; from < batch.length; ) {
    const to = lowerBound(batch.openTimeMs, monthOf(batch.openTimeMs[from]!).endMs)
    yield sliceBatch(batch, from, to)
    from = to
  }
}
