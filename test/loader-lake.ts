import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { lakePath } from '../src/model/lake.ts'
import { parseSeries } from '../src/model/series.ts'
import { type EpochMs, monthOf } from '../src/model/time.ts'
import { nextOpen } from '../src/model/timeframe.ts'

/** A folder for one test, removed by the system's own clean-up of its temporary folder. */
export const scratch = (): string => mkdtempSync(join(tmpdir(), 'everybar-loader-'))

const engine = DuckDBInstance.create(':memory:', { threads: '1' })

export async function sql(statement: string): Promise<Record<string, unknown>[]> {
  const connection = await (await engine).connect()
  try {
    return (await (await connection.run(statement)).getRowObjectsJS()) as Record<string, unknown>[]
  } finally {
    connection.closeSync()
  }
}

export type TestRow = Readonly<Record<string, number | string | null>>

/** Rows as a Parquet file; `types` are DuckDB types by column, in order. */
export async function writeParquet(
  path: string,
  types: Readonly<Record<string, string>>,
  rows: readonly TestRow[],
): Promise<void> {
  mkdirSync(dirname(path), { recursive: true })
  const lines = `${path}.ndjson`
  writeFileSync(lines, rows.map((row) => JSON.stringify(row)).join('\n'))
  const columns = Object.keys(types).map((name) => `'${name}': 'VARCHAR'`)
  const casts = Object.entries(types).map(([name, type]) => `"${name}"::${type} AS "${name}"`)
  await sql(
    `COPY (SELECT ${casts.join(', ')} FROM read_json('${lines}', format = 'newline_delimited', columns = {${columns.join(', ')}}))
     TO '${path}' (FORMAT parquet, COMPRESSION zstd)`,
  )
  rmSync(lines)
}

export const lakeTypes = {
  open_time: 'TIMESTAMP',
  open: 'DOUBLE',
  high: 'DOUBLE',
  low: 'DOUBLE',
  close: 'DOUBLE',
  volume: 'DOUBLE',
}

/** What the bar number `i` of a made series looks like: every value tells which bar it is of. */
export const madeBar = (i: number) => ({
  open: 100 + i,
  high: 102 + i,
  low: 99 + i,
  close: 101 + i,
  volume: 1 + (i % 10),
})

const text = (ms: EpochMs) => new Date(ms).toISOString().replace('T', ' ').replace('Z', '')

/**
 * A lake of one series under `root`: bars `0 … count - 1` from `fromMs`, without those in `skip`, one file a month.
 * Gives the paths of the files.
 */
export async function makeLake(
  root: string,
  id: string,
  fromMs: EpochMs,
  count: number,
  skip: (i: number) => boolean = () => false,
): Promise<string[]> {
  const series = parseSeries(id)
  const months = new Map<string, TestRow[]>()
  for (let i = 0, ms = fromMs; i < count; i++, ms = nextOpen(series.timeframe, ms)) {
    if (skip(i)) continue
    const path = join(root, lakePath(series, monthOf(ms).startMs))
    if (!months.has(path)) months.set(path, [])
    months.get(path)!.push({ open_time: text(ms), ...madeBar(i) })
  }
  for (const [path, rows] of months) await writeParquet(path, lakeTypes, rows)
  return [...months.keys()]
}

/** The lake's naming pattern, as a configuration writes it. */
export const lakePattern =
  '^([A-Za-z0-9-]+)_([0-9]+(?:s|min|h|d|w|mon))_h([0-9]+)_([0-9]{4})_([0-9]{2})_([a-f0-9]{16})\\.(parquet|json)$'

export type ConfigChange = (settings: Record<string, Record<string, unknown>>) => void

/** A whole loader configuration for `root`, as an object. */
export const loaderSettings = (root: string): Record<string, Record<string, unknown>> => ({
  data_paths: { root_dir: root },
  file_patterns: { parquet_extension: '.parquet', json_extension: '.json', naming_regex: lakePattern },
  directory_structure: { year_format: 'YYYY', month_format: 'MM' },
  schema: {
    datetime_column: 'open_time',
    target_columns: ['close'],
    feature_columns: { volume: ['volume'] },
    timestamp_columns: [],
  },
  processing: {
    null_handling: 'none',
    outlier_detection: false,
    outlier_method: 'iqr',
    outlier_threshold: 3,
    chunk_size: 10_000,
    validation_split: 0.2,
    embargo_bars: 0,
  },
  performance: { n_workers: 2, memory_limit: '1GB' },
  idempotency: { enabled: true, state_file: '.processed_files.json', checksum_algorithm: 'md5' },
  audit: { enabled: true, log_dir: 'audit_logs', max_log_files: 100 },
})

/** Writes a configuration beside the data and gives its path. JSON is YAML. */
export function writeConfig(root: string, change: ConfigChange = () => {}): string {
  const settings = loaderSettings(root)
  change(settings)
  const path = join(scratch(), 'loader.yaml')
  writeFileSync(path, JSON.stringify({ parquet_loader: settings }, null, 2))
  return path
}

/** Code and message of what `deed` throws; fails where it throws nothing. */
export async function thrown(
  deed: () => unknown,
): Promise<{ code: string; name: string; message: string; hint: string }> {
  try {
    await deed()
  } catch (error) {
    return error as { code: string; name: string; message: string; hint: string }
  }
  throw new Error('nothing was thrown')
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const out: T[] = []
  for await (const item of items) out.push(item)
  return out
}
