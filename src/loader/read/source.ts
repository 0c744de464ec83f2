import type { TimeRange } from '../../model/time.ts'
import {
  DataNotFoundError,
  DataQualityError,
  type ParquetLoaderError,
  SchemaValidationError,
} from '../errors.ts'
import { type Engine, identifier, literal, timestamp } from './engine.ts'

/** Files that together hold a run of time, oldest first. */
export interface Source {
  readonly paths: readonly string[]
}

/** Which columns are read, and how. */
export interface ReadPlan {
  /** The column that holds the time. */
  readonly time: string
  /** Columns given as numbers, in order. */
  readonly columns: readonly string[]
  /** Those of `columns` that are times, given as epoch ms. */
  readonly timeColumns?: readonly string[]
  /** Only rows of this time. */
  readonly range?: TimeRange
  /** Sort by time and keep the last row of each; for sources that are not known to be in order. */
  readonly mend?: boolean
}

const numeric = /^(U?(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)|FLOAT|DOUBLE|BOOLEAN|DECIMAL\(.*\))$/
const naive = /^(TIMESTAMP(_S|_MS|_NS)?|DATE)$/
const zoned = /^TIMESTAMP WITH TIME ZONE$/

type Types = ReadonlyMap<string, string>

/** The column types of each file, by name, in order. @throws DataQualityError `loader.unreadable-file`. */
async function typesOf(engine: Engine, paths: readonly string[]): Promise<Types[]> {
  const parquet = paths.filter((path) => !isJson(path))
  const known = parquet.length > 0 ? await parquetTypes(engine, parquet) : new Map<string, Types>()
  const types: Types[] = []
  for (const path of paths) types.push(known.get(path) ?? (await jsonTypes(engine, path)))
  return types
}

/** All in one query: asked one by one it would take as long as reading them. */
async function parquetTypes(engine: Engine, paths: readonly string[]): Promise<Map<string, Types>> {
  const sql = `SELECT file_name, name, duckdb_type AS type, num_children::DOUBLE AS children FROM parquet_schema(${fileList(paths)})`
  const rows = await engine.rows(sql).catch((cause: unknown) => {
    throw unreadable(paths, cause)
  })
  const all = new Map<string, Map<string, string>>()
  /** Elements still to come that are inside a nested column. */
  let inside = 0
  for (const { file_name, name, type, children } of rows as { [key: string]: string | number | null }[]) {
    const file = all.get(String(file_name))
    if (!file)
      all.set(String(file_name), new Map()) // the first element of a file is its root
    else if (inside > 0) inside += Number(children ?? 0) - 1
    else {
      inside = Number(children ?? 0)
      file.set(String(name), inside > 0 ? 'NESTED' : String(type))
    }
  }
  return all
}

async function jsonTypes(engine: Engine, path: string): Promise<Types> {
  const rows = await engine.rows(`DESCRIBE SELECT * FROM ${table([path])}`).catch((cause: unknown) => {
    throw unreadable([path], cause)
  })
  return new Map(rows.map((row) => [String(row.column_name), String(row.column_type)]))
}

/**
 * A SELECT that gives `t` (DOUBLE, epoch ms) and every column of the plan as DOUBLE under its own name. Rows come file
 * after file as they stand; with `plan.mend` by time, of rows of one time the last of the last file.
 *
 * @throws SchemaValidationError `loader.schema` naming every column that is missing or not of a usable kind.
 * @throws DataQualityError `loader.unreadable-file`.
 */
export async function selectOf(engine: Engine, source: Source, plan: ReadPlan): Promise<string> {
  const names = plan.columns.map(identifier).join(', ')
  const parts = await alike(engine, source.paths)
  const selects = parts.map(({ paths, types }) => selectFiles(paths, types, plan))
  if (!plan.mend) return selects.join(' UNION ALL ')
  const all = selects.map(
    (sql, part) => `SELECT *, ${part} AS __part, row_number() OVER () AS __row FROM (${sql})`,
  )
  return (
    `SELECT t${names && `, ${names}`} FROM (${all.join(' UNION ALL ')}) ` +
    'QUALIFY row_number() OVER (PARTITION BY t ORDER BY __part DESC, __row DESC) = 1 ORDER BY t'
  )
}

interface Part {
  readonly paths: string[]
  readonly types: Types
}

/** Runs of files of one schema: each can be read at once, and DuckDB never has to make one type of two. */
async function alike(engine: Engine, paths: readonly string[]): Promise<Part[]> {
  const parts: Part[] = []
  let schema = ''
  const all = await typesOf(engine, paths)
  paths.forEach((path, i) => {
    const own = JSON.stringify([isJson(path), ...all[i]!])
    if (own === schema) parts.at(-1)!.paths.push(path)
    else parts.push({ paths: [path], types: all[i]! })
    schema = own
  })
  return parts
}

function selectFiles(paths: readonly string[], types: Types, plan: ReadPlan): string {
  const faults: string[] = []
  const time = timeExpression(plan.time, types, faults)
  const values = plan.columns.map((name) => {
    const isTime = plan.timeColumns?.includes(name)
    const sql = isTime ? timeExpression(name, types, faults)?.ms : numberExpression(name, types, faults)
    return `${sql} AS ${identifier(name)}`
  })
  if (faults.length > 0) {
    throw new SchemaValidationError('loader.schema', faults.join('; '), {
      path: paths[0]!,
      value: [...types.keys()],
      hint: 'Correct the column names in the configuration, or write the months again with one schema.',
    })
  }
  const where = plan.range ? ` WHERE ${time!.within(plan.range)}` : ''
  return `SELECT ${[`${time!.ms} AS t`, ...values].join(', ')} FROM ${table(paths)}${where}`
}

interface TimeExpression {
  /** Epoch ms as DOUBLE. */
  readonly ms: string
  /** A condition that DuckDB can answer from row-group statistics, where the type lets it. */
  readonly within: (range: TimeRange) => string
}

function timeExpression(name: string, types: Types, faults: string[]): TimeExpression | undefined {
  const type = types.get(name)
  const column = identifier(name)
  const between = (value: string, cast: string) => (range: TimeRange) =>
    `${value} >= ${timestamp(range.startMs)}${cast} AND ${value} < ${timestamp(range.endMs)}${cast}`
  if (type && naive.test(type)) {
    return { ms: `epoch_ms(${column}::TIMESTAMP)::DOUBLE`, within: between(column, '') }
  }
  if (type && zoned.test(type)) {
    return { ms: `epoch_ms(${column})::DOUBLE`, within: between(column, '::TIMESTAMPTZ') }
  }
  if (type === 'VARCHAR') {
    const value = `${column}::TIMESTAMPTZ`
    return { ms: `epoch_ms(${value})::DOUBLE`, within: between(value, '::TIMESTAMPTZ') }
  }
  faults.push(type ? `column "${name}" is ${type}, not a time` : `column "${name}" is missing`)
  return undefined
}

function numberExpression(name: string, types: Types, faults: string[]): string {
  const type = types.get(name)
  if (!type) faults.push(`column "${name}" is missing`)
  else if (!numeric.test(type)) faults.push(`column "${name}" is ${type}, not a number`)
  return `${identifier(name)}::DOUBLE`
}

const isJson = (path: string): boolean => path.endsWith('.json')

/** Paths are data, never patterns. */
const fileList = (paths: readonly string[]): string =>
  `[${paths.map((path) => literal(path.replace(/[*?[]/g, '[$&]'))).join(', ')}]`

const table = (paths: readonly string[]): string =>
  isJson(paths[0]!) ? `read_json(${fileList(paths)}, format = 'auto')` : `read_parquet(${fileList(paths)})`

/** What DuckDB said of one of some files, as the loader's own error. */
export function unreadable(paths: readonly string[], cause: unknown): ParquetLoaderError {
  const text = String((cause as Error | undefined)?.message ?? cause).split('\n')[0]!
  const path = paths.find((one) => text.includes(one)) ?? paths[0]!
  if (/No files found|Cannot open file|No such file/i.test(text)) {
    return new DataNotFoundError('loader.file-gone', 'the file cannot be read any more', {
      path,
      cause,
      recovery: 'retry',
      hint: 'It may have been replaced meanwhile: run again.',
    })
  }
  return new DataQualityError('loader.unreadable-file', `the file is damaged or not of its kind: ${text}`, {
    path,
    cause,
    hint: 'Write the file again; a lake file is made again by `everybar rebuild --store parquet`.',
  })
}
