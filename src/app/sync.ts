import { randomBytes } from 'node:crypto'
import { runChunks } from '../chunking/run-chunks.ts'
import { type EverybarError, isEverybarError } from '../model/errors.ts'
import { type Series, seriesId } from '../model/series.ts'
import { asError } from '../pipeline/fetch-missing.ts'
import { lakeFiles } from '../pipeline/lost-months.ts'
import type { Wish } from '../pipeline/range.ts'
import { notTried, type SeriesOutcome, type Signals, syncSeries } from '../pipeline/sync.ts'
import { Venues } from '../pipeline/venue-clock.ts'
import { endsFor, type KiteSummary, type Selection, type SeriesReport, type SyncReport } from './api.ts'
import type { OpenHouse } from './house.ts'
import { exportManifests } from './manifests.ts'
import { seriesReport } from './report.ts'
import { syncExitCode } from './run-exit-code.ts'

/** Series worked on at once; they share the venue's limits and the requests in flight. */
const SERIES_AT_ONCE = 4
/** What is on the wire when a person says stop may still come home for this long. */
const GRACE_MS = 5_000

export interface SyncOptions {
  /** What the run is called among the others; `sync` unless given. */
  readonly command?: string
  /**
   * What the ledger keeps of the run: a report of every series, or of those only that were changed or are not complete,
   * for what is run again and again.
   */
  readonly keep?: 'all' | 'notable'
  /** Series worked on at once. */
  readonly seriesAtOnce?: number
  /** Errors that leave a series out without making the run incomplete. */
  readonly maySkip?: (error: EverybarError) => boolean
  /** What an import of many comes to, for the report. */
  readonly summary?: (series: readonly SeriesReport[]) => KiteSummary
  /** Told of each series as it is done, with how many are. */
  readonly onDone?: (report: SeriesReport, done: number) => void
}

/** After these the venue answers nobody any more: its other series are not tried. */
const endsVenue: ReadonlySet<string> = new Set([
  ...['source.login-expired', 'source.no-permission', 'source.blocked'],
])

/** Makes every selected series complete, once. */
export async function syncAll(
  house: OpenHouse,
  selection: Selection,
  stop: AbortSignal,
  options: SyncOptions = {},
): Promise<SyncReport> {
  const startedAtMs = house.clock.nowMs()
  const startedAt = house.clock.monotonicMs()
  const runId = newRunId(startedAtMs)
  const base = { runId, command: options.command ?? 'sync', startedAtMs }
  const names = selection.series.map(seriesId)
  await house.ledger.putRun({ ...base, endedAtMs: null, exitCode: null, report: { series: names } })
  house.onEvent({ event: 'run_started', run_id: runId, series: names.length })
  const files = house.stores.includes(house.lake) && { lakeFiles: lakeFiles(house.lake) }
  const signals = { stop, hardStop: graceful(stop) }
  const { outcomes, isAll } = await syncEach({ ...house, ...files }, selection, runId, signals, options)
  const synced = outcomes.map(({ series }) => seriesId(series))
  if (house.config.ledger === 'sqlite') await exportManifests(house, await refsOf(house, synced))
  const { requests, weight, retries } = house.fetcher.stats()
  const series = outcomes.map(seriesReport)
  const { summary } = options
  const report: SyncReport = {
    runId,
    series,
    requests,
    weight,
    retries,
    durationMs: Math.round(house.clock.monotonicMs() - startedAt),
    complete: isAll && outcomes.every((one) => one.complete || isSkipped(one, options)),
    interrupted: stop.aborted,
    ...(summary && { kite: summary(series) }),
  }
  const exitCode = syncExitCode(report, stop)
  const endedAtMs = house.clock.nowMs()
  await house.ledger.putRun({ ...base, endedAtMs, exitCode, report: kept(report, options) })
  house.onEvent({ event: 'run_finished', run_id: runId, complete: report.complete, requests })
  return report
}

function kept(report: SyncReport, { keep }: SyncOptions): Readonly<Record<string, unknown>> {
  if (keep !== 'notable') return { ...report }
  const changed = ({ slices }: SeriesReport) => slices.fetched + slices.replayed > 0
  const series = report.series.filter((one) => !one.complete || changed(one))
  return { ...report, series, seriesCount: report.series.length }
}

/** Those of the series the ledger knows. */
export async function refsOf({ ledger }: OpenHouse, names: readonly string[]) {
  const wanted = new Set(names)
  return (await ledger.series()).filter((ref) => wanted.has(ref.seriesId))
}

/** `isAll`: every series was begun, or is another name of one that was. */
async function syncEach(
  house: OpenHouse,
  selection: Selection,
  runId: string,
  signals: Signals,
  { seriesAtOnce = SERIES_AT_ONCE, onDone }: SyncOptions,
): Promise<{ readonly outcomes: readonly SeriesOutcome[]; readonly isAll: boolean }> {
  const venues = new Venues(house)
  const wishes = selection.series.map((series): Wish => wishOf(selection, series, runId))
  const outcomes: SeriesOutcome[] = []
  const ended = new Map<string, EverybarError>()
  const begun = new Set<string>()
  /** A series that goes by two names is worked on once, unless other ends are wished for. */
  const isNew = ({ series, from, to }: Wish): boolean => {
    const key = JSON.stringify([seriesId(series), from, to])
    if (!begun.has(key)) return begun.add(key).size > 0
    house.onEvent({ event: 'series_named_twice', level: 'warn', series: seriesId(series) })
    return false
  }
  const each = async (wish: Wish): Promise<SeriesOutcome | undefined> => {
    const { venue } = wish.series.instrument
    const known = ended.get(venue)
    if (known) return notTried(wish.series, known)
    const outcome = await syncOne(house, venues, wish, { signals, isNew })
    const end = outcome?.errors.find(({ code }) => endsVenue.has(code))
    if (end) ended.set(venue, end)
    return outcome
  }
  const notStopped = (function* () {
    for (const wish of wishes) if (!signals.stop.aborted) yield wish
  })()
  let taken = 0
  for await (const { result } of runChunks(notStopped, each, { concurrency: seriesAtOnce })) {
    taken++
    if (!result) continue
    outcomes.push(result)
    onDone?.(seriesReport(result), outcomes.length)
  }
  return { outcomes, isAll: taken === wishes.length }
}

const isSkipped = ({ errors }: SeriesOutcome, { maySkip }: SyncOptions): boolean =>
  maySkip !== undefined && errors.length > 0 && errors.every(maySkip)

/** A venue that cannot be asked what a symbol is fails that series, and no other. `undefined` where it is not new. */
async function syncOne(
  house: OpenHouse,
  venues: Venues,
  wish: Wish,
  { signals, isNew }: { readonly signals: Signals; readonly isNew: (wish: Wish) => boolean },
): Promise<SeriesOutcome | undefined> {
  try {
    const series = await house.venues.introduce(wish.series, { ...house, signal: signals.stop })
    const own = { ...wish, series }
    return isNew(own) ? await syncSeries(house, venues, own, signals) : undefined
  } catch (error) {
    const failure = asError(error)
    if (failure.code.startsWith('ledger.')) throw error
    const stopped = signals.stop.aborted && !isEverybarError(error)
    return notTried(wish.series, stopped ? undefined : failure)
  }
}

/** A share is drawn anew by every run. */
function wishOf(selection: Selection, series: Series, runId: string): Wish {
  const { recheck } = selection
  const audit = recheck?.kind === 'share' ? { ...recheck, seed: runId } : recheck
  return { series, ...endsFor(selection, seriesId(series)), ...(audit && { recheck: audit }) }
}

/** Aborts a grace period after `stop`. */
export function graceful(stop: AbortSignal): AbortSignal {
  const hard = new AbortController()
  const later = () => void setTimeout(() => hard.abort(stop.reason), GRACE_MS).unref()
  if (stop.aborted) later()
  else stop.addEventListener('abort', later, { once: true })
  return hard.signal
}

/** `20240301T120000Z-1a2b3c`: sorts by time, unique. */
export const newRunId = (nowMs: number): string =>
  `${new Date(nowMs).toISOString().replace(/[-:]|\.\d+/g, '')}-${randomBytes(3).toString('hex')}`
