import type { EverybarEvent, OnEvent } from '../model/events.ts'
import { Metrics } from './metrics.ts'

/** What is measured when somebody looks, by whoever owns the house. */
export interface HouseReadings {
  readonly usage: () => readonly {
    readonly bucket: string
    readonly used: number
    readonly capacity: number
  }[]
  readonly waitedMs: () => number
  /** Seconds each series' last bar lies behind the last one due. */
  readonly lags?: () => Promise<readonly { readonly series: string; readonly seconds: number }[]>
  /** Missing bars by class. */
  readonly gaps?: () => Promise<Readonly<Record<string, number>>>
  /** Slices in the ledger by status. */
  readonly slices?: () => Promise<Readonly<Record<string, number>>>
  /** Followed series by how they stand. */
  readonly watched?: () => Readonly<Record<string, number>>
  /** Followed series each store lacks bars of. */
  readonly storesBehind?: () => Readonly<Record<string, number>>
  readonly jobs?: () => readonly JobReading[]
  readonly droppedLogLines?: () => number
}

/** How a job stands. */
export interface JobReading {
  readonly name: string
  /** Epoch ms; `null` when it never ended. */
  readonly lastEndedAtMs: number | null
  readonly lastExitCode: number | null
  readonly missed: number
}

export interface HouseMetrics {
  readonly registry: Metrics
  /** Counts what happens; put it beside the log. */
  readonly onEvent: OnEvent
  readonly watch: (readings: HouseReadings) => void
}

export interface HouseMetricsOptions {
  readonly version: string
  /** A label for every symbol of a venue may be too many: only where somebody asked for it. */
  readonly symbolLabel?: boolean
}

const DURATIONS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

/** The numbers of a house, from its events and from readings. */
export function houseMetrics({ version, symbolLabel = false }: HouseMetricsOptions): HouseMetrics {
  const registry = new Metrics()
  registry.gauge('everybar_build_info', 'What runs.').set(1, { version })
  const bars = registry.counter('everybar_bars_written_total', 'Bars committed, by store.')
  const storeErrors = registry.counter('everybar_store_errors_total', 'Commits that failed, by store.')
  const requests = registry.counter('everybar_requests_total', 'Requests for bars, by venue and outcome.')
  const retries = registry.counter(
    'everybar_request_retries_total',
    'Tries after the first, by what made them needed.',
  )
  const seconds = registry.histogram(
    'everybar_request_duration_seconds',
    'From asking for a slice to its answer, waits included.',
    DURATIONS,
  )
  const slices = registry.counter('everybar_slices_total', 'Slices answered, by status.')
  const revisions = registry.counter(
    'everybar_bars_revised_total',
    'Final bars that came back with other values.',
  )
  const verified = registry.gauge('everybar_last_verify_timestamp_seconds', 'When a verification last ended.')
  const venueOf = ({ series, bucket }: EverybarEvent) => ({
    venue: String(series ?? bucket ?? 'unknown').split(/[:.]/)[0]!,
  })
  const counts: Readonly<Record<string, (event: EverybarEvent) => void>> = {
    fetch_ok: (event) => {
      requests.add(1, { ...venueOf(event), outcome: 'ok' })
      seconds.observe(Number(event.duration_ms ?? 0) / 1_000, venueOf(event))
    },
    fetch_error: (event) => {
      requests.add(1, { ...venueOf(event), outcome: String(event.code ?? 'error') })
      seconds.observe(Number(event.duration_ms ?? 0) / 1_000, venueOf(event))
    },
    fetch_retry: (event) => retries.add(1, { code: String(event.code ?? 'unknown') }),
    store_commit: (event) => bars.add(Number(event.rows ?? 0), { store: String(event.store) }),
    store_error: (event) => storeErrors.add(1, { store: String(event.store) }),
    history_page_done: (event) => slices.add(1, { ...venueOf(event), status: String(event.status) }),
    bar_revised: (event) => revisions.add(1, venueOf(event)),
    verify_done: (event) => verified.set(Number(event.at_ms ?? 0) / 1_000),
  }
  return {
    registry,
    onEvent: (event) => counts[event.event]?.(event),
    watch: (readings) => registry.collect(collector(registry, readings, symbolLabel)),
  }
}

function collector(registry: Metrics, readings: HouseReadings, symbolLabel: boolean): () => Promise<void> {
  const ratio = registry.gauge('everybar_weight_used_ratio', 'Rate limit used in the current window, 0 to 1.')
  const waited = registry.gauge(
    'everybar_wait_seconds',
    'Time requests have waited for the rate limit, in all.',
  )
  const lag = registry.gauge(
    'everybar_series_lag_seconds',
    symbolLabel
      ? 'How far a series is behind its last due bar.'
      : 'How far the series of a venue are behind, at most.',
  )
  const gaps = registry.gauge('everybar_gap_bars', 'Bars that are missing, by class.')
  const slices = registry.gauge('everybar_ledger_slices', 'Slices the ledger knows, by status.')
  const watched = registry.gauge('everybar_series_watched', 'Series that are followed, by how they stand.')
  const behind = registry.gauge('everybar_store_series_behind', 'Followed series a store lacks bars of.')
  const readJobs = jobGauges(registry)
  const lost = registry.gauge('everybar_log_lines_dropped', 'Log lines that did not reach Loki.')
  return async () => {
    for (const { bucket, used, capacity } of readings.usage()) ratio.set(used / capacity, { bucket })
    waited.set(readings.waitedMs() / 1_000)
    if (readings.droppedLogLines) lost.set(readings.droppedLogLines())
    if (readings.lags) {
      const worst = new Map<string, number>()
      lag.clear()
      for (const { series, seconds } of await readings.lags()) {
        const venue = series.split(':')[0]!
        if (symbolLabel) lag.set(seconds, { venue, series })
        else worst.set(venue, Math.max(worst.get(venue) ?? 0, seconds))
      }
      for (const [venue, seconds] of worst) lag.set(seconds, { venue })
    }
    for (const [state, count] of Object.entries(readings.watched?.() ?? {})) watched.set(count, { state })
    for (const [store, count] of Object.entries(readings.storesBehind?.() ?? {})) behind.set(count, { store })
    readJobs(readings.jobs?.() ?? [])
    if (readings.gaps) {
      gaps.clear()
      for (const [name, missing] of Object.entries(await readings.gaps())) gaps.set(missing, { class: name })
    }
    for (const [status, count] of Object.entries((await readings.slices?.()) ?? {}))
      slices.set(count, { status })
  }
}

function jobGauges(registry: Metrics): (jobs: readonly JobReading[]) => void {
  const ended = registry.gauge('everybar_job_last_end_timestamp_seconds', 'When a job last ended.')
  const code = registry.gauge('everybar_job_last_exit_code', 'What its last run ended with: 0 is well.')
  const missed = registry.gauge('everybar_job_missed', 'Times a job came round and was not run.')
  return (jobs) => {
    for (const { name, lastEndedAtMs, lastExitCode, missed: times } of jobs) {
      missed.set(times, { job: name })
      if (lastEndedAtMs !== null) ended.set(lastEndedAtMs / 1_000, { job: name })
      if (lastExitCode !== null) code.set(lastExitCode, { job: name })
    }
  }
}
