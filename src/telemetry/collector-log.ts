import type { EverybarEvent, OnEvent } from '../model/events.ts'

/** What every line of one process says of it. */
export interface ProcessFields {
  readonly service_name: string
  readonly environment: string
  /** `history`, `live`, or the command that runs. */
  readonly mode: string
}

/** Our events under the names a collector's dashboards ask for; the others keep theirs. */
const renamed: Readonly<Record<string, string>> = {
  fetch_retry: 'backoff_retry',
  fetch_blocked: 'backoff_retry',
}

/** What happens at BigQuery has names of its own. */
const atBigQuery: Readonly<Record<string, string>> = {
  store_ensure: 'bq_ensure_table',
  store_ensure_failed: 'bq_ensure_error',
  store_commit: 'bq_insert_ok',
  store_error: 'bq_insert_error',
}

/**
 * Events as a collector's log has them: its names, `exchange`, `symbol` and `timeframe` taken from the series, and the
 * fields of the process. `progress` is left out: it is for screens.
 */
export function collectorLog(next: OnEvent, process: ProcessFields): OnEvent {
  return (event) => {
    if (event.event === 'progress') return
    next({ ...process, ...seriesFields(event), ...inTheirUnits(event), event: nameOf(event) })
  }
}

const nameOf = ({ event, store }: EverybarEvent): string =>
  (store === 'bigquery' ? atBigQuery[event] : undefined) ?? renamed[event] ?? event

/** `kraken:spot:XXBTZUSD:1h` as fields. Colons inside belong to the symbol. */
function seriesFields({ series, venue, bucket }: EverybarEvent): Readonly<Record<string, string>> {
  if (typeof series === 'string') {
    const parts = series.split(':')
    if (parts.length >= 4) {
      const symbol = parts.slice(2, -1).join(':')
      return { exchange: parts[0]!, market: parts[1]!, symbol, timeframe: parts.at(-1)!.split('@')[0]! }
    }
  }
  if (typeof venue === 'string') return { exchange: venue }
  return typeof bucket === 'string' ? { exchange: bucket.split('.')[0]! } : {}
}

function inTheirUnits({ waitMs, ...event }: EverybarEvent): EverybarEvent {
  return typeof waitMs === 'number' ? { ...event, wait_ms: Math.round(waitMs) } : event
}
