import { EverybarError } from '../../model/errors.ts'
import type { TableLayout } from './layout.ts'
import type { PostgresSettings } from './options.ts'
import { qualified, quoteName } from './sql.ts'
import { aggregateStatements, timescaleStatements } from './timescale.ts'

export interface PlannedStatement {
  readonly sql: string
  /** In a few words, for people. */
  readonly why: string
}

/** What `applySchema` would run. No statements: the tables are as they should be. */
export interface SchemaPlan {
  readonly statements: readonly PlannedStatement[]
  /** How the tables are kept and what was found, for people. */
  readonly notes: readonly string[]
}

export interface FoundColumn {
  readonly name: string
  /** As `format_type` writes it: `double precision`, `character varying(50)`. */
  readonly type: string
  readonly notNull: boolean
  readonly hasDefault: boolean
}

/** What the server says of one table. */
export interface FoundTable {
  /** `r` ordinary, `p` partitioned; anything else cannot be written to. */
  readonly relkind: string
  readonly columns: readonly FoundColumn[]
  /** Columns of every unique index without a condition. */
  readonly uniques: readonly (readonly string[])[]
  readonly hypertable: boolean
  /** Continuous aggregates in its schema. */
  readonly aggregates: readonly string[]
}

export interface ServerFacts {
  /** 180004 for 18.4. */
  readonly version: number
  /** Of the extension where it is installed in this database: `2.20.1`. */
  readonly timescale?: string
  /** Whether it could be installed. */
  readonly timescaleAvailable: boolean
}

const sqlType = {
  float8: 'double precision',
  int8: 'bigint',
  timestamptz: 'timestamp with time zone',
} as const

const column = (name: string, type: string, rest: string) => `  ${quoteName(name)} ${type}${rest}`

/** The table, without how it is partitioned. */
function createTable(layout: TableLayout, partitioned: boolean): string {
  const columns = [
    ...layout.key.map(({ name, type }) => column(name, type, ' NOT NULL')),
    column(layout.timeColumn, sqlType.timestamptz, ' NOT NULL'),
    ...layout.values.map(({ name, type, required }) =>
      column(name, sqlType[type], required ? ' NOT NULL' : ''),
    ),
    column(layout.stampColumn, sqlType.timestamptz, ' NOT NULL DEFAULT now()'),
    `  PRIMARY KEY (${layout.primaryKey.map(quoteName).join(', ')})`,
  ]
  const by = partitioned ? ` PARTITION BY RANGE (${quoteName(layout.timeColumn)})` : ''
  return `CREATE TABLE IF NOT EXISTS ${qualified(layout)} (\n${columns.join(',\n')}\n)${by}`
}

const createIndexes = (layout: TableLayout): PlannedStatement[] =>
  layout.indexes.map(({ suffix, using }) => ({
    sql: `CREATE INDEX IF NOT EXISTS ${quoteName(`${layout.table}_${suffix}`)} ON ${qualified(layout)} USING ${using}`,
    why: `index ${layout.table}_${suffix}`,
  }))

/**
 * The SQL that makes `layout` out of what is there. Adds what is missing and changes nothing else.
 *
 * @throws EverybarError `store.schema` (abort) where what is there has another shape, or the server is too old.
 */
export function planTable(
  layout: TableLayout,
  settings: PostgresSettings,
  server: ServerFacts,
  found: FoundTable | undefined,
): SchemaPlan {
  if (server.version < 130_000) throw tooOld(server.version)
  const timescale = usesTimescale(settings, server) && !layout.ordinary
  if (found) return completeTable(layout, settings, found)
  const monthly = !timescale && settings.partitions === 'month' && !layout.ordinary
  const statements = [
    { sql: createTable(layout, monthly), why: `table ${layout.table}` },
    ...createIndexes(layout),
    ...(timescale ? timescaleStatements(layout, settings, server.timescale!) : []),
  ]
  const kept = timescale
    ? `${layout.table}: hypertable of TimescaleDB ${server.timescale}`
    : monthly
      ? `${layout.table}: a partition for each calendar month, made when its first bar comes`
      : `${layout.table}: one ordinary table`
  const notes = [kept]
  if (!timescale && !layout.ordinary && server.timescaleAvailable && settings.timescale === 'auto') {
    notes.push('TimescaleDB could be installed: CREATE EXTENSION timescaledb, before the table is made')
  }
  return { statements, notes }
}

function usesTimescale(settings: PostgresSettings, server: ServerFacts): boolean {
  if (settings.timescale === 'off') return false
  if (server.timescale !== undefined) return true
  if (settings.timescale === 'auto') return false
  throw new EverybarError('store.schema', 'TimescaleDB is asked for and not installed in this database', {
    recovery: 'abort',
    hint: server.timescaleAvailable
      ? 'Run CREATE EXTENSION timescaledb as a superuser, or set timescale to auto.'
      : 'Install the TimescaleDB packages on the server, or set timescale to auto.',
  })
}

function completeTable(layout: TableLayout, settings: PostgresSettings, found: FoundTable): SchemaPlan {
  const differences = differencesOf(layout, found)
  if (differences.length > 0) {
    throw new EverybarError(
      'store.schema',
      `${qualified(layout)} has another shape: ${differences.join('; ')}`,
      {
        recovery: 'abort',
        hint: 'Name another table, or change this one; everybar only adds columns that are missing.',
      },
    )
  }
  const there = new Set(found.columns.map(({ name }) => name))
  const add = (name: string, type: string, rest = '') => ({
    sql: `ALTER TABLE ${qualified(layout)} ADD COLUMN IF NOT EXISTS ${quoteName(name)} ${type}${rest}`,
    why: `column ${layout.table}.${name}`,
  })
  const statements: PlannedStatement[] = layout.values
    .filter(({ name }) => !there.has(name))
    .map(({ name, type }) => add(name, sqlType[type]))
  if (!there.has(layout.stampColumn)) {
    statements.push(add(layout.stampColumn, sqlType.timestamptz, ' DEFAULT now()'))
  }
  if (found.hypertable) statements.push(...aggregateStatements(layout, settings, found.aggregates))
  return { statements, notes: [`${layout.table}: there already`] }
}

/** What keeps bars from being written to the table as it is, in words; a column only missing is no difference. */
export function differencesOf(layout: TableLayout, found: FoundTable): string[] {
  const out: string[] = []
  if (found.relkind !== 'r' && found.relkind !== 'p') out.push('it is not a table')
  const there = new Map(found.columns.map((c) => [c.name, c]))
  const expect = (name: string, types: readonly string[], mayMiss: boolean) => {
    const type = there.get(name)?.type
    if (type === undefined && !mayMiss) out.push(`column ${name} is missing`)
    const plain = type?.replace(/\(\d+\)$/, '')
    if (plain !== undefined && !types.includes(plain)) out.push(`column ${name} is ${type}, not ${types[0]}`)
  }
  for (const { name } of layout.key) expect(name, ['text', 'character varying'], false)
  expect(layout.timeColumn, [sqlType.timestamptz], false)
  for (const { name, type, required } of layout.values) expect(name, [sqlType[type]], !required)
  expect(layout.stampColumn, [sqlType.timestamptz], true)
  const written = new Set([...layout.primaryKey, layout.timeColumn, ...layout.values.map(({ name }) => name)])
  for (const { name, notNull, hasDefault } of found.columns) {
    if (notNull && !hasDefault && !written.has(name))
      out.push(`column ${name} is not ours, NOT NULL and without default`)
  }
  const key = [...layout.primaryKey].sort().join()
  if (!found.uniques.some((unique) => [...unique].sort().join() === key)) {
    out.push(`no primary key or unique index on (${layout.primaryKey.join(', ')})`)
  }
  return out
}

const tooOld = (version: number): EverybarError =>
  new EverybarError('store.schema', `PostgreSQL ${Math.floor(version / 10_000)} is too old`, {
    recovery: 'abort',
    hint: 'PostgreSQL 13 or later is needed.',
  })

/** The SQL of a plan as one text a person can read and run. */
export const planText = ({ statements, notes }: SchemaPlan): string =>
  [...notes.map((note) => `-- ${note}`), ...statements.map(({ sql }) => `${sql};`)].join('\n\n') + '\n'
