import { existsSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { EverybarError } from '../../model/errors.ts'
import type { InstrumentEntry, InstrumentLine } from '../../model/instrument-line.ts'
import type { EpochMs } from '../../model/time.ts'
import { corrupt, newerVersion } from '../faults.ts'
import type { InstrumentBook, InstrumentChanges, InstrumentFilter } from '../instruments.ts'
import { sqliteFault } from './faults.ts'

const schema = `
  CREATE TABLE instrument (
    venue TEXT NOT NULL,
    exchange TEXT NOT NULL,
    symbol TEXT NOT NULL,
    token TEXT NOT NULL,
    exchange_token TEXT NOT NULL,
    name TEXT NOT NULL,
    expiry TEXT,
    strike REAL NOT NULL,
    tick_size REAL NOT NULL,
    lot_size REAL NOT NULL,
    type TEXT NOT NULL,
    segment TEXT NOT NULL,
    series_symbol TEXT NOT NULL,
    token_key TEXT NOT NULL,
    first_seen_ms INTEGER NOT NULL,
    last_seen_ms INTEGER NOT NULL,
    gone_ms INTEGER,
    PRIMARY KEY (venue, exchange, symbol, token)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX instrument_by_token ON instrument (venue, token);
`
const VERSION = 1
/** \`evbi\`: tells our database from any other SQLite file. */
const APPLICATION_ID = 0x65766269

/**
 * The book in one SQLite file. Read-only where nothing is there yet, it reads as empty.
 *
 * @throws EverybarError as `InstrumentBook` says.
 */
export function openInstrumentBook(options: {
  readonly path: string
  readonly readOnly?: boolean
}): InstrumentBook {
  return new SqliteBook(options.path, options.readOnly ?? false)
}

class SqliteBook implements InstrumentBook {
  readonly #db: DatabaseSync
  readonly #path: string

  constructor(path: string, readOnly: boolean) {
    this.#path = path
    this.#db = this.#run(() => open(path, readOnly))
  }

  update(
    venue: string,
    lines: readonly InstrumentLine[],
    options: { readonly seenAtMs: EpochMs; readonly exchanges: readonly string[]; readonly accept?: boolean },
  ): InstrumentChanges {
    return this.#run(() => {
      this.#db.exec('BEGIN IMMEDIATE')
      try {
        const changes = new Update(this.#db, venue, options.seenAtMs).take(lines, options)
        this.#db.exec('COMMIT')
        return changes
      } catch (error) {
        if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
        throw error
      }
    })
  }

  list(filter: InstrumentFilter = {}): readonly InstrumentEntry[] {
    return this.#run(() => {
      const { where, values } = conditions(filter)
      const sql = `SELECT * FROM instrument WHERE ${where} ORDER BY venue, exchange, symbol, token`
      return (this.#db.prepare(sql).all(...values) as unknown as Row[]).map(entryOf)
    })
  }

  lastSeenMs(venue: string): EpochMs | undefined {
    return this.#run(() => {
      const row = this.#db
        .prepare('SELECT max(last_seen_ms) AS ms FROM instrument WHERE venue = ?')
        .get(venue)
      return (row as { ms: number | null }).ms ?? undefined
    })
  }

  [Symbol.dispose](): void {
    if (this.#db.isOpen) this.#db.close()
  }

  #run<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw sqliteFault(error, this.#path)
    }
  }
}

function open(path: string, readOnly: boolean): DatabaseSync {
  if (readOnly && !existsSync(path)) {
    const db = new DatabaseSync(':memory:')
    db.exec(schema)
    return db
  }
  if (!readOnly && path !== ':memory:') mkdirSync(dirname(path), { recursive: true })
  const db = new DatabaseSync(path, { readOnly, timeout: 5_000 })
  try {
    const version = pragma(db, 'user_version')
    const tables = db.prepare('SELECT count(*) AS n FROM sqlite_schema').get() as { n: number }
    if (tables.n > 0 && pragma(db, 'application_id') !== APPLICATION_ID)
      throw corrupt(path, 'it is the database of another program')
    if (version > VERSION) throw newerVersion(path, version, VERSION)
    if (version === 0) {
      db.exec(`BEGIN IMMEDIATE; ${schema} PRAGMA application_id = ${APPLICATION_ID};
        PRAGMA user_version = ${VERSION}; COMMIT`)
    }
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

const pragma = (db: DatabaseSync, name: string): number =>
  Number(Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0])

interface Row {
  readonly [column: string]: string | number | null
}

const entryOf = (row: Row): InstrumentEntry => ({
  venue: String(row.venue),
  exchange: String(row.exchange),
  symbol: String(row.symbol),
  token: String(row.token),
  exchangeToken: String(row.exchange_token),
  name: String(row.name),
  expiry: row.expiry === null ? null : String(row.expiry),
  strike: Number(row.strike),
  tickSize: Number(row.tick_size),
  lotSize: Number(row.lot_size),
  type: String(row.type),
  segment: String(row.segment),
  seriesSymbol: String(row.series_symbol),
  tokenKey: String(row.token_key),
  firstSeenMs: Number(row.first_seen_ms),
  lastSeenMs: Number(row.last_seen_ms),
  goneMs: row.gone_ms === null ? null : Number(row.gone_ms),
})

/** One list taken in, within one transaction. */
class Update {
  readonly #db: DatabaseSync
  readonly #venue: string
  readonly #seenAtMs: EpochMs
  readonly #before: readonly InstrumentEntry[]
  readonly #byKey = new Map<string, InstrumentEntry>()
  /** Who was the first to have a symbol, and a token. */
  readonly #symbols = new Set<string>()
  readonly #tokens = new Set<string>()

  constructor(db: DatabaseSync, venue: string, seenAtMs: EpochMs) {
    this.#db = db
    this.#venue = venue
    this.#seenAtMs = seenAtMs
    const rows = db.prepare('SELECT * FROM instrument WHERE venue = ?').all(venue) as unknown as Row[]
    this.#before = rows.map(entryOf)
    for (const entry of this.#before) {
      this.#byKey.set(keyOf(entry), entry)
      this.#symbols.add(symbolOf(entry))
      this.#tokens.add(entry.token)
    }
  }

  take(
    given: readonly InstrumentLine[],
    { exchanges, accept }: { readonly exchanges: readonly string[]; readonly accept?: boolean },
  ): InstrumentChanges {
    const lines = [...new Map(given.map((line) => [line.token, line])).values()]
    const covered = new Set(exchanges)
    const live = this.#before.filter(({ goneMs, exchange }) => goneMs === null && covered.has(exchange))
    if (!accept) refuseShort(live, lines, exchanges)
    const counts = { added: 0, changed: 0, unchanged: 0, returned: 0 }
    const write = this.#writer()
    for (const line of lines) counts[write(line)]++
    const listed = new Set(lines.map(keyOf))
    const expired = live.filter((entry) => !listed.has(keyOf(entry)))
    const gone = this.#db.prepare(
      'UPDATE instrument SET gone_ms = ? WHERE venue = ? AND exchange = ? AND symbol = ? AND token = ?',
    )
    for (const { exchange, symbol, token } of expired)
      gone.run(this.#seenAtMs, this.#venue, exchange, symbol, token)
    return {
      ...counts,
      listed: lines.length,
      expired: expired.map((entry) => ({ ...entry, goneMs: this.#seenAtMs })),
      ...ownersOf(live, lines),
    }
  }

  #writer(): (line: InstrumentLine) => 'added' | 'changed' | 'unchanged' | 'returned' {
    const insert = this.#db.prepare(
      `INSERT OR REPLACE INTO instrument VALUES (${Array.from({ length: 17 }, () => '?').join(', ')})`,
    )
    const seen = this.#db.prepare(
      'UPDATE instrument SET last_seen_ms = ? WHERE venue = ? AND exchange = ? AND symbol = ? AND token = ?',
    )
    return (line) => {
      const old = this.#byKey.get(keyOf(line))
      if (old && old.goneMs === null && sameLine(old, line)) {
        seen.run(this.#seenAtMs, this.#venue, line.exchange, line.symbol, line.token)
        return 'unchanged'
      }
      const { seriesSymbol, tokenKey } = old ?? this.#nameNew(line)
      insert.run(
        ...[this.#venue, line.exchange, line.symbol, line.token, line.exchangeToken, line.name, line.expiry],
        ...[line.strike, line.tickSize, line.lotSize, line.type, line.segment, seriesSymbol, tokenKey],
        ...[old?.firstSeenMs ?? this.#seenAtMs, this.#seenAtMs, null],
      )
      return !old ? 'added' : old.goneMs === null ? 'changed' : 'returned'
    }
  }

  #nameNew(line: InstrumentLine): { readonly seriesSymbol: string; readonly tokenKey: string } {
    const symbolTaken = this.#symbols.has(symbolOf(line))
    const tokenTaken = this.#tokens.has(line.token)
    this.#symbols.add(symbolOf(line))
    this.#tokens.add(line.token)
    return {
      seriesSymbol: symbolTaken ? `${line.symbol}#${line.token}` : line.symbol,
      tokenKey: tokenTaken ? `${line.token}:${line.symbol}` : line.token,
    }
  }
}

const symbolOf = ({ exchange, symbol }: InstrumentLine): string => `${exchange} ${symbol}`
const keyOf = (line: InstrumentLine): string => `${symbolOf(line)} ${line.token}`

const compared = [
  'exchangeToken',
  'name',
  'expiry',
  'strike',
  'tickSize',
  'lotSize',
  'type',
  'segment',
] as const
const sameLine = (a: InstrumentLine, b: InstrumentLine): boolean =>
  compared.every((field) => a[field] === b[field])

/** Tokens and symbols that stand for something else than before. */
function ownersOf(live: readonly InstrumentEntry[], lines: readonly InstrumentLine[]) {
  const byToken = new Map(live.map((entry) => [entry.token, entry]))
  const bySymbol = new Map(live.map((entry) => [symbolOf(entry), entry]))
  const newOwners = lines.flatMap((line) => {
    const old = byToken.get(line.token)
    if (!old || symbolOf(old) === symbolOf(line)) return []
    return [{ token: line.token, from: symbolOf(old), to: symbolOf(line) }]
  })
  const newTokens = lines.flatMap((line) => {
    const old = bySymbol.get(symbolOf(line))
    if (!old || old.token === line.token) return []
    return [{ exchange: line.exchange, symbol: line.symbol, from: old.token, to: line.token }]
  })
  return { newOwners, newTokens }
}

/** A list cut short by a fault would expire half a market. */
function refuseShort(
  live: readonly InstrumentEntry[],
  lines: readonly InstrumentLine[],
  exchanges: readonly string[],
): void {
  for (const exchange of exchanges) {
    const before = live.filter((entry) => entry.exchange === exchange).length
    const now = lines.filter((line) => line.exchange === exchange).length
    if (before < 20 || now * 2 >= before) continue
    throw new EverybarError(
      'ledger.list-too-short',
      `${exchange} lists ${now} instruments, and had ${before}`,
      {
        recovery: 'abort',
        hint: 'The list may have been cut. Try again later; if it is right, add --accept.',
      },
    )
  }
}

function conditions(filter: InstrumentFilter): { readonly where: string; readonly values: string[] } {
  const parts = [filter.gone === 'only' ? 'gone_ms IS NOT NULL' : filter.gone ? '1' : 'gone_ms IS NULL']
  const values: string[] = []
  const anyOf = (column: string, words: readonly string[] | undefined) => {
    if (!words || words.length === 0) return
    parts.push(`upper(${column}) IN (${words.map(() => '?').join(', ')})`)
    values.push(...words.map((word) => word.toUpperCase()))
  }
  const compare = (sql: string, value: string | undefined) => {
    if (value === undefined) return
    parts.push(sql)
    values.push(value)
  }
  compare('venue = ?', filter.venue)
  anyOf('type', filter.types)
  anyOf('exchange', filter.exchanges)
  anyOf('segment', filter.segments)
  compare('expiry >= ?', filter.expiryFrom)
  compare('expiry <= ?', filter.expiryTo)
  if (filter.symbols && filter.symbols.length > 0) {
    parts.push(`(${filter.symbols.map(() => 'upper(symbol) GLOB ?').join(' OR ')})`)
    // Brackets are letters of symbols here, and a set to GLOB.
    values.push(...filter.symbols.map((symbol) => symbol.toUpperCase().replace(/\[/g, '[[]')))
  }
  return { where: parts.join(' AND '), values }
}
