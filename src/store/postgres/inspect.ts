import type { TableLayout } from './layout.ts'
import type { FoundColumn, FoundTable, ServerFacts } from './schema.ts'
import type { Session } from './server.ts'

/** Version of the server, and whether TimescaleDB is installed in this database or could be. */
export async function serverFacts(session: Session): Promise<ServerFacts> {
  const [row] = await session.query<{ version: number; installed: string | null; available: boolean }>(
    `SELECT current_setting('server_version_num')::int AS version,
      (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb') AS installed,
      EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb') AS available`,
  )
  return {
    version: row!.version,
    timescaleAvailable: row!.available,
    ...(row!.installed !== null && { timescale: row!.installed }),
  }
}

/** The table as the server has it; `undefined` when there is none of that name. */
export async function findTable(
  session: Session,
  { schema, table }: TableLayout,
  { timescale }: ServerFacts,
): Promise<FoundTable | undefined> {
  const [relation] = await session.query<{ oid: number; relkind: string }>(
    `SELECT c.oid::int8::float8 AS oid, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = $1 AND c.relname = $2`,
    [schema, table],
  )
  if (!relation) return undefined
  const columns = await session.query<FoundColumn>(
    `SELECT attname AS name, format_type(atttypid, atttypmod) AS type, attnotnull AS "notNull",
       (atthasdef OR attidentity <> '') AS "hasDefault"
     FROM pg_attribute WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum`,
    [relation.oid],
  )
  const uniques = await session.query<{ columns: string[] }>(
    `SELECT array_agg(a.attname::text) AS columns FROM pg_index i
     CROSS JOIN LATERAL unnest(i.indkey::int2[]) AS k (attnum)
     LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
     WHERE i.indrelid = $1::oid AND i.indisunique AND i.indpred IS NULL AND i.indisvalid GROUP BY i.indexrelid`,
    [relation.oid],
  )
  const hypertable = timescale === undefined ? false : await isHypertable(session, schema, table)
  return {
    relkind: relation.relkind,
    columns,
    uniques: uniques.map((unique) => unique.columns),
    hypertable,
    aggregates: hypertable ? await aggregatesIn(session, schema) : [],
  }
}

async function aggregatesIn(session: Session, schema: string): Promise<string[]> {
  const rows = await session.query<{ view_name: string }>(
    'SELECT view_name FROM timescaledb_information.continuous_aggregates WHERE view_schema = $1',
    [schema],
  )
  return rows.map(({ view_name }) => view_name)
}

async function isHypertable(session: Session, schema: string, table: string): Promise<boolean> {
  const rows = await session.query(
    'SELECT FROM timescaledb_information.hypertables WHERE hypertable_schema = $1 AND hypertable_name = $2',
    [schema, table],
  )
  return rows.length > 0
}
