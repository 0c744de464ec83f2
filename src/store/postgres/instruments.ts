import type { InstrumentEntry } from '../../model/instrument-line.ts'
import type { PostgresStoreOptions } from './options.ts'
import { settingsOf } from './options.ts'
import { Server } from './server.ts'
import { qualified, quoteName, quoteText } from './sql.ts'

/** One instrument as its table has it. */
export type InstrumentRow = Omit<InstrumentEntry, 'venue' | 'seriesSymbol'>

interface Column {
  readonly name: string
  readonly type: string
  readonly key?: boolean
  readonly of: (row: InstrumentRow) => unknown
}

const time = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString())

const columns: readonly Column[] = [
  { name: 'instrument_token', type: 'varchar(50)', key: true, of: ({ token }) => token },
  { name: 'exchange', type: 'varchar(10)', key: true, of: ({ exchange }) => exchange },
  { name: 'tradingsymbol', type: 'text', key: true, of: ({ symbol }) => symbol },
  { name: 'exchange_token', type: 'text', of: ({ exchangeToken }) => exchangeToken },
  { name: 'name', type: 'text', of: ({ name }) => name },
  { name: 'expiry', type: 'date', of: ({ expiry }) => expiry },
  { name: 'strike', type: 'float8', of: ({ strike }) => strike },
  { name: 'tick_size', type: 'float8', of: ({ tickSize }) => tickSize },
  { name: 'lot_size', type: 'float8', of: ({ lotSize }) => lotSize },
  { name: 'instrument_type', type: 'text', of: ({ type }) => type },
  { name: 'segment', type: 'text', of: ({ segment }) => segment },
  { name: 'token_key', type: 'varchar(50)', of: ({ tokenKey }) => tokenKey },
  { name: 'first_seen', type: 'timestamptz', of: ({ firstSeenMs }) => time(firstSeenMs) },
  { name: 'last_seen', type: 'timestamptz', of: ({ lastSeenMs }) => time(lastSeenMs) },
  { name: 'gone', type: 'timestamptz', of: ({ goneMs }) => time(goneMs) },
]

const ROWS_AT_ONCE = 10_000

/**
 * Makes a table of instruments hold these rows, in one transaction; makes the table where it is missing. Rows are never
 * removed: what left a list has `gone` set. Gives the rows that were new or had changed.
 *
 * @throws EverybarError `store.unreachable` (retry), `store.schema` and others (abort), as commits do.
 */
export async function writeInstruments(
  options: PostgresStoreOptions,
  table: string,
  rows: readonly InstrumentRow[],
): Promise<number> {
  const { schema } = settingsOf(options)
  const name = qualified({ schema, table })
  const server = new Server(options)
  try {
    return await server.run(async (session) => {
      const lock = `hashtextextended(${quoteText(`everybar schema ${name}`)}, 0)`
      await session.query(`BEGIN; SELECT pg_advisory_xact_lock(${lock})`)
      await session.query(createTable(name))
      let changed = 0
      for (let from = 0; from < rows.length; from += ROWS_AT_ONCE) {
        const part = rows.slice(from, from + ROWS_AT_ONCE)
        const values = columns.map(({ of }) => part.map(of))
        changed += (await session.query(upsert(name), values)).length
      }
      await session.command('COMMIT')
      return changed
    })
  } finally {
    await server.close()
  }
}

const named = (of: readonly Column[]): string => of.map(({ name }) => quoteName(name)).join(', ')
const key = columns.filter((column) => column.key)
const rest = columns.filter((column) => !column.key)

const createTable = (name: string): string => `CREATE TABLE IF NOT EXISTS ${name} (
  ${columns.map((column) => `${quoteName(column.name)} ${column.type}${column.key ? ' NOT NULL' : ''}`).join(',\n  ')},
  PRIMARY KEY (${named(key)}))`

function upsert(name: string): string {
  const arrays = columns.map(({ type }, i) => `$${i + 1}::${type.replace(/\(.*/, '')}[]`).join(', ')
  // `last_seen` moves every day: it alone is no change.
  const told = rest.filter(({ name: column }) => column !== 'last_seen')
  const list = (of: readonly Column[], prefix: string) =>
    of.map((c) => `${prefix}${quoteName(c.name)}`).join(', ')
  return `WITH given AS (SELECT * FROM unnest(${arrays}) AS u (${named(columns)})),
  changed AS (SELECT given.* FROM given LEFT JOIN ${name} t USING (${named(key)})
    WHERE t.first_seen IS NULL OR (${list(told, 't.')}) IS DISTINCT FROM (${list(told, 'given.')})),
  written AS (INSERT INTO ${name} (${named(columns)}) SELECT ${named(columns)} FROM given
    ON CONFLICT (${named(key)}) DO UPDATE SET ${rest.map((c) => `${quoteName(c.name)} = excluded.${quoteName(c.name)}`).join(', ')}
    RETURNING 1)
  SELECT 1 FROM changed`
}
