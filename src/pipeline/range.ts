import { finalEnd } from '../coverage/expected.ts'
import { EverybarError } from '../model/errors.ts'
import { hull } from '../model/range-set.ts'
import type { Series } from '../model/series.ts'
import { type EpochMs, iso, type TimeRange, timeRange } from '../model/time.ts'
import type { When } from '../model/when.ts'
import { firstBar, knownEdge } from './edges.ts'
import { gridOf, type House, type SeriesJob } from './house.ts'
import type { Recheck } from './plan-series.ts'
import type { VenueClock, Venues } from './venue-clock.ts'

/** A series and the part of it that is wished for. */
export interface Wish {
  readonly series: Series
  /** Absent: where earlier wishes began, else the venue's first bar. */
  readonly from?: When
  /** Absent: the last bar that is final by the venue's clock. */
  readonly to?: When
  /** Answered slices to ask about again. */
  readonly recheck?: Recheck
}

export interface ResolvedRange {
  readonly range: TimeRange
  /** Read only when the wish needs it. */
  readonly clock?: VenueClock
}

/**
 * A wish in absolute times. Asks the venue for its clock or first bar only where the wish speaks of them.
 *
 * @throws EverybarError `sync.nothing-yet` (abort) when no bar of the range is final yet, `time.bad-range` (abort).
 */
export async function resolveRange(
  house: House,
  venues: Pick<Venues, 'clockOf'>,
  job: SeriesJob,
  { from, to }: Wish,
  signal?: AbortSignal,
): Promise<ResolvedRange> {
  const absolute = to?.kind === 'at' && from?.kind === 'at'
  if (absolute) return { range: timeRange(from.ms, to.ms) }
  const earlier = from === undefined ? hull(await house.ledger.wanted(job.ref))?.startMs : undefined
  const needsClock = to?.kind !== 'at' || from?.kind === 'ago'
  const clock = needsClock ? await venues.clockOf(job, signal) : undefined
  const startMs = earlier ?? (await startOf(house, job, from, clock, signal))
  const anchorMs = (await knownEdge(house, job, 'first-bar'))?.openTimeMs ?? undefined
  const endMs = to?.kind === 'at' ? to.ms : endOf(job, to, clock!, anchorMs)
  if (endMs <= startMs && to === undefined) throw nothingYet(job, startMs)
  return { range: timeRange(startMs, endMs), ...(clock && { clock }) }
}

async function startOf(
  house: House,
  job: SeriesJob,
  from: When | undefined,
  clock: VenueClock | undefined,
  signal: AbortSignal | undefined,
): Promise<EpochMs> {
  if (from?.kind === 'at') return from.ms
  if (from?.kind === 'ago') return Math.max(0, clock!.nowMs() - from.ms)
  return (await firstBar(house, job, signal)) ?? 0
}

function endOf(
  job: SeriesJob,
  to: When | undefined,
  clock: VenueClock,
  anchorMs: EpochMs | undefined,
): EpochMs {
  const final = finalEnd(gridOf(job, anchorMs), clock.nowMs(), job.source.spec.settleMs)
  return to?.kind === 'ago' ? Math.min(final, Math.max(0, clock.nowMs() - to.ms)) : final
}

const nothingYet = (job: SeriesJob, startMs: EpochMs): EverybarError =>
  new EverybarError('sync.nothing-yet', `${job.id}: no bar after ${iso(startMs)} is final yet`, {
    recovery: 'retry',
    hint: 'Wait for the bar to close, or ask for an earlier start.',
  })
