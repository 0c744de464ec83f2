import type { Series } from '../../model/series.ts'
import type { EpochMs, TimeRange } from '../../model/time.ts'
import type { TableLayout } from './layout.ts'

/** A name as an SQL identifier, whatever characters it has. */
export const quoteName = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** Text as an SQL literal, safe whether or not the server reads backslashes in plain strings. */
export function quoteText(text: string): string {
  const quoted = `'${text.replaceAll("'", "''").replaceAll('\\', '\\\\')}'`
  return text.includes('\\') ? ` E${quoted}` : quoted
}

export const quoteTime = (ms: EpochMs): string => `'${new Date(ms).toISOString()}'::timestamptz`

export const qualified = ({ schema, table }: { schema: string; table: string }): string =>
  `${quoteName(schema)}.${quoteName(table)}`

const names = (columns: readonly { readonly name: string }[]): string[] =>
  columns.map(({ name }) => quoteName(name))

/** Columns of a row in the order they are written: key, time, values. */
export const writtenColumns = (layout: TableLayout): string =>
  [...names(layout.key), quoteName(layout.timeColumn), ...names(layout.values)].join(', ')

/** Time and values: what the staging table holds and what is read back. */
export const barColumns = (layout: TableLayout): string =>
  [quoteName(layout.timeColumn), ...names(layout.values)].join(', ')

/** `"venue" = 'binance' AND …`: the rows of one series. `prefix` is an alias and a dot. */
export const ofSeries = (layout: TableLayout, series: Series, prefix = ''): string =>
  layout.key
    .map(({ name, value }) => `${prefix}${quoteName(name)} = ${quoteText(value(series))}`)
    .join(' AND ')

export function inRange(layout: TableLayout, range: TimeRange, prefix = ''): string {
  const time = `${prefix}${quoteName(layout.timeColumn)}`
  return `${time} >= ${quoteTime(range.startMs)} AND ${time} < ${quoteTime(range.endMs)}`
}

/** The table a batch is copied to first; gone with the transaction. */
export const STAGE = 'pg_temp.everybar_stage'

export function createStage(layout: TableLayout): string {
  const columns = [
    `${quoteName(layout.timeColumn)} timestamptz`,
    ...layout.values.map(({ name, type }) => `${quoteName(name)} ${type}`),
  ]
  return `CREATE TEMPORARY TABLE everybar_stage (${columns.join(', ')}) ON COMMIT DROP`
}

/** The staged rows as arrays bound to one statement: cheaper than a table for a few rows. */
export function unnested(layout: TableLayout): string {
  const arrays = ['timestamptz', ...layout.values.map(({ type }) => type)].map(
    (type, i) => `$${i + 1}::${type}[]`,
  )
  return `(SELECT * FROM unnest(${arrays.join(', ')}) AS u (${barColumns(layout)}))`
}

/**
 * Writes the rows of `source` that open in `range` and says what changed: `inserted`, `revised` and the first hundred
 * `revised_at`. What was there is read by the same statement's snapshot rather than told from `xmax`, which a
 * partitioned table does not give out.
 */
export function upsert(layout: TableLayout, series: Series, source: string, range: TimeRange): string {
  const time = quoteName(layout.timeColumn)
  const values = names(layout.values)
  const row = (prefix: string) => `(${values.map((name) => `${prefix}.${name}`).join(', ')})`
  const key = layout.key.map(({ value }) => quoteText(value(series)))
  const set = values.map((name) => `${name} = excluded.${name}`)
  if (layout.restamp) set.push(`${quoteName(layout.stampColumn)} = now()`)
  return `WITH written AS (
  INSERT INTO ${qualified(layout)} AS kept (${writtenColumns(layout)})
  SELECT ${key.join(', ')}, ${barColumns(layout)} FROM ${source} AS stage WHERE ${inRange(layout, range)}
  ON CONFLICT (${layout.primaryKey.map(quoteName).join(', ')}) DO UPDATE SET ${set.join(', ')}
  WHERE ${row('kept')} IS DISTINCT FROM ${row('excluded')}
  RETURNING kept.${time} AS at
), prior AS (
  SELECT ${time} AS at FROM ${qualified(layout)} WHERE ${ofSeries(layout, series)} AND ${inRange(layout, range)}
)
SELECT count(*) FILTER (WHERE prior.at IS NULL)::float8 AS inserted,
  count(prior.at)::float8 AS revised,
  (array_agg(extract(epoch FROM prior.at)::float8 * 1000 ORDER BY prior.at)
    FILTER (WHERE prior.at IS NOT NULL))[1:100] AS revised_at
FROM written LEFT JOIN prior USING (at)`
}

/**
 * As `upsert`, from the staging table only, by two joins over the range instead of a look-up for each row: two to five
 * times as fast. A bar that another program inserts meanwhile breaks the key; then `upsert` is the way.
 */
export function upsertByJoin(layout: TableLayout, series: Series, range: TimeRange): string {
  const time = quoteName(layout.timeColumn)
  const values = names(layout.values)
  const row = (prefix: string) => `(${values.map((name) => `${prefix}.${name}`).join(', ')})`
  const key = layout.key.map(({ value }) => quoteText(value(series)))
  const set = values.map((name) => `${name} = stage.${name}`)
  if (layout.restamp) set.push(`${quoteName(layout.stampColumn)} = now()`)
  const same = `${ofSeries(layout, series, 'kept.')} AND ${inRange(layout, range, 'kept.')} AND kept.${time} = stage.${time}`
  return `WITH revised AS (
  UPDATE ${qualified(layout)} AS kept SET ${set.join(', ')} FROM ${STAGE} AS stage
  WHERE ${same} AND ${row('kept')} IS DISTINCT FROM ${row('stage')}
  RETURNING kept.${time} AS at
), inserted AS (
  INSERT INTO ${qualified(layout)} (${writtenColumns(layout)})
  SELECT ${key.join(', ')}, ${barColumns(layout)} FROM ${STAGE} AS stage
  WHERE NOT EXISTS (SELECT FROM ${qualified(layout)} AS kept WHERE ${same})
  RETURNING 1
)
SELECT (SELECT count(*) FROM inserted)::float8 AS inserted,
  (SELECT count(*) FROM revised)::float8 AS revised,
  (SELECT array_agg(extract(epoch FROM at)::float8 * 1000 ORDER BY at)
    FROM (SELECT at FROM revised ORDER BY at LIMIT 100) AS first) AS revised_at`
}

/** `$1 …` as rows of `writtenColumns`: arrays of the key, of times and of values. */
function unnestedRows(layout: TableLayout): string {
  const types = [...layout.key.map(() => 'text'), 'timestamptz', ...layout.values.map(({ type }) => type)]
  const arrays = types.map((type, i) => `$${i + 1}::${type}[]`)
  return `unnest(${arrays.join(', ')}) AS u (${writtenColumns(layout)})`
}

const keyAndTime = (layout: TableLayout): string =>
  [...names(layout.key), quoteName(layout.timeColumn)].join(', ')

/**
 * Writes rows of many series, bound as arrays, and gives each that was new or changed: its `key`, `at` (epoch ms) and
 * whether it was `revised`. `range` is that of the rows, so that a partitioned table is not looked through.
 */
export function upsertRows(layout: TableLayout, range: TimeRange): string {
  const time = quoteName(layout.timeColumn)
  const values = names(layout.values)
  const row = (prefix: string) => `(${values.map((name) => `${prefix}.${name}`).join(', ')})`
  const of = (prefix: string) => [...names(layout.key), time].map((name) => `${prefix}.${name}`).join(', ')
  const set = values.map((name) => `${name} = excluded.${name}`)
  if (layout.restamp) set.push(`${quoteName(layout.stampColumn)} = now()`)
  return `WITH stage AS MATERIALIZED (
  SELECT * FROM ${unnestedRows(layout)}
), prior AS (
  SELECT ${of('kept')} FROM ${qualified(layout)} AS kept JOIN stage USING (${keyAndTime(layout)})
  WHERE ${inRange(layout, range, 'kept.')}
), written AS (
  INSERT INTO ${qualified(layout)} AS kept (${writtenColumns(layout)}) SELECT * FROM stage
  ON CONFLICT (${layout.primaryKey.map(quoteName).join(', ')}) DO UPDATE SET ${set.join(', ')}
  WHERE ${row('kept')} IS DISTINCT FROM ${row('excluded')}
  RETURNING ${of('kept')}
)
SELECT ARRAY[${names(layout.key)
    .map((name) => `written.${name}`)
    .join(', ')}]::text[] AS key, extract(epoch FROM written.${time})::float8 * 1000 AS at,
  prior.${time} IS NOT NULL AS revised
FROM written LEFT JOIN prior USING (${keyAndTime(layout)}) ORDER BY at`
}

/** How many of the rows, bound as `upsertRows` binds them, are there. */
export const countThese = (layout: TableLayout, range: TimeRange): string =>
  `SELECT count(*)::float8 AS rows FROM ${qualified(layout)} AS kept
  JOIN (SELECT ${keyAndTime(layout)} FROM ${unnestedRows(layout)}) AS these USING (${keyAndTime(layout)})
  WHERE ${inRange(layout, range, 'kept.')}`

/** Puts the one row of each series in place of the one before it, unless that is of a later bar. */
export function upsertOpen(layout: TableLayout): string {
  const columns = [quoteName(layout.timeColumn), ...names(layout.values)]
  const set = [
    ...columns.map((name) => `${name} = excluded.${name}`),
    `${quoteName(layout.stampColumn)} = now()`,
  ]
  const time = quoteName(layout.timeColumn)
  return `INSERT INTO ${qualified(layout)} AS kept (${writtenColumns(layout)})
SELECT * FROM ${unnestedRows(layout)}
ON CONFLICT (${layout.primaryKey.map(quoteName).join(', ')}) DO UPDATE SET ${set.join(', ')}
WHERE kept.${time} <= excluded.${time}`
}

/** Rows of the series in `range` that the batch does not hold. */
export const removeOthers = (layout: TableLayout, series: Series, range: TimeRange): string => {
  const time = quoteName(layout.timeColumn)
  return `DELETE FROM ${qualified(layout)} AS kept WHERE ${ofSeries(layout, series)} AND ${inRange(layout, range)}
  AND NOT EXISTS (SELECT FROM ${STAGE} AS stage WHERE stage.${time} = kept.${time})`
}

export const countRows = (layout: TableLayout, series: Series, range: TimeRange): string =>
  `SELECT count(*)::float8 AS rows FROM ${qualified(layout)} WHERE ${ofSeries(layout, series)} AND ${inRange(layout, range)}`
