import { seriesId } from '../model/series.ts'
import { Live } from '../pipeline/live.ts'
import type { Wish } from '../pipeline/range.ts'
import { SeriesTurns } from '../pipeline/turns.ts'
import { endsFor, type Selection } from './api.ts'
import type { OpenHouse } from './house.ts'
import type { LiveReport, LiveRun } from './live-state.ts'
import { exportManifests } from './manifests.ts'
import { graceful, newRunId, refsOf } from './sync.ts'

export interface LiveSettings {
  /** Shared with whatever else works on the same series in this process. */
  readonly turns?: SeriesTurns
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
    await live.run()
    if (house.config.ledger === 'sqlite') await exportManifests(house, await refsOf(house, names))
    const report = reportNow()
    const { requests, weight, retries } = house.fetcher.stats()
    const { state: _, ...counts } = report
    const kept = { ...counts, requests, weight, retries }
    await house.ledger.putRun({ ...base, endedAtMs: house.clock.nowMs(), exitCode: 0, report: kept })
    house.onEvent({ event: 'run_finished', run_id: runId, complete: true, requests })
    return report
  }
  const done = run()
  done.catch(() => {}) // thrown to whoever waits for it
  return { state: () => live.state(), done }
}
