import { EverybarError } from '../../model/errors.ts'
import type { OnEvent } from '../../model/events.ts'
import type { Series } from '../../model/series.ts'
import type { Timeframe } from '../../model/timeframe.ts'

/** A continuous aggregate: bars of `base` rolled up to `width` by TimescaleDB. Ignored where the extension is not. */
export interface AggregateOptions {
  /** Name of the view, in the schema of the table: `bars_1h`. */
  readonly name: string
  /** Timeframe it is made from: `1m`. */
  readonly base: Timeframe
  /** An interval as PostgreSQL writes it: `1 hour`. */
  readonly width: string
}

/** The table users of a broker's API have: `kite_ohlcv_historic` is one. It has no native columns. */
export interface TokenTableOptions {
  readonly name: string
  /** Venues whose trade bars go there. */
  readonly venues: readonly string[]
  /** `instrument_token` of a series; its symbol unless given. */
  readonly token?: (series: Series) => string
}

/** Where the server is and how the tables are kept. Give `url`, or `host` and what goes with it. */
export interface PostgresStoreOptions {
  /** The name the store has in the configuration and in the ledger. */
  readonly name: string
  /** `postgres://user:password@host:5432/database`. Never shown in an error or an event. */
  readonly url?: string
  readonly host?: string
  readonly port?: number
  readonly database?: string
  readonly user?: string
  readonly password?: string
  /** `true` verifies the certificate; an object goes to the TLS socket as it is. Off unless asked for. */
  readonly ssl?: boolean | { readonly ca?: string; readonly rejectUnauthorized?: boolean }
  /** Schema of the tables; it has to exist. `public` unless said. */
  readonly schema?: string
  /** The table of every venue that has none of its own. `bars` unless said. */
  readonly table?: string
  /** A second table, keyed by instrument token, for some venues. None unless given. */
  readonly tokenTable?: TokenTableOptions
  /** Keeps the bar of each series that is still open, apart, in `<table>_open`. Off unless asked for. */
  readonly provisional?: boolean
  /** `apply` creates missing tables and columns at the first commit; `check` only reports. `apply` unless said. */
  readonly schemaMode?: 'apply' | 'check'
  /** `auto` uses TimescaleDB where it is installed, `on` insists on it, `off` never does. `auto` unless said. */
  readonly timescale?: 'auto' | 'on' | 'off'
  /** Without TimescaleDB: one table, or a partition for each calendar month. `none` unless said. */
  readonly partitions?: 'none' | 'month'
  /** With TimescaleDB: bars older than this many days go to the columnstore; 0 for never. 90 unless said. */
  readonly columnstoreAfterDays?: number
  readonly aggregates?: readonly AggregateOptions[]
  /** Connections at most. 4 unless said. */
  readonly connectionsMax?: number
  readonly connectTimeoutMs?: number
  /** A statement that takes longer is stopped by the server. Five minutes unless said; 0 for never. */
  readonly statementTimeoutMs?: number
  /** How often a commit is tried that failed for a passing reason, and the first wait, which doubles. */
  readonly attemptsMax?: number
  readonly retryDelayMs?: number
  readonly onEvent?: OnEvent
}

export interface PostgresSettings {
  readonly name: string
  readonly schema: string
  readonly table: string
  readonly tokenTable: Required<TokenTableOptions> | undefined
  readonly provisional: boolean
  readonly schemaMode: 'apply' | 'check'
  readonly timescale: 'auto' | 'on' | 'off'
  readonly partitions: 'none' | 'month'
  readonly columnstoreAfterDays: number
  readonly aggregates: readonly AggregateOptions[]
  readonly statementTimeoutMs: number
  readonly attemptsMax: number
  readonly retryDelayMs: number
}

/** Longest name that leaves room for the suffix of a partition, an index or a constraint within 63 bytes. */
const NAME_BYTES_MAX = 40

/** @throws EverybarError `store.bad-option` (abort). */
export function settingsOf(options: PostgresStoreOptions): PostgresSettings {
  const { schema = 'public', table = 'bars', tokenTable, aggregates = [] } = options
  for (const [path, name] of [
    ['schema', schema],
    ['table', table],
    ...(tokenTable ? [['tokenTable', tokenTable.name] as const] : []),
    ...aggregates.map(({ name }) => ['aggregates', name] as const),
  ] as const) {
    const bytes = Buffer.byteLength(name)
    if (bytes === 0 || bytes > NAME_BYTES_MAX || hasControls(name)) throw badName(path, name)
  }
  return {
    name: options.name,
    schema,
    table,
    tokenTable: tokenTable && { token: ({ instrument }) => instrument.symbol, ...tokenTable },
    provisional: options.provisional ?? false,
    schemaMode: options.schemaMode ?? 'apply',
    timescale: options.timescale ?? 'auto',
    partitions: options.partitions ?? 'none',
    columnstoreAfterDays: options.columnstoreAfterDays ?? 90,
    aggregates,
    statementTimeoutMs: options.statementTimeoutMs ?? 300_000,
    attemptsMax: options.attemptsMax ?? 4,
    retryDelayMs: options.retryDelayMs ?? 250,
  }
}

/** The server, database and table, as the driver will find them: what the url says goes before the other options. */
export function targetOf(
  { url, host = 'localhost', port = 5432, database = '' }: PostgresStoreOptions,
  { schema, table }: PostgresSettings,
): string {
  const given = url !== undefined && URL.canParse(url) ? new URL(url) : undefined
  const at = given?.searchParams.get('host') || given?.hostname || host
  const named = given ? given.pathname.slice(1) : ''
  return `${at}:${given?.port || port}/${named || database}/${schema}.${table}`
}

const hasControls = (text: string): boolean => [...text].some((char) => char < ' ')

const badName = (path: string, name: string): EverybarError =>
  new EverybarError('store.bad-option', `${path} "${name}" cannot name anything in PostgreSQL`, {
    recovery: 'abort',
    hint: `Use 1 to ${NAME_BYTES_MAX} bytes; partitions and indexes add a suffix.`,
    path,
  })
