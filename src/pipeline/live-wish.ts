import { finalEnd } from '../coverage/expected.ts'
import { hull } from '../model/range-set.ts'
import { sliceRangeAt } from '../model/slice.ts'
import type { EpochMs } from '../model/time.ts'
import { shiftBars } from '../model/timeframe.ts'
import type { When } from '../model/when.ts'
import { knownEdge } from './edges.ts'
import { gridOf, type House, type SeriesJob } from './house.ts'
import type { Wish } from './range.ts'
import type { VenueClock } from './venue-clock.ts'

type Known = Pick<House, 'ledger'>

/**
 * What a series that is followed is brought level with at first. Without a start that was named, and without an earlier
 * one in the ledger, it is followed from its last closed bar on. There is no end.
 */
export async function firstWish(house: Known, wish: Wish, job: SeriesJob, clock: VenueClock): Promise<Wish> {
  const { to: _, ...open } = wish
  if (open.from || hull(await house.ledger.wanted(job.ref))) return open
  const anchorMs = (await knownEdge(house, job, 'first-bar'))?.openTimeMs ?? undefined
  const dueMs = finalEnd(gridOf(job, anchorMs), clock.nowMs(), job.source.spec.settleMs)
  return { ...open, from: { kind: 'at', ms: Math.max(0, shiftBars(job.series.timeframe, dueMs, -1)) } }
}

/** Where the ordinary way goes on with a series that was level up to `doneMs`: at the slice before the one that is open. */
export async function resumeFrom(house: Known, job: SeriesJob, doneMs: EpochMs): Promise<When> {
  const current = sliceRangeAt(job.slices, doneMs)
  const before = sliceRangeAt(job.slices, Math.max(0, current.startMs - 1))
  return { kind: 'at', ms: Math.max(await startOf(house, job), before.startMs) }
}

/** Where the earliest wish for a series begins. */
export async function startOf({ ledger }: Known, job: SeriesJob): Promise<EpochMs> {
  return hull(await ledger.wanted(job.ref))?.startMs ?? 0
}
