import { exitCodeOfError } from '../model/exit-code.ts'
import { seriesId } from '../model/series.ts'
import { compactLake } from '../pipeline/compact.ts'
import { asError } from '../pipeline/fetch-missing.ts'
import { Live } from '../pipeline/live.ts'
import type { Wish } from '../pipeline/range.ts'
import { SeriesTurns } from '../pipeline/turns.ts'
import { compactionDue } from '../store/lake.ts'
import { endsFor, type Selection } from './api.ts'
import type { OpenHouse } from './house.ts'
import { isLevel, type LiveReport, type LiveRun } from './live-state.ts'
import { exportManifests } from './manifests.ts'
import { liveExitCode } from './run-exit-code.ts'
import { graceful, newRunId, refsOf } from './sync.ts'

export interface LiveSettings {
  /** Shared with whatever else works on the same series in this process. */
  readonly turns?: SeriesTurns
}

/** How often it looks whether small commits of the lake ought to be folded. */
const LOOK_EVERY_MS = 30_000

/** Folds what was appended to the lake into its month files when it is time; the next look tries again what fails. */
async function foldNowAndThen(house: OpenHouse, stop: AbortSignal): Promise<void> {
  const { lake, clock, onEvent } = house
  if (!house.stores.some(({ name }) => name === lake.name)) return
  while (!stop.aborted) {
    try {
      await clock.sleep(LOOK_EVERY_MS, stop)
      if (compactionDue(await lake.deltaState(), clock.nowMs())) await compactLake(house, lake, stop)
    } catch (error) {
      if (stop.aborted) return
      const { code, message } = asError(error)
      onEvent({ event: 'compaction_failed', level: 'error', store: lake.name, code, message })
    }
  }
}

/**
 * Keeps every selected series complete until `stop` aborts: bars are in the stores as soon as they are final by the
 * venue's clock. The house has to be open for writing and stays open; it is closed by whoever opened it, after `done`.
 */
export function startLive(
  house: OpenHouse,
  selection: Selection,
  stop: AbortSignal,
  { turns = new SeriesTurns() }: LiveSettings = {},
): LiveRun {
  const startedAtMs = house.clock.nowMs()
  const startedAt = house.clock.monotonicMs()
  const runId = newRunId(startedAtMs)
  const names = selection.series.map(seriesId)
  const wishes = selection.series.map((series): Wish => ({ series, ...endsFor(selection, seriesId(series)) }))
  const seconds = house.config.settings.update_interval_seconds
  const live = new Live(house, wishes, {
    signals: { stop, hardStop: graceful(stop) },
    turns,
    intervalMs: seconds === undefined ? undefined : seconds * 1_000,
    introduce: (series, signal) => house.venues.introduce(series, { ...house, signal }),
  })
  const reportNow = (): LiveReport => {
    const state = live.state()
    const durationMs = Math.round(house.clock.monotonicMs() - startedAt)
    return { runId, cycles: state.cycles, bars: live.inserted, durationMs, state }
  }
  const run = async (): Promise<LiveReport> => {
    const base = { runId, command: 'live', startedAtMs }
    await house.ledger.putRun({ ...base, endedAtMs: null, exitCode: null, report: { series: names } })
    house.onEvent({ event: 'run_started', run_id: runId, series: names.length })
    const note = async (report: LiveReport, exitCode: number) => {
      const { requests, weight, retries } = house.fetcher.stats()
      const { state, ...counts } = report
      const kept = { ...counts, requests, weight, retries }
      await house.ledger.putRun({ ...base, endedAtMs: house.clock.nowMs(), exitCode, report: kept })
      house.onEvent({ event: 'run_finished', run_id: runId, complete: isLevel(state), requests })
    }
    const over = new AbortController()
    const folding = foldNowAndThen({ ...house, turns }, AbortSignal.any([stop, over.signal]))
    try {
      await live.run()
    } catch (error) {
      await note(reportNow(), exitCodeOfError(error)).catch(() => {}) // where the ledger itself is gone
      throw error
    } finally {
      over.abort()
      await folding
    }
    const report = reportNow()
    const followed = report.state.series.map(({ series }) => series)
    if (house.config.ledger === 'sqlite') await exportManifests(house, await refsOf(house, followed))
    await note(report, liveExitCode(report.state, stop))
    return report
  }
  const done = run()
  done.catch(() => {}) // thrown to whoever waits for it
  return { state: () => live.state(), done }
}
