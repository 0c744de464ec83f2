import { weightOf } from '../chunking/definitions.ts'
import { expectedBars, finalEnd } from '../coverage/expected.ts'
import { askedTimes, reaskDue } from '../coverage/reask.ts'
import type { SliceRecord } from '../ledger/ledger.ts'
import { intersect, type RangeSet, subtract, toRangeSet, union } from '../model/range-set.ts'
import { type Slice, slice, sliceId } from '../model/slice.ts'
import { type EpochMs, HOUR_MS, type TimeRange } from '../model/time.ts'
import { floorToBar, shiftBars } from '../model/timeframe.ts'
import { type Cut, cutsOf, otherCuts } from './cuts.ts'
import { gridOf, type House, type SeriesJob } from './house.ts'

/** What a series still needs, worked out from the ledger alone. */
export interface SeriesTodo {
  /** Where bars are wanted, due and not covered. */
  readonly missing: RangeSet
  /** The part of it where slices were answered before. */
  readonly again: RangeSet
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
  /** Answered slices to ask about again, whatever the ledger says of them. */
  readonly recheck?: Recheck | undefined
}

/** An audit against the venue: every slice of a range, or a share (0 to 1) of all, drawn by `seed`. */
export type Recheck =
  | { readonly kind: 'range'; readonly range: TimeRange }
  | { readonly kind: 'share'; readonly share: number; readonly seed: string }

/** Later than any venue's clock: what may still change some day counts as due. */
export const SOME_DAY_MS: EpochMs = 8e15

/** Final bars that an incremental run reads once more: venues restate the latest ones. */
const OVERLAP_BARS = 2
/** Only bars that were read this soon after they closed: older ones had settled when they were read. */
const OVERLAP_MS = HOUR_MS

/** wanted − archived: what to fetch, and what to ask once more. */
export async function planSeries(
  house: Pick<House, 'ledger'>,
  job: SeriesJob,
  input: PlanInput,
): Promise<SeriesTodo> {
  const { range, firstMs } = input
  const startMs = Math.max(firstMs ?? 0, reachStart(job, input.venueNowMs))
  const wanted = intersect([range], toRangeSet([{ startMs, endMs: dueEnd(job, input) }]))
  const { covered, again, answered } = await coveredRanges(house, job, input)
  // What lies in closed sessions only is not asked for; a bar that opened there all the same comes with the next one.
  const grid = gridOf(job, firstMs)
  const missing = subtract(wanted, covered).filter((part) => !grid.calendar || expectedBars(grid, part) > 0)
  const overlap = await freshlyRead(house, job, missing)
  const audited = await slicesToAudit(house, job, input)
  const asked = union(missing, intersect(wanted, toRangeSet([...again, ...overlap, ...audited])))
  const known = intersect(asked, toRangeSet([...again, ...overlap, ...audited, ...answered]))
  const kept = await otherCuts(house, job, asked)
  return {
    missing: asked,
    again: known,
    slices: () => slicesOf(job, asked, kept),
    ...costOf(job, asked, kept),
  }
}

/** Open time of the first bar an endpoint still gives that keeps its latest ones only: nothing before it is asked. */
export function reachStart(job: SeriesJob, venueNowMs: EpochMs | undefined): EpochMs {
  const { reach } = job.source.spec
  if (!reach || venueNowMs === undefined || venueNowMs >= SOME_DAY_MS) return 0
  const { timeframe } = job.series
  // The latest of them is the bar that is still forming.
  return shiftBars(timeframe, floorToBar(timeframe, venueNowMs), 1 - reach.bars)
}

/** End of the last bar that can be asked for. */
export function dueEnd(job: SeriesJob, { range, firstMs, venueNowMs }: PlanInput): EpochMs {
  if (venueNowMs === undefined) return range.endMs
  return Math.min(range.endMs, finalEnd(gridOf(job, firstMs), venueNowMs, job.source.spec.settleMs))
}

/**
 * Where no request is needed: slices answered after their window had closed, and what partial ones hold already. Beside
 * it the answered slices whose absent bars are due to be asked about again.
 */
async function coveredRanges(
  { ledger }: Pick<House, 'ledger'>,
  job: SeriesJob,
  { range, firstMs, venueNowMs }: PlanInput,
): Promise<{ covered: RangeSet; again: TimeRange[]; answered: TimeRange[] }> {
  const partial: TimeRange[] = []
  const again: TimeRange[] = []
  /** With an answer, and yet not covered. */
  const answered: TimeRange[] = []
  // Where bars without a trade are left out, an absent bar is no surprise.
  const reasks = job.source.spec.quietBars === 'emitted'
  for await (const record of ledger.notable(job.ref, range)) {
    if (record.sha256 !== null && record.status !== 'ok' && record.status !== 'empty')
      answered.push(record.range)
    if (record.status === 'partial') {
      const startMs = record.range.startMs
      const endMs = Math.min(record.range.endMs, partialEnd(job, record, firstMs))
      if (startMs < endMs && !mayBeClosed(job, record, venueNowMs)) partial.push({ startMs, endMs })
    } else if (reasks && (record.status === 'ok' || record.status === 'empty')) {
      const asked = askedTimes(record.findings)
      if (asked && venueNowMs !== undefined && reaskDue(asked, venueNowMs)) again.push(record.range)
    }
  }
  return { covered: union(await ledger.covered(job.ref, range), toRangeSet(partial)), again, answered }
}

/** Slices that end where something is missing and were read while their last bars were fresh. */
async function freshlyRead(
  { ledger }: Pick<House, 'ledger'>,
  job: SeriesJob,
  missing: RangeSet,
): Promise<TimeRange[]> {
  const fresh: TimeRange[] = []
  for (const { startMs } of missing) {
    const fromMs = Math.max(0, shiftBars(job.series.timeframe, startMs, -OVERLAP_BARS))
    if (fromMs >= startMs) continue
    for await (const { range, status, venueTimeMs } of ledger.slices(job.ref, {
      startMs: fromMs,
      endMs: startMs,
    })) {
      if (range.endMs !== startMs || status !== 'ok' || venueTimeMs === null) continue
      if (venueTimeMs - startMs < OVERLAP_MS) fresh.push(range)
    }
  }
  return fresh
}

async function slicesToAudit(
  { ledger }: Pick<House, 'ledger'>,
  job: SeriesJob,
  { range, recheck }: PlanInput,
): Promise<TimeRange[]> {
  if (!recheck) return []
  const audited: TimeRange[] = []
  for await (const record of ledger.slices(job.ref, recheck.kind === 'range' ? recheck.range : range)) {
    if (record.sha256 === null) continue
    if (recheck.kind === 'range' || draw(recheck.seed, record.key) < recheck.share) audited.push(record.range)
  }
  return audited
}

/** A number from 0 to 1 that a seed and a key always give, and that says nothing about either. */
const draw = (seed: string, key: string): number =>
  Number.parseInt(sliceId(`${seed} ${key}`).slice(0, 8), 16) / 2 ** 32

/** End of the bars a partial answer could hold: those final when it was given. */
const partialEnd = (job: SeriesJob, record: SliceRecord, firstMs: EpochMs | undefined): EpochMs =>
  finalEnd(gridOf(job, firstMs), record.venueTimeMs ?? 0, job.source.spec.settleMs)

/** A slice whose window has closed since is asked once more, whole: that shows restated bars too. */
const mayBeClosed = (job: SeriesJob, record: SliceRecord, venueNowMs: EpochMs | undefined): boolean =>
  venueNowMs !== undefined && venueNowMs >= record.range.endMs + job.source.spec.settleMs

function* slicesOf(
  { series, ref, slices }: SeriesJob,
  missing: RangeSet,
  kept: readonly Cut[],
): Generator<Slice> {
  for (const { range, limit } of cutsOf(slices, missing, kept))
    yield slice(series, ref.endpoint, range, limit)
}

/** Slices that cover `missing`, and what asking for them weighs. */
export function costOf(
  { slices, source }: SeriesJob,
  missing: RangeSet,
  kept: readonly Cut[] = [],
): { count: number; weight: number } {
  let count = 0
  let weight = 0
  for (const { limit } of cutsOf(slices, missing, kept)) {
    count++
    weight += weightOf(source.spec.weightPolicy, limit)
  }
  return { count, weight }
}
