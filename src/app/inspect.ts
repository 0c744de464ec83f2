import type { GapRun } from '../coverage/classify.ts'
import { openClasses } from '../coverage/gap-class.ts'
import { absenceSettled, askedTimes } from '../coverage/reask.ts'
import { EverybarError, isEverybarError } from '../model/errors.ts'
import { hull } from '../model/range-set.ts'
import { parseSeries, type Series, seriesId } from '../model/series.ts'
import { iso, type TimeRange, timeRange } from '../model/time.ts'
import { knownEdge } from '../pipeline/edges.ts'
import { type Freshness, freshnessOf } from '../pipeline/freshness.ts'
import { gapsOf } from '../pipeline/gaps.ts'
import { type DatedRevision, revisionsOf } from '../pipeline/history.ts'
import { jobOf, type SeriesJob } from '../pipeline/house.ts'
import { dueEnd } from '../pipeline/plan-series.ts'
import { endsFor, type Gap, type Selection, type SeriesStatus } from './api.ts'
import type { OpenHouse } from './house.ts'
import { coverageOf, gapReport, missingByClass } from './report.ts'
import { venueFile } from './venues.ts'

/**
 * The jobs a reading command speaks of: the series named, or every one the ledger knows.
 *
 * @throws EverybarError `source.venue-lost` (abort) where the ledger knows series of a venue, and what was kept of the venue
 *   is gone or damaged; `series.never-asked` (abort) for a series of a venue that nobody has asked for anything yet; else
 *   what `jobOf` throws.
 */
export async function jobsOf(house: OpenHouse, series: readonly Series[]): Promise<SeriesJob[]> {
  const known = async () => (await house.ledger.series()).map(({ seriesId: id }) => parseSeries(id))
  const wanted = series.length > 0 ? series.map((one) => house.venues.canonical(one)) : await known()
  const jobs: SeriesJob[] = []
  for (const one of wanted) {
    try {
      jobs.push(jobOf(house, one))
    } catch (error) {
      if (house.venues.isNative(one) || !isEverybarError(error, 'source.unknown-venue')) throw error
      const { venue, market } = one.instrument
      const lost = (await known()).some((other) => isOf(other, venue, market))
      throw lost ? venueLost(venue, error) : neverAsked(one, error)
    }
  }
  return jobs
}

const isOf = ({ instrument }: Series, venue: string, market: string): boolean =>
  instrument.venue === venue && instrument.market === market

/** Of a venue that was never asked nothing is known, not even whether there is one. */
const neverAsked = (series: Series, cause?: unknown): EverybarError =>
  new EverybarError('series.never-asked', `${seriesId(series)} was never asked for`, {
    recovery: 'abort',
    hint: 'Run "everybar sync" for it first.',
    cause,
  })

function venueLost(venue: string, cause: unknown): EverybarError {
  const path = venueFile(venue)
  return new EverybarError('source.venue-lost', `what was kept of ${venue} is gone or damaged: ${path}`, {
    recovery: 'abort',
    hint: 'Run "everybar sync" for one of its series, or "everybar repair": they ask the venue again.',
    path,
    cause,
  })
}

/** What a command says that was to judge a root in which there is nothing to judge: "no gap" would be no lie, and no truth. */
export const nothingKept = (root: string): EverybarError =>
  new EverybarError('series.none', `nothing was ever asked for in ${root}`, {
    recovery: 'abort',
    hint: 'Run "everybar sync" first, or name another folder with --root.',
    path: root,
  })

/**
 * The range a reading command speaks of: what is named, else what was asked for so far. Nothing is asked of the venue:
 * `listing` is the first bar the ledger knows, `now` this machine's.
 *
 * @throws EverybarError `series.never-asked` (abort) when neither is there.
 */
export async function offlineRange(
  house: OpenHouse,
  job: SeriesJob,
  selection: Partial<Selection>,
): Promise<TimeRange> {
  const { from, to } = endsFor(selection, job.id)
  const wanted = hull(await house.ledger.wanted(job.ref))
  const nowMs = house.clock.nowMs()
  const firstMs = (await knownEdge(house, job, 'first-bar'))?.openTimeMs ?? undefined
  const at = (when: typeof from) =>
    when?.kind === 'at' ? when.ms : when?.kind === 'ago' ? nowMs - when.ms : when ? firstMs : undefined
  const startMs = at(from) ?? wanted?.startMs
  const endMs = at(to) ?? wanted?.endMs
  if (startMs === undefined || endMs === undefined) {
    throw new EverybarError('series.never-asked', `${job.id} was never asked for`, {
      recovery: 'abort',
      hint: 'Run "everybar sync" for it first, or name a range with --from and --to.',
    })
  }
  return timeRange(startMs, endMs)
}

/** What is missing by now: bars that have not closed by this machine's clock are not due. */
export function offlineGaps(house: OpenHouse, job: SeriesJob, range: TimeRange): Promise<GapRun[]> {
  return gapsOf(house, job, range, dueEnd(job, { range, venueNowMs: house.clock.nowMs() }))
}

/** A gap with all there is to show for it. */
export interface ExplainedGap extends Gap {
  /** The archived answers that speak of it, relative to the root. */
  readonly answers: readonly string[]
  /** The venue's clock each time it was asked for, ascending, ISO 8601. */
  readonly askedAt: readonly string[]
  readonly settled: boolean
}

/** The same gaps, each with its archived answers and when they were given. */
export async function explainGaps(house: OpenHouse, selection: Partial<Selection>): Promise<ExplainedGap[]> {
  const all: ExplainedGap[] = []
  for (const gap of await listGaps(house, selection)) {
    const job = jobOf(house, parseSeries(gap.series))
    const answers: string[] = []
    const asked = new Set<number>()
    for await (const record of house.ledger.slices(job.ref, gap.range)) {
      if (record.sha256 === null) continue
      answers.push(house.archive.pathOf(job.folder, record.sliceId))
      for (const ms of askedTimes(record.findings) ??
        (record.venueTimeMs === null ? [] : [record.venueTimeMs]))
        asked.add(ms)
    }
    const times = [...asked].sort((a, b) => a - b)
    const settled = !openClasses.has(gap.class) && (gap.class !== 'source_absent' || absenceSettled(times))
    all.push({ ...gap, answers, askedAt: times.map(iso), settled })
  }
  return all
}

export async function listGaps(house: OpenHouse, selection: Partial<Selection>): Promise<Gap[]> {
  const all: Gap[] = []
  const jobs = await jobsOf(house, selection.series ?? [])
  if (jobs.length === 0) throw nothingKept(house.root)
  for (const job of jobs) {
    const range = await offlineRange(house, job, selection)
    for (const gap of await offlineGaps(house, job, range)) all.push(gapReport(job.id, gap))
  }
  return all
}

export async function listRevisions(
  house: OpenHouse,
  selection: Partial<Selection>,
): Promise<DatedRevision[]> {
  const all: DatedRevision[] = []
  for (const job of await jobsOf(house, selection.series ?? [])) {
    const range = await offlineRange(house, job, selection)
    for await (const revision of revisionsOf(house, job, range)) all.push(revision)
  }
  return all
}

export async function statusOf(
  house: OpenHouse,
  job: SeriesJob,
  selection: Partial<Selection>,
): Promise<SeriesStatus> {
  const wanted = await house.ledger.wanted(job.ref)
  const extent = await house.lake.extent(job.series)
  const known = wanted.length > 0 || selection.from !== undefined
  const range = known ? await offlineRange(house, job, selection) : undefined
  const gaps = range ? await offlineGaps(house, job, range) : []
  const behind: Record<string, number> = {}
  for (const store of house.stores) {
    behind[store.name] = 0
    for await (const _ of house.ledger.unstored(job.ref, store.name)) behind[store.name]!++
  }
  const anchorMs = (await knownEdge(house, job, 'first-bar'))?.openTimeMs ?? undefined
  const open = gaps.some((gap) => openClasses.has(gap.class))
  const fresh = await freshness(house, job, selection)
  return {
    series: job.id,
    endpoint: job.ref.endpoint,
    firstMs: extent?.firstMs ?? null,
    lastMs: extent?.lastMs ?? null,
    bars: extent?.rows ?? 0,
    wanted,
    slices: await house.ledger.counts(job.ref),
    missing: missingByClass(gaps),
    coverage: range ? coverageOf(job, range, gaps, anchorMs) : 0,
    complete: range !== undefined && !open && Object.values(behind).every((count) => count === 0),
    behind,
    dueMs: fresh?.dueMs ?? null,
    lagMs: fresh?.lagMs ?? null,
    overdueMs: fresh?.overdueMs ?? null,
  }
}

/** What there is of a series whose venue nobody has asked for anything yet. */
const statusOfNone = (series: Series): SeriesStatus => ({
  series: seriesId(series),
  endpoint: series.instrument.venue,
  firstMs: null,
  lastMs: null,
  bars: 0,
  wanted: [],
  slices: {},
  missing: {},
  coverage: 0,
  complete: false,
  behind: {},
  dueMs: null,
  lagMs: null,
  overdueMs: null,
})

/** What there is of each of these series, in their order. */
export async function statusOfAll(
  house: OpenHouse,
  selection: Partial<Selection>,
): Promise<readonly SeriesStatus[]> {
  const named = selection.series ?? []
  const some = (jobs: readonly SeriesJob[]) => jobs.map((job) => () => statusOf(house, job, selection))
  const each = async (one: Series) => {
    try {
      return some(await jobsOf(house, [one]))
    } catch (error) {
      if (!isEverybarError(error, 'series.never-asked')) throw error
      return [async () => statusOfNone(one)]
    }
  }
  const rows = named.length > 0 ? (await Promise.all(named.map(each))).flat() : some(await jobsOf(house, []))
  const all: SeriesStatus[] = []
  for (const row of rows) all.push(await row())
  return all
}

/** How fresh a series is by this machine's clock; one whose end is named is fresh when it reaches that. */
export function freshness(
  house: OpenHouse,
  job: SeriesJob,
  selection: Partial<Selection>,
): Promise<Freshness | undefined> {
  const nowMs = house.clock.nowMs()
  const { to } = endsFor(selection, job.id)
  const untilMs = to?.kind === 'at' ? to.ms : to?.kind === 'ago' ? nowMs - to.ms : undefined
  return freshnessOf(house, job, { nowMs, untilMs })
}
