import type { BarBatch } from '../../model/bar.ts'
import { EverybarError } from '../../model/errors.ts'
import { type OnEvent, silent } from '../../model/events.ts'

/**
 * Writes `batch` as one Parquet file: `open_time_ms` and `close_time_ms` INT64, `trades` INT64, everything else DOUBLE,
 * by the names of `lakeColumns`; NaN in a native column is NULL.
 */
export type WriteParquet = (batch: BarBatch, path: string) => Promise<void>

/**
 * Where the table is. Credentials come from GOOGLE_APPLICATION_CREDENTIALS, or from whatever else Google's library
 * finds on the machine.
 */
export interface BigQueryStoreOptions {
  /** The name the store has in the configuration and in the ledger. */
  readonly name: string
  readonly project: string
  /** Made if absent. `crypto` unless said. */
  readonly dataset?: string
  /** `market_data_ohlcv` unless said. */
  readonly table?: string
  /** Of the dataset and its jobs: `EU`, `US`, `europe-west3`. `US` unless said. */
  readonly location?: string
  /** Another address of the API. One with `http:`, for instance `http://127.0.0.1:9050`, is sent no credentials. */
  readonly apiEndpoint?: string
  /** `apply` creates what is missing before the first commit; `check` only reports. `apply` unless said. */
  readonly schemaMode?: 'apply' | 'check'
  /** A commit of at most so many bars is streamed, a larger one is loaded. 100 unless said; 0 never streams. */
  readonly liveRowsMax?: number
  /** How long streamed bars wait, at most, until the next commit merges them into the table. Five minutes unless said. */
  readonly mergeEveryMs?: number
  /** How often a call is tried, and the first wait, which doubles up to 32 s. */
  readonly attemptsMax?: number
  readonly retryDelayMs?: number
  /** The least time between two MERGE statements: a partitioned table takes 50 changes in 10 s. 250 ms unless said. */
  readonly dmlGapMs?: number
  /** With DuckDB unless given. */
  readonly writeParquet?: WriteParquet
  readonly nowMs?: () => number
  readonly onEvent?: OnEvent
}

export interface BigQuerySettings {
  readonly name: string
  readonly project: string
  readonly dataset: string
  readonly table: string
  /** Where streamed bars wait for the next MERGE. */
  readonly liveTable: string
  readonly location: string
  readonly apiEndpoint: string | undefined
  readonly schemaMode: 'apply' | 'check'
  readonly liveRowsMax: number
  readonly mergeEveryMs: number
  readonly attemptsMax: number
  readonly retryDelayMs: number
  readonly dmlGapMs: number
  readonly nowMs: () => number
  readonly onEvent: OnEvent
}

const shapes = {
  project: /^[a-z][a-z0-9:.-]{0,62}$/,
  dataset: /^\w{1,1024}$/,
  // Room for the suffixes of the tables beside it.
  table: /^\w{1,900}$/,
} as const

/** @throws EverybarError `store.bad-option` (abort). */
export function settingsOf(options: BigQueryStoreOptions): BigQuerySettings {
  const { project, dataset = 'crypto', table = 'market_data_ohlcv' } = options
  for (const [path, text] of Object.entries({ project, dataset, table }) as [keyof typeof shapes, string][]) {
    if (!shapes[path].test(text)) {
      throw new EverybarError('store.bad-option', `${path} "${text}" cannot be a name in BigQuery`, {
        recovery: 'abort',
        hint: 'A project is letters, digits and hyphens; a dataset and a table letters, digits and underscores.',
        path,
      })
    }
  }
  return {
    name: options.name,
    project,
    dataset,
    table,
    liveTable: `${table}_live`,
    location: options.location ?? 'US',
    apiEndpoint: options.apiEndpoint,
    schemaMode: options.schemaMode ?? 'apply',
    liveRowsMax: options.liveRowsMax ?? 100,
    mergeEveryMs: options.mergeEveryMs ?? 300_000,
    attemptsMax: options.attemptsMax ?? 6,
    retryDelayMs: options.retryDelayMs ?? 500,
    dmlGapMs: options.dmlGapMs ?? 250,
    nowMs: options.nowMs ?? (() => Date.now()),
    onEvent: options.onEvent ?? silent,
  }
}
