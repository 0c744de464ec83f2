import type { TimeRange } from '../../model/time.ts'
import type { Parameters } from './api.ts'
import { keyNames, type SeriesKey, valueColumns } from './columns.ts'
import type { BigQuerySettings } from './options.ts'

export interface Statement {
  readonly sql: string
  readonly params: Parameters
}

export const tableName = ({ project, dataset }: BigQuerySettings, table: string): string =>
  `\`${project}.${dataset}.${table}\``

const quoted = (names: readonly string[], prefix = ''): string =>
  names.map((name) => `${prefix}\`${name}\``).join(', ')

const valueNames = valueColumns.map(({ name }) => name)
const written = [...keyNames, ...valueNames, 'ingested_at']

const differs = valueNames.map((name) => `kept.\`${name}\` IS DISTINCT FROM fresh.\`${name}\``).join(' OR ')
const taken = valueNames.map((name) => `\`${name}\` = fresh.\`${name}\``).join(', ')

/** Constants, so that only the partitions of the range are read and billed. */
const within = (alias: string, start = 'startMs', end = 'endMs'): string =>
  `${alias}.\`timestamp\` >= TIMESTAMP_MILLIS(@${start}) AND ${alias}.\`timestamp\` < TIMESTAMP_MILLIS(@${end})`

const ofSeries = (alias: string): string =>
  `${alias}.\`exchange\` = @exchange AND ${alias}.\`symbol\` = @symbol AND ${alias}.\`timeframe\` = @timeframe`

/**
 * Merges a loaded table into the bars of one series. Bars that are new are stamped `@stamp`, those that changed one
 * microsecond later: so the second can be asked for afterwards without reading anything before.
 */
export function mergeLoaded(
  settings: BigQuerySettings,
  loadedTable: string,
  key: SeriesKey,
  span: TimeRange,
  stampMicros: number,
  replaces?: TimeRange,
): Statement {
  const columns = valueColumns.map(({ name, loaded, type }) =>
    type === 'TIMESTAMP' ? `TIMESTAMP_MILLIS(\`${loaded}\`) AS \`${name}\`` : `\`${name}\``,
  )
  const removed = `
WHEN NOT MATCHED BY SOURCE AND ${ofSeries('kept')} AND ${within('kept', 'removeStartMs', 'removeEndMs')} THEN DELETE`
  return {
    sql: `MERGE ${tableName(settings, settings.table)} AS kept
USING (SELECT TIMESTAMP_MILLIS(\`open_time_ms\`) AS \`timestamp\`, ${columns.join(', ')} FROM ${tableName(settings, loadedTable)}) AS fresh
ON kept.\`timestamp\` = fresh.\`timestamp\` AND ${ofSeries('kept')} AND ${within('kept')}
WHEN MATCHED AND (${differs}) THEN UPDATE SET ${taken}, \`ingested_at\` = TIMESTAMP_MICROS(@stamp + 1)
WHEN NOT MATCHED THEN INSERT (${quoted(written)})
VALUES (fresh.\`timestamp\`, @exchange, @symbol, @timeframe, ${quoted(valueNames, 'fresh.')}, TIMESTAMP_MICROS(@stamp))${replaces ? removed : ''}`,
    params: {
      ...key,
      startMs: span.startMs,
      endMs: span.endMs,
      stamp: stampMicros,
      ...(replaces && { removeStartMs: replaces.startMs, removeEndMs: replaces.endMs }),
    },
  }
}

/** The first hundred bars a `mergeLoaded` of that stamp changed. */
export const revisedBars = (
  settings: BigQuerySettings,
  key: SeriesKey,
  span: TimeRange,
  stampMicros: number,
): Statement => ({
  sql: `SELECT UNIX_MILLIS(kept.\`timestamp\`) AS open_ms FROM ${tableName(settings, settings.table)} AS kept
WHERE ${ofSeries('kept')} AND ${within('kept')} AND kept.\`ingested_at\` = TIMESTAMP_MICROS(@stamp + 1)
ORDER BY open_ms LIMIT 100`,
  params: { ...key, startMs: span.startMs, endMs: span.endMs, stamp: stampMicros },
})

/** How many streamed bars are not merged yet, where they open, and the last stamp of them. */
export const pendingLive = (settings: BigQuerySettings, since: number): Statement => ({
  sql: `SELECT COUNT(*) AS bars, UNIX_MILLIS(MIN(\`timestamp\`)) AS first, UNIX_MILLIS(MAX(\`timestamp\`)) AS last,
UNIX_MICROS(MAX(\`ingested_at\`)) AS stamped
FROM ${tableName(settings, settings.liveTable)} WHERE \`ingested_at\` > TIMESTAMP_MICROS(@since)`,
  params: { since },
})

/** Where streamed bars of a series open. */
export const streamedTimes = (
  settings: BigQuerySettings,
  key: SeriesKey,
  range: TimeRange,
  since: number,
): Statement => ({
  sql: `SELECT DISTINCT UNIX_MILLIS(kept.\`timestamp\`) AS open_ms FROM ${tableName(settings, settings.liveTable)} AS kept
WHERE ${ofSeries('kept')} AND ${within('kept')} AND kept.\`ingested_at\` > TIMESTAMP_MICROS(@since)`,
  params: rangeParams(key, range, since),
})

/**
 * Merges streamed bars that open in `span`, the last of each; one the table has had something newer for is left. A row
 * without a price says that the bar was taken back. What came in the meantime and opens elsewhere is for the next merge:
 * the rows of the table it may match are not read.
 */
export const mergeLive = (
  settings: BigQuerySettings,
  span: TimeRange,
  since: number,
  until: number,
): Statement => ({
  sql: `MERGE ${tableName(settings, settings.table)} AS kept
USING (
  SELECT ${quoted(written)} FROM ${tableName(settings, settings.liveTable)} AS live
  WHERE \`ingested_at\` > TIMESTAMP_MICROS(@since) AND \`ingested_at\` <= TIMESTAMP_MICROS(@until) AND ${within('live')}
  QUALIFY ROW_NUMBER() OVER (PARTITION BY ${quoted(keyNames)} ORDER BY \`ingested_at\` DESC) = 1
) AS fresh
ON ${keyNames.map((name) => `kept.\`${name}\` = fresh.\`${name}\``).join(' AND ')} AND ${within('kept')}
WHEN MATCHED AND fresh.\`ingested_at\` > kept.\`ingested_at\` AND fresh.\`open\` IS NULL THEN DELETE
WHEN MATCHED AND fresh.\`ingested_at\` > kept.\`ingested_at\` AND (${differs}) THEN UPDATE SET ${taken}, \`ingested_at\` = fresh.\`ingested_at\`
WHEN NOT MATCHED AND fresh.\`open\` IS NOT NULL THEN INSERT (${quoted(written)})
VALUES (${quoted(written, 'fresh.')})`,
  params: { startMs: span.startMs, endMs: span.endMs, since, until },
})

/** Bars of the series, and those streamed since the last merge. @param of the condition that names the series */
function unioned(
  settings: BigQuerySettings,
  columns: readonly string[],
  liveSince: number | undefined,
  of = ofSeries('kept'),
): string {
  const part = (table: string, rest = '') =>
    `SELECT ${quoted(columns, 'kept.')} FROM ${tableName(settings, table)} AS kept WHERE ${of} AND ${within('kept')}${rest}`
  const target = part(settings.table)
  if (liveSince === undefined) return target
  return `${target} UNION ALL ${part(settings.liveTable, ' AND kept.`ingested_at` > TIMESTAMP_MICROS(@since)')}`
}

const rangeParams = (key: SeriesKey, range: TimeRange, liveSince: number | undefined): Parameters => ({
  ...key,
  startMs: range.startMs,
  endMs: range.endMs,
  ...(liveSince !== undefined && { since: liveSince }),
})

/** Time in ms and values of a series, ascending; of several rows of one bar the last is the one that counts. */
export function readBars(
  settings: BigQuerySettings,
  key: SeriesKey,
  range: TimeRange,
  liveSince: number | undefined,
): Statement {
  const columns = valueColumns.map(({ name, type }) =>
    type === 'TIMESTAMP' ? `UNIX_MILLIS(\`${name}\`) AS \`${name}\`` : `\`${name}\``,
  )
  const names = ['timestamp', ...valueNames, 'ingested_at']
  return {
    sql: `SELECT UNIX_MILLIS(\`timestamp\`) AS open_ms, ${columns.join(', ')}
FROM (${unioned(settings, names, liveSince)}) AS bars ORDER BY open_ms, \`ingested_at\``,
    params: rangeParams(key, range, liveSince),
  }
}

/** Symbols hold no control character, and nothing else of a key a space: no two keys are one text. */
const lineOf = ({ exchange, symbol, timeframe }: SeriesKey): string => `${exchange} ${symbol} ${timeframe}\n`

/** As `readBars`, of several series at once, after the columns of their key; the stamp, in microseconds, is the last. */
export function readManyBars(
  settings: BigQuerySettings,
  keys: readonly SeriesKey[],
  range: TimeRange,
  liveSince: number | undefined,
): Statement {
  const key = ['exchange', 'symbol', 'timeframe']
  const columns = valueColumns.map(({ name, type }) =>
    type === 'TIMESTAMP' ? `UNIX_MILLIS(\`${name}\`) AS \`${name}\`` : `\`${name}\``,
  )
  const names = [...keyNames, ...valueNames, 'ingested_at']
  // One series is named by its columns: the table is clustered by them.
  const [only] = keys.length === 1 ? keys : []
  const line = `CONCAT(@newline, kept.\`exchange\`, ' ', kept.\`symbol\`, ' ', kept.\`timeframe\`, @newline)`
  const of = only ? ofSeries('kept') : `STRPOS(@keys, ${line}) > 0`
  return {
    sql: `SELECT ${quoted(key)}, UNIX_MILLIS(\`timestamp\`) AS open_ms, ${columns.join(', ')},
UNIX_MICROS(\`ingested_at\`) AS stamped
FROM (${unioned(settings, names, liveSince, of)}) AS bars ORDER BY ${quoted(key)}, open_ms, \`ingested_at\``,
    params: {
      ...(only ?? { keys: `\n${keys.map(lineOf).join('')}`, newline: '\n' }),
      startMs: range.startMs,
      endMs: range.endMs,
      ...(liveSince !== undefined && { since: liveSince }),
    },
  }
}

/** How many bars there are in a range, the first and the last. */
export function readExtent(
  settings: BigQuerySettings,
  key: SeriesKey,
  range: TimeRange,
  liveSince: number | undefined,
): Statement {
  const columns = ['timestamp', 'open', 'ingested_at']
  const last = `SELECT \`timestamp\`, \`open\` FROM (${unioned(settings, columns, liveSince)}) AS bars WHERE TRUE
QUALIFY ROW_NUMBER() OVER (PARTITION BY \`timestamp\` ORDER BY \`ingested_at\` DESC) = 1`
  const bars = liveSince === undefined ? unioned(settings, ['timestamp', 'open'], undefined) : last
  return {
    sql: `SELECT COUNT(DISTINCT \`timestamp\`) AS bars, UNIX_MILLIS(MIN(\`timestamp\`)) AS first, UNIX_MILLIS(MAX(\`timestamp\`)) AS last
FROM (${bars}) AS bars WHERE \`open\` IS NOT NULL`,
    params: rangeParams(key, range, liveSince),
  }
}
