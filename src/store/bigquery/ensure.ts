import type { TableField, TableMetadata } from '@google-cloud/bigquery'
import { EverybarError, messageOf } from '../../model/errors.ts'
import type { Api } from './api.ts'
import { type Field, tableFields } from './columns.ts'
import { storeFailure } from './failures.ts'
import type { BigQuerySettings } from './options.ts'

/** Streamed bars are dropped so long after they came; they were merged long before. */
const LIVE_DAYS = 7
const DAY_MS = 86_400_000

export interface SchemaPlan {
  readonly statements: readonly { readonly sql: string; readonly why: string }[]
  readonly notes: readonly string[]
}

const fields = (list: readonly Field[]): TableField[] => list.map((field) => ({ ...field }))

const tableMetadata: TableMetadata = {
  schema: { fields: fields(tableFields) },
  timePartitioning: { type: 'DAY', field: 'timestamp' },
  clustering: { fields: ['exchange', 'symbol'] },
}

const liveMetadata: TableMetadata = {
  schema: { fields: fields(tableFields) },
  timePartitioning: { type: 'DAY', field: 'ingested_at', expirationMs: String(LIVE_DAYS * DAY_MS) },
  clustering: { fields: ['exchange', 'symbol'] },
}

/**
 * Sees to it that dataset and table are there, once. A missing column is added; partitioning and clustering are never
 * touched, because BigQuery refuses to change them: where they differ it is said and the table is used as it is. What
 * fails is said before anything else happens.
 */
export async function ensureTable(api: Api, settings: BigQuerySettings): Promise<void> {
  const { name, dataset, table, onEvent } = settings
  onEvent({ event: 'store_ensure', level: 'info', store: name, dataset, table })
  try {
    const mayChange = settings.schemaMode === 'apply'
    const created = await api.ensureDataset(mayChange)
    if (created && mayChange) say(settings, `dataset ${dataset} made`)
    await ensureOne(api, settings, table, tableMetadata)
  } catch (error) {
    const failure = storeFailure(error, name)
    onEvent({
      event: 'store_ensure_failed',
      level: 'error',
      store: name,
      code: failure.code,
      error: messageOf(failure),
    })
    throw failure
  }
}

/** The table streamed bars wait in, made when the first is streamed. */
export const ensureLiveTable = (api: Api, settings: BigQuerySettings): Promise<void> =>
  ensureOne(api, settings, settings.liveTable, liveMetadata)

async function ensureOne(
  api: Api,
  settings: BigQuerySettings,
  table: string,
  wanted: TableMetadata,
): Promise<void> {
  let found = await api.tableMetadata(table)
  if (!found) {
    if (settings.schemaMode === 'check') throw notThere(settings, table)
    await api.createTable(table, wanted)
    say(settings, `table ${table} made`)
    // Another process may have made it, with other columns.
    found = await api.tableMetadata(table)
    if (!found) return
  }
  const missing = missingFields(found, table)
  for (const difference of partitionDifferences(found, wanted)) {
    const event = { event: 'store_schema_differs', level: 'warn', store: settings.name } as const
    settings.onEvent({ ...event, table, difference })
  }
  if (missing.length === 0) return
  if (settings.schemaMode === 'check') throw notThere(settings, table)
  await api.patchTable(table, { schema: { fields: [...fieldsOf(found), ...fields(missing)] } })
  say(settings, `columns added to ${table}: ${missing.map((field) => field.name).join(', ')}`)
}

const fieldsOf = (found: TableMetadata): TableField[] => {
  const { schema } = found
  return schema !== undefined && typeof schema === 'object' && 'fields' in schema ? (schema.fields ?? []) : []
}

/** The names standard SQL gives the types. */
const alias: Readonly<Record<string, string>> = { FLOAT64: 'FLOAT', INT64: 'INTEGER' }

/** @throws EverybarError `store.schema` (abort) where a column has another type, or one that is not ours is required. */
function missingFields(found: TableMetadata, table: string): Field[] {
  const there = new Map(fieldsOf(found).map((field) => [field.name?.toLowerCase(), field]))
  const differences: string[] = []
  for (const { name, type } of tableFields) {
    const foundType = there.get(name)?.type?.toUpperCase()
    const plain = foundType === undefined ? undefined : (alias[foundType] ?? foundType)
    if (plain !== undefined && plain !== type) differences.push(`column ${name} is ${foundType}, not ${type}`)
  }
  const ours = new Set(tableFields.map(({ name }) => name))
  for (const { name, mode } of there.values()) {
    if (mode === 'REQUIRED' && !ours.has(name!.toLowerCase())) {
      differences.push(`column ${name} is required and not ours`)
    }
  }
  if (differences.length > 0) {
    throw new EverybarError('store.schema', `table ${table} has another shape: ${differences.join('; ')}`, {
      recovery: 'abort',
      hint: 'Name another table; everybar only adds columns that are missing.',
    })
  }
  return tableFields.filter(({ name }) => !there.has(name))
}

function partitionDifferences(found: TableMetadata, wanted: TableMetadata): string[] {
  const partition = ({ timePartitioning: by }: TableMetadata) =>
    by ? `${by.type} of ${by.field ?? 'ingestion time'}` : 'none'
  const clusters = ({ clustering }: TableMetadata) => clustering?.fields?.join(', ') ?? 'none'
  const out: string[] = []
  if (partition(found) !== partition(wanted))
    out.push(`partitions: ${partition(found)}, expected ${partition(wanted)}`)
  if (clusters(found) !== clusters(wanted))
    out.push(`clusters: ${clusters(found)}, expected ${clusters(wanted)}`)
  return out
}

/** The SQL a person could run instead. */
export async function planTable(api: Api, settings: BigQuerySettings): Promise<SchemaPlan> {
  const { project, dataset, table, location } = settings
  const found = await api.tableMetadata(table)
  const name = `\`${project}.${dataset}.${table}\``
  const column = ({ name: columnName, type }: Field) => `\`${columnName}\` ${sqlTypes[type] ?? type}`
  if (found) {
    const missing = missingFields(found, table)
    const statements = missing.map((field) => ({
      sql: `ALTER TABLE ${name} ADD COLUMN IF NOT EXISTS ${column(field)}`,
      why: `column ${table}.${field.name}`,
    }))
    return { statements, notes: [`${table}: there already`, ...partitionDifferences(found, tableMetadata)] }
  }
  return {
    statements: [
      {
        sql: `CREATE SCHEMA IF NOT EXISTS \`${project}.${dataset}\` OPTIONS (location = '${location}')`,
        why: `dataset ${dataset}`,
      },
      {
        sql: `CREATE TABLE IF NOT EXISTS ${name} (\n  ${tableFields.map(column).join(',\n  ')}\n)\nPARTITION BY DATE(\`timestamp\`)\nCLUSTER BY exchange, symbol`,
        why: `table ${table}`,
      },
    ],
    notes: [
      `${settings.liveTable}: made when the first bar is streamed; its partitions go after ${LIVE_DAYS} days`,
    ],
  }
}

const sqlTypes: Partial<Record<Field['type'], string>> = { FLOAT: 'FLOAT64', INTEGER: 'INT64' }

const notThere = ({ dataset }: BigQuerySettings, table: string): EverybarError =>
  new EverybarError('store.schema', `table ${dataset}.${table} is missing, or lacks columns`, {
    recovery: 'abort',
    hint: 'Run `everybar db apply`, or `everybar db plan` to see the SQL.',
  })

const say = ({ name, onEvent }: BigQuerySettings, note: string): void =>
  onEvent({ event: 'store_schema', level: 'info', store: name, note })
