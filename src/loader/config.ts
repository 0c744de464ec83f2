import { readFileSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { LineCounter, parseDocument } from 'yaml'
import { z } from 'zod'
import { ConfigError } from './errors.ts'

const text = z.string().min(1)
const column = text.describe('A column name, spelled as in the files.')
const fileName = z.string().regex(/^[^/\\]+$/, { error: 'a file or folder name without slashes' })
const subdir = z
  .string()
  .regex(/^(?!\/)(?!(.*\/)?\.\.(\/|$)).+$/, { error: 'a folder inside root_dir' })
  .nullish()

/** The seven parts of a file name, in the order a regular expression without names gives them. */
export const nameParts = ['symbol', 'timeframe', 'horizon', 'year', 'month', 'hash', 'extension'] as const

const namingRegex = text.refine(compiles, { error: 'not a regular expression' }).refine(hasNameParts, {
  error: `needs seven groups: ${nameParts.join(', ')}, named so or in this order`,
})

const fileSchema = z.strictObject({
  parquet_loader: z.strictObject({
    data_paths: z.strictObject({
      root_dir: text,
      training_subdir: subdir,
      prediction_subdir: subdir,
      incremental_subdir: subdir,
    }),
    file_patterns: z.strictObject({
      parquet_extension: z.string().regex(/^\.\w+$/),
      json_extension: z.string().regex(/^\.\w+$/),
      naming_regex: namingRegex,
    }),
    directory_structure: z.strictObject({ year_format: z.literal('YYYY'), month_format: z.literal('MM') }),
    schema: z.strictObject({
      datetime_column: column,
      target_columns: z.array(column).min(1),
      feature_columns: z.record(text, z.array(column)),
      timestamp_columns: z.array(column),
    }),
    processing: z.strictObject({
      null_handling: z.enum(['forward_fill', 'interpolate', 'drop', 'none']),
      outlier_detection: z.boolean(),
      outlier_method: z.enum(['iqr', 'zscore']),
      outlier_threshold: z.number().positive(),
      chunk_size: z.int().min(1).max(10_000_000),
      validation_split: z.number().min(0).lt(1),
      embargo_bars: z.int().min(0),
    }),
    performance: z.strictObject({
      n_workers: z.int().min(1).max(256),
      memory_limit: z.string().regex(/^\d+(\.\d+)?\s?(MB|MiB|GB|GiB)$/, { error: 'a size such as 2GB' }),
    }),
    idempotency: z.strictObject({
      enabled: z.boolean(),
      state_file: fileName,
      checksum_algorithm: z.enum(['md5', 'sha256']),
    }),
    audit: z.strictObject({
      enabled: z.boolean(),
      log_dir: fileName,
      max_log_files: z.int().min(1),
    }),
  }),
})

type Settings = z.output<typeof fileSchema>['parquet_loader']

/** The loader's configuration: whole, checked, with absolute paths. Made by `readLoaderConfig` only; has no defaults. */
export interface ParquetLoaderConfig {
  /** The file it came from. */
  readonly path: string
  readonly rootDir: string
  /** Where each kind of load looks; `rootDir` unless a sub-folder is named. */
  readonly dirs: { readonly training: string; readonly prediction: string; readonly incremental: string }
  readonly naming: RegExp
  readonly extensions: { readonly parquet: string; readonly json: string }
  readonly schema: {
    readonly datetimeColumn: string
    readonly targetColumns: readonly string[]
    /** Every group's columns, in order, each once. */
    readonly featureColumns: readonly string[]
    readonly timestampColumns: readonly string[]
  }
  readonly processing: Readonly<Settings['processing']>
  readonly performance: Readonly<Settings['performance']>
  readonly idempotency: Readonly<Settings['idempotency']>
  readonly audit: Readonly<Settings['audit']>
}

/**
 * Reads the loader's configuration from `path`, which has no default, as no setting has one.
 *
 * @throws ConfigError `loader.config` naming every fault at once, each with its setting and its line: no path, no such
 *   file, YAML that does not parse, settings missing, unknown or of the wrong kind, a root that is not a folder.
 */
export function readLoaderConfig(path: string): ParquetLoaderConfig {
  if (typeof path !== 'string' || path === '') {
    throw fault('no configuration file is named', undefined, path ?? null)
  }
  const full = resolve(path)
  let source: string
  try {
    source = readFileSync(full, 'utf8')
  } catch (cause) {
    throw fault('the configuration file cannot be read', full, undefined, cause)
  }
  const settings = check(source, full)
  const rootDir = absolute(settings.data_paths.root_dir, dirname(full))
  const faults = rootFaults(rootDir)
  if (faults.length > 0) throw fault(faults.join('; '), full)
  return build(settings, full, rootDir)
}

function check(source: string, path: string): Settings {
  const lines = new LineCounter()
  const document = parseDocument(source, { lineCounter: lines, prettyErrors: true })
  if (document.errors.length > 0) {
    throw fault(document.errors.map((error) => error.message.split('\n')[0]).join('; '), path)
  }
  const parsed = fileSchema.safeParse(document.toJS(), { reportInput: true })
  if (parsed.success) return parsed.data.parquet_loader
  const faults = parsed.error.issues.map((issue) => {
    const keys =
      issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...issue.path, key]) : [issue.path]
    return keys.map((key) => {
      const node = document.getIn(key, true) as { range?: [number] } | undefined
      const line = node?.range ? ` (line ${lines.linePos(node.range[0]).line})` : ''
      const found = node === undefined ? 'missing' : `found ${JSON.stringify(document.getIn(key))}`
      const message = issue.code === 'unrecognized_keys' ? 'unknown setting' : issue.message
      return `${key.join('.') || 'the file'}: ${message}, ${found}${line}`
    })
  })
  const all = faults.flat()
  throw fault(`${all.length} ${all.length === 1 ? 'fault' : 'faults'}: ${all.join('; ')}`, path)
}

function rootFaults(rootDir: string): string[] {
  const stat = statSync(rootDir, { throwIfNoEntry: false })
  if (!stat) return [`parquet_loader.data_paths.root_dir: no such folder, found ${JSON.stringify(rootDir)}`]
  return stat.isDirectory()
    ? []
    : [`parquet_loader.data_paths.root_dir: not a folder, found ${JSON.stringify(rootDir)}`]
}

function build(settings: Settings, path: string, rootDir: string): ParquetLoaderConfig {
  const { data_paths, file_patterns, schema } = settings
  const inRoot = (subdir: string | null | undefined) => (subdir ? join(rootDir, subdir) : rootDir)
  return {
    path,
    rootDir,
    dirs: {
      training: inRoot(data_paths.training_subdir),
      prediction: inRoot(data_paths.prediction_subdir),
      incremental: inRoot(data_paths.incremental_subdir),
    },
    naming: new RegExp(file_patterns.naming_regex),
    extensions: { parquet: file_patterns.parquet_extension, json: file_patterns.json_extension },
    schema: {
      datetimeColumn: schema.datetime_column,
      targetColumns: [...new Set(schema.target_columns)],
      featureColumns: [...new Set(Object.values(schema.feature_columns).flat())],
      timestampColumns: schema.timestamp_columns,
    },
    processing: settings.processing,
    performance: settings.performance,
    idempotency: settings.idempotency,
    audit: settings.audit,
  }
}

const absolute = (path: string, from: string): string => {
  const home = path.replace(/^~(?=\/|$)/, homedir())
  return isAbsolute(home) ? home : resolve(from, home)
}

function compiles(source: string): boolean {
  try {
    return Boolean(new RegExp(source))
  } catch {
    return false
  }
}

function hasNameParts(source: string): boolean {
  if (!compiles(source)) return true // said by the check before
  const empty = new RegExp(`${source}|`).exec('')!
  const named = nameParts.every((part) => empty.groups && part in empty.groups)
  return named || (!empty.groups && empty.length === nameParts.length + 1)
}

const fault = (message: string, path?: string, value?: unknown, cause?: unknown): ConfigError =>
  new ConfigError('loader.config', message, {
    hint: 'Every setting has to be given; docs/loader.md has a whole file to start from.',
    ...(path === undefined ? {} : { path }),
    ...(value === undefined ? {} : { value }),
    ...(cause === undefined ? {} : { cause }),
  })
