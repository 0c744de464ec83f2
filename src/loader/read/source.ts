import type { TimeRange } from '../../model/time.ts'
import {
  DataNotFoundError,
  DataQualityError,
  type ParquetLoaderError,
  SchemaValidationError,
} from '../errors.ts'
import { type Engine, identifier, literal, timestamp } from './engine.ts'

/** Files that together hold a run of time, oldest first: where two have a row of one time, the later file's is taken. */
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

/** The column types of one file, by name, in order. @throws DataQualityError `loader.unreadable-file`. */
export async function typesOf(engine: Engine, path: string): Promise<ReadonlyMap<string, string>> {
  const rows = await engine.rows(`DESCRIBE SELECT * FROM ${table(path)}`).catch((cause: unknown) => {
    throw unreadable(path, cause)
  })
  return new Map(rows.map((row) => [String(row.column_name), String(row.column_type)]))
}

/**
 * A SELECT that gives `t` (DOUBLE, epoch ms) and every column of the plan as DOUBLE under its own name.
 *
 * @throws SchemaValidationError `loader.schema` naming every column that is missing or not of a usable kind.
 * @throws DataQualityError `loader.unreadable-file`.
 */
export async function selectOf(engine: Engine, source: Source, plan: ReadPlan): Promise<string> {
  const names = plan.columns.map(identifier).join(', ')
  const layers: string[] = []
  for (const path of source.paths) layers.push(selectFile(path, await typesOf(engine, path), plan))
  if (layers.length === 1 && !plan.mend) return layers[0]!
  const all = layers.map(
    (sql, layer) => `SELECT *, ${layer} AS __layer, row_number() OVER () AS __row FROM (${sql})`,
  )
  return (
    `SELECT t${names && `, ${names}`} FROM (${all.join(' UNION ALL ')}) ` +
    'QUALIFY row_number() OVER (PARTITION BY t ORDER BY __layer DESC, __row DESC) = 1 ORDER BY t'
  )
}

function selectFile(path: string, types: ReadonlyMap<string, string>, plan: ReadPlan): string {
  const faults: string[] = []
  const time = timeExpression(plan.time, types, faults)
  const values = plan.columns.map((name) => {
    const isTime = plan.timeColumns?.includes(name)
    const sql = isTime ? timeExpression(name, types, faults)?.ms : numberExpression(name, types, faults)
    return `${sql} AS ${identifier(name)}`
  })
  if (faults.length > 0) {
    throw new SchemaValidationError('loader.schema', `${faults.join('; ')}`, {
      path,
      value: [...types.keys()],
      hint: 'Correct the column names in the configuration, or write the months again with one schema.',
    })
  }
  const where = plan.range ? ` WHERE ${time!.within(plan.range)}` : ''
  return `SELECT ${[`${time!.ms} AS t`, ...values].join(', ')} FROM ${table(path)}${where}`
}

interface TimeExpression {
  /** Epoch ms as DOUBLE. */
  readonly ms: string
  /** A condition that DuckDB can answer from row-group statistics, where the type lets it. */
  readonly within: (range: TimeRange) => string
}

function timeExpression(
  name: string,
  types: ReadonlyMap<string, string>,
  faults: string[],
): TimeExpression | undefined {
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

function numberExpression(name: string, types: ReadonlyMap<string, string>, faults: string[]): string {
  const type = types.get(name)
  if (!type) faults.push(`column "${name}" is missing`)
  else if (!numeric.test(type)) faults.push(`column "${name}" is ${type}, not a number`)
  return `${identifier(name)}::DOUBLE`
}

/** A file as a table. The path is data, never a pattern. */
function table(path: string): string {
  const plain = literal(path.replace(/[*?[]/g, '[$&]'))
  return path.endsWith('.json') ? `read_json(${plain}, format = 'auto')` : `read_parquet(${plain})`
}

/** What DuckDB said of a file, as the loader's own error. */
export function unreadable(path: string, cause: unknown): ParquetLoaderError {
  const text = String((cause as Error | undefined)?.message ?? cause).split('\n')[0]!
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
