import type { TableLayout } from './layout.ts'
import type { AggregateOptions, PostgresSettings } from './options.ts'
import type { PlannedStatement } from './schema.ts'
import { qualified, quoteName, quoteText } from './sql.ts'

/** Whether `version` (`2.20.1`) is at least `major.minor`. */
export function atLeast(version: string, major: number, minor: number): boolean {
  const [foundMajor = 0, foundMinor = 0] = version.split('.').map(Number)
  return foundMajor > major || (foundMajor === major && foundMinor >= minor)
}

/** What turns a fresh, empty table into a hypertable with a columnstore, and adds the aggregates asked for. */
export function timescaleStatements(
  layout: TableLayout,
  settings: PostgresSettings,
  version: string,
): PlannedStatement[] {
  const table = quoteText(qualified(layout))
  const by = atLeast(version, 2, 13)
    ? `by_range(${quoteText(layout.timeColumn)}, INTERVAL '1 month')`
    : `${quoteText(layout.timeColumn)}, chunk_time_interval => INTERVAL '1 month'`
  const hypertable = {
    sql: `SELECT create_hypertable(${table}, ${by}, create_default_indexes => FALSE, if_not_exists => TRUE)`,
    why: `${layout.table} as a hypertable by month`,
  }
  return [hypertable, ...columnstore(layout, settings, version), ...aggregateStatements(layout, settings, [])]
}

/** Old months go to columns, one segment for each series, so that a series is read without the others. */
function columnstore(
  layout: TableLayout,
  { columnstoreAfterDays: days }: PostgresSettings,
  version: string,
): PlannedStatement[] {
  if (days === 0) return []
  const table = qualified(layout)
  const segments = quoteText(layout.key.map(({ name }) => name).join(', '))
  const order = quoteText(layout.timeColumn)
  const after = `INTERVAL '${days} days'`
  const current = atLeast(version, 2, 18)
  const settings = current
    ? `timescaledb.enable_columnstore, timescaledb.segmentby = ${segments}, timescaledb.orderby = ${order}`
    : `timescaledb.compress, timescaledb.compress_segmentby = ${segments}, timescaledb.compress_orderby = ${order}`
  const policy = current
    ? `CALL add_columnstore_policy(${quoteText(table)}, after => ${after}, if_not_exists => TRUE)`
    : `SELECT add_compression_policy(${quoteText(table)}, ${after}, if_not_exists => TRUE)`
  return [
    { sql: `ALTER TABLE ${table} SET (${settings})`, why: 'columnstore, a segment for each series' },
    { sql: policy, why: `columnstore for bars older than ${days} days` },
  ]
}

/** The continuous aggregates asked for that are not `there`; only the table of all venues has some. */
export function aggregateStatements(
  layout: TableLayout,
  settings: PostgresSettings,
  there: readonly string[],
): PlannedStatement[] {
  if (layout.kind !== 'bars') return []
  const missing = settings.aggregates.filter(({ name }) => !there.includes(name))
  return missing.flatMap((aggregate) => statementsOf(layout, aggregate))
}

function statementsOf(layout: TableLayout, aggregate: AggregateOptions): PlannedStatement[] {
  const view = qualified({ schema: layout.schema, table: aggregate.name })
  const width = `INTERVAL ${quoteText(aggregate.width)}`
  const time = quoteName(layout.timeColumn)
  const series = layout.key.filter(({ name }) => name !== 'timeframe').map(({ name }) => quoteName(name))
  return [
    {
      sql: `CREATE MATERIALIZED VIEW IF NOT EXISTS ${view} WITH (timescaledb.continuous) AS
SELECT ${series.join(', ')}, time_bucket(${width}, ${time}) AS ${time},
  first(open, ${time}) AS open, max(high) AS high, min(low) AS low, last(close, ${time}) AS close,
  sum(volume) AS volume, count(*) AS bars
FROM ${qualified(layout)} WHERE timeframe = ${quoteText(aggregate.base)}
GROUP BY ${series.join(', ')}, time_bucket(${width}, ${time})
WITH NO DATA`,
      why: `continuous aggregate ${aggregate.name}`,
    },
    {
      sql: `SELECT add_continuous_aggregate_policy(${quoteText(view)}, start_offset => INTERVAL '7 days', end_offset => ${width}, schedule_interval => ${width}, if_not_exists => TRUE)`,
      why: `refresh of ${aggregate.name}; older ranges are refreshed by everybar when it fills them`,
    },
  ]
}

/** Refreshes `view` for a back-filled range; may not run in a transaction. */
export const refreshAggregate = (
  schema: string,
  { name }: AggregateOptions,
  { startMs, endMs }: { startMs: number; endMs: number },
): string =>
  `CALL refresh_continuous_aggregate(${quoteText(qualified({ schema, table: name }))}, '${new Date(startMs).toISOString()}', '${new Date(endMs).toISOString()}')`
