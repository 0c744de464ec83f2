import type { Config } from '../config/schema.ts'
import { isEverybarError, messageOf } from '../model/errors.ts'
import type { OnEvent } from '../model/events.ts'
import { collectorLog } from '../telemetry/collector-log.ts'

/** Where a process' log lines go. */
export interface Logs {
  readonly onEvent: OnEvent
  /** Lines that were lost on their way to Loki; 0 where none is configured. */
  readonly dropped: () => number
  /** Puts what ended a process into the log elsewhere. */
  readonly failed: (error: unknown) => void
  /** Sends what waits, a few seconds at most. */
  readonly close: () => Promise<void>
}

export interface LogsOptions {
  readonly config: Config
  /** `history`, `live`, or the command that runs. */
  readonly mode: string
  /** Lines for this machine: stderr of a command, stdout of a service. */
  readonly local: OnEvent
  /** A service: its lines here have a collector's names and fields too. */
  readonly service?: boolean
  /** Something about the log itself, for a person; said once. */
  readonly onTrouble: (message: string) => void
}

/** More values than this in labels, and Loki may refuse the streams. */
const LABELS_HINT = 'each value is a stream of its own, and Loki takes some thousands at most'

/**
 * Opens the log of a process, with Loki where it is configured, and says at once that it runs: a crash on the first day
 * leaves a trace. Opened before any store is.
 */
export async function openLogs({ config, mode, service, onTrouble, ...options }: LogsOptions): Promise<Logs> {
  const { service_name, environment, level, loki } = config.logs
  const fields = { service_name, environment, mode }
  const local = service ? collectorLog(options.local, fields) : options.local
  if (!loki) return { onEvent: local, dropped: () => 0, failed: () => {}, close: async () => {} }
  const { lokiSink } = await import('../telemetry/loki.ts')
  if (loki.labels.length > 0) onTrouble(`logs.loki.labels: ${loki.labels.join(', ')}: ${LABELS_HINT}`)
  const sink = lokiSink({
    url: loki.url,
    username: loki.username,
    password: loki.password,
    tenant: loki.tenant,
    labels: loki.labels,
    queueMax: loki.queue_max,
    level,
    nowMs: () => Date.now(),
    onTrouble,
  })
  const remote = collectorLog(sink.onEvent, fields)
  return {
    onEvent: (event) => {
      local(event)
      remote(event)
    },
    dropped: () => sink.stats().dropped,
    failed: (error) => {
      const code = isEverybarError(error) ? error.code : 'app.unexpected'
      remote({ event: 'run_failed', level: 'error', code, message: messageOf(error) })
    },
    close: sink.close,
  }
}

/** The first line of every run: what is configured, before anything is opened. */
export function configLoaded(config: Config, file: string | undefined): Parameters<OnEvent>[0] {
  const stores = ['parquet', 'postgres', 'bigquery'].filter((name) => name in config.stores)
  return {
    event: 'config_loaded',
    file: file ?? null,
    root: config.root,
    series: config.series.length,
    exchanges: Object.keys(config.exchanges),
    stores,
    loki: config.logs.loki !== undefined,
  }
}
