import type { DuckDBConnection } from '@duckdb/node-api'
import type { BarBatch } from '../../model/bar.ts'
import { lakeColumns } from '../../model/lake.ts'
import type { Series } from '../../model/series.ts'
import type { OlderWindow } from '../query.ts'

export const identity = ['venue', 'market', 'symbol', 'timeframe', 'price']
const ROWS_AT_ONCE = 2_048

/**
 * Puts the view `bars` back to an earlier time: bars in the given windows give way to those known then. Held in memory,
 * about 150 bytes an older bar.
 */
export async function overlayOlder(
  connection: DuckDBConnection,
  windows: AsyncIterable<OlderWindow>,
): Promise<void> {
  const texts = identity.map((name) => `${name} VARCHAR`).join(', ')
  await connection.run(`CREATE TABLE everybar.hidden (${texts}, from_ms DOUBLE, to_ms DOUBLE)`)
  const values = lakeColumns.map(({ name }) => `${name} DOUBLE`).join(', ')
  await connection.run(`CREATE TABLE everybar.older (${texts}, ${values})`)
  const hidden = await connection.createAppender('hidden', 'everybar')
  const older = await connection.createAppender('older', 'everybar')
  let rows = 0
  for await (const { series, range, bars } of windows) {
    for (const text of identityOf(series)) hidden.appendVarchar(text)
    hidden.appendDouble(range.startMs)
    hidden.appendDouble(range.endMs)
    hidden.endRow()
    for (let i = 0; i < bars.length; i++) {
      for (const text of identityOf(series)) older.appendVarchar(text)
      for (const { field } of lakeColumns) appendValue(older, cellOf(bars, field, i))
      older.endRow()
      if (++rows % ROWS_AT_ONCE === 0) older.flushSync()
    }
  }
  hidden.closeSync()
  older.closeSync()
}

/** The body of the view while older values are overlaid; `now` is its body without. */
export function viewAsOf(now: string): string {
  const same = identity.map((name) => `h.${name} = n.${name}`).join(' AND ')
  const hidden = `SELECT 1 FROM everybar.hidden h WHERE ${same} AND epoch_ms(n.open_time) >= h.from_ms AND epoch_ms(n.open_time) < h.to_ms`
  const columns = lakeColumns.map(({ name, type }) =>
    type === 'TIMESTAMP'
      ? `make_timestamp((${name} * 1000)::BIGINT) AS ${name}`
      : `${name}::${type} AS ${name}`,
  )
  const older = `SELECT ${[...identity, ...columns].join(', ')} FROM everybar.older`
  return `SELECT * FROM (${now}) n WHERE NOT EXISTS (${hidden}) UNION ALL ${older}`
}

export const identityOf = ({ instrument: { venue, market, symbol }, timeframe, price }: Series) => [
  venue,
  market,
  symbol,
  timeframe,
  price,
]

type Field = (typeof lakeColumns)[number]['field']

function cellOf(bars: BarBatch, field: Field, i: number): number | undefined {
  switch (field) {
    case 'openTimeMs':
    case 'open':
    case 'high':
    case 'low':
    case 'close':
    case 'volume':
      return bars[field][i]
    default:
      return bars.native[field]?.[i]
  }
}

function appendValue(
  appender: { appendDouble: (value: number) => void; appendNull: () => void },
  value?: number,
): void {
  if (value === undefined || Number.isNaN(value)) appender.appendNull()
  else appender.appendDouble(value)
}
