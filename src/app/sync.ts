import { randomBytes } from 'node:crypto'
import { runChunks } from '../chunking/run-chunks.ts'
import { type Series, seriesId } from '../model/series.ts'
import type { Wish } from '../pipeline/range.ts'
import { type SeriesOutcome, type Signals, syncSeries } from '../pipeline/sync.ts'
import { Venues } from '../pipeline/venue-clock.ts'
import { endsFor, type Selection, type SyncReport } from './api.ts'
import type { OpenHouse } from './house.ts'
import { exportManifests } from './manifests.ts'
import { seriesReport } from './report.ts'

/** Series worked on at once; they share the venue's limits and the requests in flight. */
const SERIES_AT_ONCE = 4
/** What is on the wire when a person says stop may still come home for this long. */
const GRACE_MS = 5_000

/** Makes every selected series complete, once. */
export async function syncAll(
  house: OpenHouse,
  selection: Selection,
  stop: AbortSignal,
): Promise<SyncReport> {
  const startedAtMs = house.clock.nowMs()
  const startedAt = house.clock.monotonicMs()
  const runId = newRunId(startedAtMs)
  const base = { runId, command: 'sync', startedAtMs }
  const names = selection.series.map(seriesId)
  await house.ledger.putRun({ ...base, endedAtMs: null, exitCode: null, report: { series: names } })
  house.onEvent({ event: 'run_started', run_id: runId, series: names.length })
  const outcomes = await syncEach(house, selection, runId, { stop, hardStop: graceful(stop) })
  if (house.config.ledger === 'sqlite') await exportManifests(house, await refsOf(house, names))
  const { requests, weight, retries } = house.fetcher.stats()
  const report: SyncReport = {
    runId,
    series: outcomes.map(seriesReport),
    requests,
    weight,
    retries,
    durationMs: Math.round(house.clock.monotonicMs() - startedAt),
    complete: outcomes.length === names.length && outcomes.every(({ complete }) => complete),
    interrupted: stop.aborted,
  }
  const exitCode = report.complete ? 0 : report.interrupted ? 130 : 3
  await house.ledger.putRun({ ...base, endedAtMs: house.clock.nowMs(), exitCode, report: { ...report } })
  house.onEvent({ event: 'run_finished', run_id: runId, complete: report.complete, requests })
  return report
}

/** Those of the series the ledger knows. */
async function refsOf({ ledger }: OpenHouse, names: readonly string[]) {
  const wanted = new Set(names)
  return (await ledger.series()).filter((ref) => wanted.has(ref.seriesId))
}

async function syncEach(
  house: OpenHouse,
  selection: Selection,
  runId: string,
  signals: Signals,
): Promise<SeriesOutcome[]> {
  const venues = new Venues(house)
  const wishes = selection.series.map((series): Wish => wishOf(selection, series, runId))
  const outcomes: SeriesOutcome[] = []
  const each = (wish: Wish) => syncSeries(house, venues, wish, signals)
  const notStopped = (function* () {
    for (const wish of wishes) if (!signals.stop.aborted) yield wish
  })()
  for await (const { result } of runChunks(notStopped, each, { concurrency: SERIES_AT_ONCE })) {
    if (result) outcomes.push(result)
  }
  return outcomes
}

/** A share is drawn anew by every run. */
function wishOf(selection: Selection, series: Series, runId: string): Wish {
  const { recheck } = selection
  const audit = recheck?.kind === 'share' ? { ...recheck, seed: runId } : recheck
  return { series, ...endsFor(selection, seriesId(series)), ...(audit && { recheck: audit }) }
}

/** Aborts a grace period after `stop`. */
function graceful(stop: AbortSignal): AbortSignal {
  const hard = new AbortController()
  const later = () => void setTimeout(() => hard.abort(stop.reason), GRACE_MS).unref()
  if (stop.aborted) later()
  else stop.addEventListener('abort', later, { once: true })
  return hard.signal
}

/** `20240301T120000Z-1a2b3c`: sorts by time, unique. */
const newRunId = (nowMs: number): string =>
  `${new Date(nowMs).toISOString().replace(/[-:]|\.\d+/g, '')}-${randomBytes(3).toString('hex')}`
