import type { GapRun } from '../coverage/classify.ts'
import { openClasses } from '../coverage/gap-class.ts'
import { type EverybarError, isEverybarError } from '../model/errors.ts'
import { type Series, seriesId } from '../model/series.ts'
import type { EpochMs, TimeRange } from '../model/time.ts'
import { adoptArchive, noteAdopted } from './adopt.ts'
import { forgetOtherCuts } from './cuts.ts'
import { firstBar, trustedFirst } from './edges.ts'
import { asError, type Fetched, type FindingCounts, fetchMissing } from './fetch-missing.ts'
import { gapsOf } from './gaps.ts'
import { type House, jobOf, type SeriesJob } from './house.ts'
import { restoreMonths } from './lost-months.ts'
import { dueEnd, planSeries, SOME_DAY_MS } from './plan-series.ts'
import { type ResolvedRange, resolveRange, type Wish } from './range.ts'
import { type Replayed, replay } from './replay.ts'
import { forgetPassedEnd } from './silence.ts'
import { inTurns } from './sync-in-turns.ts'
import type { VenueClock, Venues } from './venue-clock.ts'

/** What became of one series. */
export interface SeriesOutcome {
  readonly series: Series
  /** Absent when it failed before the range was known. */
  readonly range?: TimeRange
  readonly slices: {
    readonly planned: number
    readonly fetched: number
    readonly replayed: number
    readonly failed: number
    readonly quarantined: number
    readonly partial: number
  }
  readonly bars: { readonly inserted: number; readonly revised: number; readonly unchanged: number }
  readonly findings: FindingCounts
  readonly gaps: readonly GapRun[]
  /** Every expected bar of the range is in every store, or its absence is settled. */
  readonly complete: boolean
  readonly errors: readonly EverybarError[]
}

export interface Signals {
  /** Once aborted no further request is planned; what is under way is finished and recorded. */
  readonly stop: AbortSignal
  /** Once aborted what is under way is given up too; nothing is lost. */
  readonly hardStop: AbortSignal
  /** Once aborted somebody else waits for the series: what is left of it goes on in a turn of its own. */
  readonly asked?: AbortSignal
}

/**
 * Makes one series complete over the range wished for: takes in what a crash left, settles what stores lack, fetches
 * what was never answered, and says what is missing and why. What happens to one series is in its outcome and never
 * thrown, so that the others go on; only the ledger's own failures end the run.
 */
export async function syncSeries(
  house: House,
  venues: Pick<Venues, 'clockOf'>,
  wish: Wish,
  signals: Signals,
): Promise<SeriesOutcome> {
  const startedMs = house.clock.monotonicMs()
  const outcome = await inTurns(house, wish.series, signals, (own) => trySeries(house, venues, wish, own))
  house.onEvent({
    event: outcome.complete ? 'history_complete' : 'history_incomplete',
    series: seriesId(wish.series),
    rows: outcome.bars.inserted,
    pages: outcome.slices.fetched,
    duration_ms: Math.round(house.clock.monotonicMs() - startedMs),
    ...(outcome.errors[0] && { code: outcome.errors[0].code }),
  })
  return outcome
}

async function trySeries(
  house: House,
  venues: Pick<Venues, 'clockOf'>,
  wish: Wish,
  signals: Signals,
): Promise<SeriesOutcome> {
  let range: TimeRange | undefined
  try {
    const job = jobOf(house, wish.series)
    await adoptArchive(house, job)
    const resolved = await resolveRange(house, venues, job, wish, signals.stop)
    range = resolved.range
    await house.ledger.want(job.ref, range)
    const { lakeFiles } = house
    const unrestored = lakeFiles ? await restoreMonths(house, job, range, lakeFiles, signals.stop) : []
    const replayed = await replayStores(house, job, range, signals)
    const { fetched, planned, clock } = await fetchSeries(house, venues, job, resolved, wish, signals)
    if (fetched && fetched.fetched > 0) await forgetPassedEnd(house, job, range)
    await noteAdopted(house, job)
    const gaps = await gapsNow(house, job, range, clock)
    const errors = [
      ...unrestored,
      ...replayed.errors,
      ...(fetched?.errors ?? []),
      ...(fetched?.failures ?? []),
    ]
    return outcomeOf(wish.series, range, { replayed, fetched, planned, gaps, errors })
  } catch (error) {
    const failure = asError(error)
    if (failure.code.startsWith('ledger.')) throw error
    if (signals.stop.aborted && !isEverybarError(error)) return outcomeOf(wish.series, range, { errors: [] })
    return outcomeOf(wish.series, range, { errors: [failure] })
  }
}

async function replayStores(
  house: House,
  job: SeriesJob,
  range: TimeRange,
  { stop: signal, asked }: Signals,
): Promise<Replayed> {
  const all: Replayed[] = []
  const options = { range, signal, ...(asked && { asked }) }
  for (const store of house.stores) all.push(await replay(house, job, store, options))
  const slices = all.reduce((sum, one) => sum + one.slices, 0)
  return { ...all[0]!, slices, errors: all.flatMap(({ errors }) => errors) }
}

/** wanted − archived. Reads the venue's clock and first bar only when the ledger cannot say that nothing is missing. */
async function fetchSeries(
  house: House,
  venues: Pick<Venues, 'clockOf'>,
  job: SeriesJob,
  { range, clock: known }: ResolvedRange,
  { recheck }: Wish,
  signals: Signals,
): Promise<{ fetched?: Fetched; planned: number; clock: VenueClock | undefined }> {
  const { stop } = signals
  const firstMs = await trustedFirst(house, job)
  const plan = (atMs: EpochMs, from = firstMs) =>
    planSeries(house, job, { range, firstMs: from, venueNowMs: atMs, recheck })
  if (!known && (await plan(SOME_DAY_MS)).count === 0) return { planned: 0, clock: undefined }
  const clock = known ?? (await venues.clockOf(job, stop))
  if ((await plan(clock.nowMs())).count === 0) return { planned: 0, clock }
  const anchorMs = await firstBar(house, job, stop)
  const todo = await plan(clock.nowMs(), anchorMs)
  await forgetOtherCuts(house, job, todo.missing)
  const fetched = await fetchMissing(house, job, todo, { clock, anchorMs, ...signals })
  return { fetched, planned: todo.count, clock }
}

/** What is missing now. Without the venue's clock, ours says which bars are due: they are not complete either way. */
function gapsNow(
  house: House,
  job: SeriesJob,
  range: TimeRange,
  clock: VenueClock | undefined,
): Promise<GapRun[]> {
  const venueNowMs = clock?.nowMs() ?? house.clock.nowMs()
  return gapsOf(house, job, range, dueEnd(job, { range, venueNowMs }))
}

/** The outcome of a series that could not be begun, or was left alone because of what happened to another. */
export const notTried = (series: Series, why: EverybarError | undefined): SeriesOutcome =>
  outcomeOf(series, undefined, { errors: why ? [why] : [] })

interface Parts {
  readonly replayed?: Replayed
  readonly fetched?: Fetched | undefined
  readonly planned?: number
  /** Absent when the run of this series broke off before it could tell. */
  readonly gaps?: readonly GapRun[]
  readonly errors: readonly EverybarError[]
}

function outcomeOf(series: Series, range: TimeRange | undefined, parts: Parts): SeriesOutcome {
  const { replayed, fetched, planned = 0, gaps, errors } = parts
  const sum = (key: 'inserted' | 'revised' | 'unchanged') => (replayed?.[key] ?? 0) + (fetched?.[key] ?? 0)
  return {
    series,
    ...(range && { range }),
    slices: {
      planned,
      fetched: fetched?.fetched ?? 0,
      replayed: replayed?.slices ?? 0,
      failed: fetched?.failed ?? 0,
      quarantined: fetched?.quarantined ?? 0,
      partial: fetched?.partial ?? 0,
    },
    bars: { inserted: sum('inserted'), revised: sum('revised'), unchanged: sum('unchanged') },
    findings: fetched?.findings ?? {},
    gaps: gaps ?? [],
    complete: gaps !== undefined && errors.length === 0 && !gaps.some((gap) => openClasses.has(gap.class)),
    errors,
  }
}
