import { ChunkExecutor } from '../chunking/executor.ts'
import type { FetchPage } from '../chunking/page.ts'
import type { ChunkRequest, ChunkRun } from '../chunking/plan.ts'
import { ChunkPlanner } from '../chunking/planner.ts'
import type { ChunkResult } from '../chunking/result.ts'
import type { ChunkMetrics } from '../chunking/telemetry.ts'
import { finalEnd, missingRuns } from '../coverage/expected.ts'
import { type Bar, barsOf } from '../model/bar.ts'
import { EverybarError } from '../model/errors.ts'
import type { Finding } from '../model/finding.ts'
import type { Series } from '../model/series.ts'
import type { EpochMs, TimeRange } from '../model/time.ts'
import { anchorOf, countOpens } from '../model/timeframe.ts'
import { validate } from '../validate/validate.ts'
import { gridOf, type House, jobOf, type SeriesJob } from './house.ts'
import { Venues } from './venue-clock.ts'

/** Which bars: those that open in `range`, the last `limit` of all, or the first `limit` of `range`. */
export interface BarRequest {
  readonly series: Series
  readonly range?: TimeRange
  /** Bars' worth of time; a venue that leaves quiet bars out has fewer. */
  readonly limit?: number
}

/** Final bars, ascending, each once, and what the requests for them came to. */
export interface BarResult extends ChunkResult<Bar> {
  /**
   * What was odd in the answers, page by page: rows that cannot be are here and not in `data`. Then, as `missing`, the runs
   * of bars that did not come.
   */
  readonly findings: readonly Finding[]
}

/** The rooms it takes, and how to use them. */
export interface BarFetching
  extends Pick<House, 'sources' | 'fetcher' | 'clock' | 'onEvent' | 'concurrency'> {
  readonly metrics?: ChunkMetrics
  readonly signal?: AbortSignal
}

/**
 * Bars of any endpoint in memory, from its metadata alone; nothing is kept. Only bars that are final by the venue's
 * clock count: a range that reaches past them is cut there, and `clamped.clampedTo` says where.
 *
 * @throws EverybarError `series.no-range` (abort) for neither range nor limit, and what the planner, the fetcher and the
 *   source throw; the abort reason.
 */
export async function fetchBarsWith(rooms: BarFetching, request: BarRequest): Promise<BarResult> {
  const { series, range, limit } = request
  const job = jobOf(rooms, series)
  if (range === undefined && limit === undefined) throw noRange(job)
  if (limit === 0) return { ...(await run(rooms, job, { limit: 0 }, 0)), findings: [] }
  const venue = await new Venues(rooms).clockOf(job, rooms.signal)
  const anchorMs = await anchorFor(rooms, job)
  const final = finalEnd(gridOf(job, anchorMs), venue.nowMs(), job.source.spec.settleMs)
  const asked = {
    ...endsWithin(range, final),
    ...(limit !== undefined && { limit }),
    ...(anchorMs !== undefined && { anchorMs }),
  }
  const result = await run(rooms, job, asked, venue.nowMs())
  const cut = range !== undefined && final < range.endMs
  return cut ? { ...result, clamped: { ...result.clamped, clampedTo: final } } : result
}

/** A range up to the last final bar; one that lies past it keeps its start and becomes empty. */
function endsWithin(range: TimeRange | undefined, final: EpochMs): Pick<ChunkRequest, 'startMs' | 'endMs'> {
  if (!range) return { endMs: final }
  const { startMs, endMs } = range
  return { startMs, endMs: startMs > endMs ? endMs : Math.max(startMs, Math.min(endMs, final)) }
}

async function run(
  rooms: BarFetching,
  job: SeriesJob,
  ends: Pick<ChunkRequest, 'startMs' | 'endMs' | 'limit' | 'anchorMs'>,
  asOfMs: EpochMs,
): Promise<BarResult> {
  const { clock, onEvent, concurrency, metrics, signal } = rooms
  const { symbol } = job.series.instrument
  const { timeframe } = job.series
  const plan = new ChunkPlanner(job.source.spec, { clock, onEvent }).plan({ symbol, timeframe, ...ends })
  const odd: Finding[][] = []
  const fetchPage = pageReader(rooms, job, { asOfMs, anchorMs: ends.anchorMs }, odd)
  const executor = new ChunkExecutor<Bar>({
    clock,
    onEvent,
    concurrency,
    timeOf: (bar) => bar.openTimeMs,
    ...(metrics && { metrics }),
  })
  const waitedBefore = rooms.fetcher.stats().waitedMs
  const result = await executor.execute(plan, fetchPage, signal ? { signal } : {})
  // Whole milliseconds: a turn of the event loop is no throttling.
  const throttledMs = Math.floor(rooms.fetcher.stats().waitedMs - waitedBefore)
  const findings = [...odd.flat(), ...missingIn(job, plan, result.data, ends.anchorMs)]
  return { ...result, throttledMs, throttleApplied: throttledMs > 0, findings }
}

/** Bars that were asked for and did not come, in runs. Why they are missing, `sync` finds out. */
function missingIn(
  job: SeriesJob,
  { startMs, endMs }: ChunkRun,
  bars: readonly Bar[],
  anchorMs: EpochMs | undefined,
): Finding[] {
  if (startMs === undefined || endMs === undefined || startMs >= endMs) return []
  const times = bars.map(({ openTimeMs }) => openTimeMs)
  return missingRuns(gridOf(job, anchorMs), { startMs, endMs }, times).map((run) => ({
    kind: 'missing',
    openTimeMs: run.startMs,
    count: countOpens(job.series.timeframe, run, run.startMs),
    detail: 'not in the answers',
  }))
}

/** Request, fetch, decode, validate: what a slice goes through, without the archive. */
function pageReader(
  { fetcher }: BarFetching,
  { series, source }: SeriesJob,
  { asOfMs, anchorMs }: { readonly asOfMs: EpochMs; readonly anchorMs: EpochMs | undefined },
  findings: Finding[][],
): FetchPage<Bar> {
  return async ({ startMs, endMs, limit, chunkIndex }, { signal }) => {
    const window = { series, range: { startMs: startMs ?? 0, endMs: endMs ?? asOfMs }, limit }
    const request = await source.request(window)
    const { body } = await fetcher.fetch(request, { check: source.check, signal })
    const decoded = await source.decode(body, window)
    const judged = validate(decoded, {
      series,
      range: window.range,
      asOfMs,
      settleMs: source.spec.settleMs,
      order: source.spec.order,
      ...(anchorMs !== undefined && { anchorMs }),
    })
    ;(findings[chunkIndex] ??= []).push(...judged.findings)
    const rows = decoded.rows.length + decoded.badRows.length
    return { points: barsOf(judged.accepted), rows, weight: request.weight }
  }
}

/** An open time of the venue's, where the grid of the timeframe is documented nowhere. */
async function anchorFor({ fetcher, signal }: BarFetching, job: SeriesJob): Promise<EpochMs | undefined> {
  const { source, series } = job
  if (anchorOf(series.timeframe) !== undefined || !source.firstBar) return undefined
  const options = { check: source.check, ...(signal && { signal }) }
  const { body } = await fetcher.fetch(await source.firstBar.request(series), options)
  return source.firstBar.decode(body, series)
}

const noRange = (job: SeriesJob): EverybarError =>
  new EverybarError('series.no-range', `which ${job.id} bars? Neither a range nor a limit was given`, {
    recovery: 'abort',
    hint: 'Give a range, or a limit for so many of the latest bars.',
  })
