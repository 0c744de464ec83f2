import { weightOf } from '../chunking/definitions.ts'
import { finalEnd } from '../coverage/expected.ts'
import { computeExpectedSlices } from '../coverage/slices.ts'
import type { SliceRecord } from '../ledger/ledger.ts'
import { intersect, type RangeSet, subtract, toRangeSet, union } from '../model/range-set.ts'
import { type Slice, sliceRanges } from '../model/slice.ts'
import type { EpochMs, TimeRange } from '../model/time.ts'
import { gridOf, type House, type SeriesJob } from './house.ts'

/** What a series still needs, worked out from the ledger alone. */
export interface SeriesTodo {
  /** Where bars are wanted, due and not covered. */
  readonly missing: RangeSet
  /** Slices to ask for, ascending; made one at a time, so that a million of them take no memory. */
  readonly slices: () => Iterable<Slice>
  readonly count: number
  readonly weight: number
}

export interface PlanInput {
  readonly range: TimeRange
  /** Open time of the venue's first bar, where known: nothing before it is asked. */
  readonly firstMs?: EpochMs | undefined
  /** The venue's clock, where it was read; else everything in `range` counts as due. */
  readonly venueNowMs?: EpochMs | undefined
}

/** wanted − archived: what to fetch. */
export async function planSeries(
  house: Pick<House, 'ledger'>,
  job: SeriesJob,
  input: PlanInput,
): Promise<SeriesTodo> {
  const { range, firstMs } = input
  const wanted = intersect([range], toRangeSet([{ startMs: firstMs ?? 0, endMs: dueEnd(job, input) }]))
  const covered = await coveredRanges(house, job, input)
  const missing = subtract(wanted, covered)
  return { missing, slices: () => slicesOf(job, missing), ...costOf(job, missing) }
}

/** End of the last bar that can be asked for. */
export function dueEnd(job: SeriesJob, { range, firstMs, venueNowMs }: PlanInput): EpochMs {
  if (venueNowMs === undefined) return range.endMs
  return Math.min(range.endMs, finalEnd(gridOf(job, firstMs), venueNowMs, job.source.spec.settleMs))
}

/** Where no request is needed: slices answered after their window had closed, and what partial ones hold already. */
async function coveredRanges(
  { ledger }: Pick<House, 'ledger'>,
  job: SeriesJob,
  { range, firstMs, venueNowMs }: PlanInput,
): Promise<RangeSet> {
  let covered = await ledger.covered(job.ref, range)
  for await (const record of ledger.notable(job.ref, range)) {
    if (record.status !== 'partial') continue
    const startMs = record.range.startMs
    const endMs = Math.min(record.range.endMs, partialEnd(job, record, firstMs))
    if (startMs < endMs && !mayBeClosed(job, record, venueNowMs))
      covered = union(covered, [{ startMs, endMs }])
  }
  return covered
}

/** End of the bars a partial answer could hold: those final when it was given. */
const partialEnd = (job: SeriesJob, record: SliceRecord, firstMs: EpochMs | undefined): EpochMs =>
  finalEnd(gridOf(job, firstMs), record.venueTimeMs ?? 0, job.source.spec.settleMs)

/** A slice whose window has closed since is asked once more, whole: that shows restated bars too. */
const mayBeClosed = (job: SeriesJob, record: SliceRecord, venueNowMs: EpochMs | undefined): boolean =>
  venueNowMs !== undefined && venueNowMs >= record.range.endMs + job.source.spec.settleMs

/** The whole slices that together cover `missing`, ascending, each once. */
function* slicesOf({ series, ref, slices }: SeriesJob, missing: RangeSet): Generator<Slice> {
  let doneMs = 0
  for (const range of missing) {
    for (const one of computeExpectedSlices({ ...slices, series, range, endpoint: ref.endpoint })) {
      if (one.range.startMs < doneMs) continue
      doneMs = one.range.endMs
      yield one
    }
  }
}

/** Slices that cover `ranges`, and what asking for them weighs. */
export function costOf(job: SeriesJob, missing: RangeSet): { count: number; weight: number } {
  let count = 0
  let doneMs = 0
  for (const part of missing) {
    for (const range of sliceRanges(job.slices, part)) {
      if (range.startMs < doneMs) continue
      doneMs = range.endMs
      count++
    }
  }
  return { count, weight: count * weightOf(job.source.spec.weightPolicy, job.slices.limit) }
}
