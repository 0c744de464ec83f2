import { closedSlots } from '../coverage/calendar.ts'
import { finalAt, finalEnd } from '../coverage/expected.ts'
import { openClasses } from '../coverage/gap-class.ts'
import { hull, intersect, type RangeSet, subtract, toRangeSet, totalMs } from '../model/range-set.ts'
import { contains, DAY_MS, type EpochMs, type TimeRange } from '../model/time.ts'
import { nextOpen, shiftBars } from '../model/timeframe.ts'
import type { Store } from '../store/store.ts'
import { knownEdge } from './edges.ts'
import { gapsOf } from './gaps.ts'
import { gridOf, type House, type SeriesJob } from './house.ts'

/** How far the end of what there is of a series lies behind the end of what there should be. */
export interface Freshness {
  /** End of the last bar that should be there: final, in a session, and not past what is wanted. */
  readonly dueMs: EpochMs
  /** Everything due is there from some bar up to here; equal to `dueMs` when nothing is behind. */
  readonly coveredMs: EpochMs
  /** From `coveredMs` to `dueMs`, without the time in which the market was closed. 0 when nothing is behind. */
  readonly lagMs: number
  /** How long the first bar that is behind has been due; 0 when none is. */
  readonly overdueMs: number
}

export interface FreshnessInput {
  /** The venue's clock, or the best guess at it. */
  readonly nowMs: EpochMs
  /** Nothing that opens from here on is wanted. No end unless given. */
  readonly untilMs?: EpochMs | undefined
}

/** What is looked at first, counted in bars from the end; more only where all of it is missing. */
const LOOK_BARS = 2_000

/**
 * How fresh a series is, from the ledger alone. A bar is there when its slice was answered and every store has it, or when
 * its absence is settled; holes before the last bar that is there make no series less fresh. `undefined` for a series that
 * was never asked for, and before its first bar is due. Costs what a look at the latest slices costs.
 */
export async function freshnessOf(
  house: Pick<House, 'ledger' | 'sources' | 'stores'>,
  job: SeriesJob,
  { nowMs, untilMs = Number.POSITIVE_INFINITY }: FreshnessInput,
): Promise<Freshness | undefined> {
  const startMs = hull(await house.ledger.wanted(job.ref))?.startMs
  if (startMs === undefined) return undefined
  const { timeframe } = job.series
  const { settleMs } = job.source.spec
  const firstMs = (await knownEdge(house, job, 'first-bar'))?.openTimeMs ?? undefined
  const lastMs = (await knownEdge(house, job, 'last-bar'))?.openTimeMs ?? undefined
  const grid = gridOf(job, firstMs)
  const endMs = Math.min(
    finalEnd(grid, nowMs, settleMs),
    untilMs,
    lastMs === undefined ? untilMs : nextOpen(timeframe, lastMs),
  )
  const dueMs = lastOpenEnd(job, grid, { startMs, endMs })
  if (dueMs === undefined) return undefined
  for (let bars = LOOK_BARS; ; bars *= 8) {
    const fromMs = Math.max(startMs, shiftBars(timeframe, dueMs, -bars))
    const range = { startMs: fromMs, endMs: dueMs }
    const closed = grid.calendar ? closedSlots(grid.calendar, grid, range) : []
    const behind = await missingAtEnd(house, job, range, closed)
    if (behind === undefined) return { dueMs, coveredMs: dueMs, lagMs: 0, overdueMs: 0 }
    if (fromMs > startMs && behind.startMs <= nextOpen(timeframe, fromMs)) continue
    const [first] = subtract([behind], closed)
    const coveredMs = first!.startMs
    return {
      dueMs,
      coveredMs,
      lagMs: totalMs(subtract([behind], closed)),
      overdueMs: Math.max(0, nowMs - finalAt(grid, nextOpen(timeframe, coveredMs), settleMs)),
    }
  }
}

/** The run of bars up to the end of `range` that are not there, closed sessions between them included. */
async function missingAtEnd(
  house: Pick<House, 'ledger' | 'sources' | 'stores'>,
  job: SeriesJob,
  range: TimeRange,
  closed: RangeSet,
): Promise<TimeRange | undefined> {
  const missing: TimeRange[] = (await gapsOf(house, job, range, range.endMs))
    .filter((gap) => openClasses.has(gap.class))
    .map((gap) => gap.range)
  for (const store of house.stores) {
    let lastMs: EpochMs | null | undefined
    for await (const { range: slice } of house.ledger.unstored(job.ref, store.name, range)) {
      if (lastMs === undefined) lastMs = await lastStored(store, job)
      // A slice that was just answered again is in the store up to the answer before.
      const startMs =
        lastMs !== null && contains(slice, lastMs) ? nextOpen(job.series.timeframe, lastMs) : slice.startMs
      missing.push({ startMs, endMs: slice.endMs })
    }
  }
  const within = intersect([range], toRangeSet([...missing, ...closed]))
  const last = within.at(-1)
  if (last?.endMs !== range.endMs) return undefined
  return last
}

/** Open time of the last bar in a store; `null` for none, and for a store that cannot say. */
async function lastStored(store: Store, { series }: SeriesJob): Promise<EpochMs | null> {
  try {
    return (await store.extent(series))?.lastMs ?? null
  } catch {
    return null
  }
}

/** A market is not closed for longer than this. */
const CLOSED_MAX_MS = 30 * DAY_MS

/** End of the last slot of `range` in which the market is open. */
function lastOpenEnd(
  { series }: SeriesJob,
  grid: ReturnType<typeof gridOf>,
  { startMs, endMs }: TimeRange,
): EpochMs | undefined {
  if (endMs <= startMs) return undefined
  if (!grid.calendar) return endMs
  const near = Math.max(startMs, shiftBars(series.timeframe, endMs, -1) - CLOSED_MAX_MS)
  const slots = grid.calendar.openSlots(grid, { startMs: near, endMs })
  return slots.at(-1)?.endMs
}
