import { createHash } from 'node:crypto'
import { z } from 'zod'
import { lakeColumns } from '../../model/lake.ts'
import { parseSeries, type Series, seriesId } from '../../model/series.ts'
import { iso, type TimeRange } from '../../model/time.ts'
import { ConfigError } from '../errors.ts'
import { checkFeatures, type Feature, featureName } from '../features.ts'
import type { FillOptions, FillRule } from '../fill.ts'

/** Columns of the lake that can be exported. */
export const exportColumns: readonly string[] = lakeColumns
  .map((column) => column.name)
  .filter((name) => !name.endsWith('_time'))

const isoTime = z.iso.datetime({ offset: false })
const count = (least: number) => z.int().min(least).max(100_000_000)

const gluontsSchema = z.strictObject({
  /** How many files the rows are dealt to; each loader worker of the trainer reads its own. */
  shards: count(1).default(1),
  /** A longer series becomes several rows, equally long, so that every bar is as likely to be sampled. */
  row_bars_max: count(2).default(1_000_000),
  /** `whole`: rows run on over unknown values, as NaN. `contiguous`: a row ends where a value is not known. */
  segments: z.enum(['whole', 'contiguous']).default('whole'),
  context_length: count(1).default(512),
  prediction_length: count(1).default(64),
  min_past: count(1).default(60),
  max_missing_prop: z.number().min(0).max(1).default(0.9),
})

const windowsSchema = z.strictObject({
  context_length: count(1),
  prediction_length: count(1),
  stride: count(1).default(1),
  /** First cutoff of the validation part; windows before it end before it. */
  validation_from: isoTime.optional(),
  test_from: isoTime.optional(),
  /** Bars after the start of a part in which no window of it begins. */
  embargo_bars: z.int().min(0).default(0),
})

const anyColumn = z.enum(exportColumns as [string, ...string[]])
const named = { column: anyColumn, name: z.string().min(1).max(100).optional() }
const bars = count(1)

/** A feature as it stands in a definition; of the lake's columns. */
const featureSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.enum(['return', 'log-return']), ...named, bars: bars.optional() }),
  z.strictObject({ kind: z.literal('lag'), ...named, bars }),
  z.strictObject({ kind: z.literal('spread'), ...named, minus: anyColumn }),
  z.strictObject({ kind: z.literal('volatility'), ...named, window: bars }),
  z.strictObject({
    kind: z.literal('rolling'),
    ...named,
    statistic: z.enum(['mean', 'std', 'min', 'max', 'sum']),
    window: bars,
  }),
  z.strictObject({
    kind: z.literal('target'),
    ...named,
    horizon: bars,
    of: z.enum(['value', 'return', 'log-return']).optional(),
  }),
])

/** What is exported, whole, as plain data: two equal definitions of equal inputs make equal files. */
export const definitionSchema = z.strictObject({
  format: z.enum(['long', 'gluonts', 'future', 'windows', 'csv']),
  /** Selectors, sorted. */
  series: z.array(z.string()).min(1),
  from: isoTime,
  to: isoTime,
  columns: z.array(anyColumn).min(1),
  /** Columns made of others, beside `columns`; for formats whose readers learn from further columns. */
  features: z.array(featureSchema).min(1).optional(),
  grid: z.enum(['calendar', 'business-days', 'compact']).default('calendar'),
  fill: z
    .strictObject({
      policy: z.enum(['none', 'nan', 'previous', 'linear']),
      /** Longest run that is filled, in bars. */
      run_max: count(1).optional(),
    })
    .default({ policy: 'nan' }),
  /** Rows before a series' first bar: left out, or rows without values. */
  leading: z.enum(['trim', 'keep']).default('trim'),
  /** `single`: one file. `monthly`: one a month, `{YYYY}/{MM}/`, by the loader's own grammar. */
  layout: z.enum(['single', 'monthly']).default('single'),
  require: z.enum(['complete', 'any']).default('complete'),
  gluonts: gluontsSchema.optional(),
  windows: windowsSchema.optional(),
  future: z.strictObject({ prediction_length: count(1) }).optional(),
  /** Digest of the market's sessions; only with the grid `compact`. */
  sessions: z.string().optional(),
})

export type Definition = Readonly<z.output<typeof definitionSchema>>
export type GluontsOptions = z.output<typeof gluontsSchema>
export type WindowsOptions = z.output<typeof windowsSchema>

/** What a caller says of a definition: everything that has a default may be left out. */
export type ExportSettings = Omit<
  z.input<typeof definitionSchema>,
  'series' | 'from' | 'to' | 'columns' | 'features' | 'sessions'
> & {
  readonly series: readonly Series[]
  readonly range: TimeRange
  /** `close` unless said. */
  readonly columns?: readonly string[]
  readonly features?: readonly Feature[]
}

/**
 * The whole definition of what a caller asks for.
 *
 * @throws ConfigError `loader.bad-export` naming every fault at once.
 */
export function defineExport(settings: ExportSettings): Definition {
  const { series, range, columns = ['close'], features = [], ...rest } = settings
  return parseDefinition({
    ...rest,
    ...(features.length > 0 && { features }),
    ...(rest.format === 'gluonts' && { gluonts: rest.gluonts ?? {} }),
    series: [...new Set(series.map(seriesId))].sort(),
    from: iso(range.startMs),
    to: iso(range.endMs),
    columns: [...new Set(columns)],
  })
}

/** A definition from data of any kind. @throws ConfigError `loader.bad-export`, `loader.bad-feature`. */
export function parseDefinition(input: unknown): Definition {
  const parsed = definitionSchema.safeParse(input)
  const faults = parsed.success
    ? crossFaults(parsed.data)
    : parsed.error.issues.map((issue) => `${issue.path.join('.') || 'the definition'}: ${issue.message}`)
  if (parsed.success && faults.length === 0) {
    checkFeatures(featuresOf(parsed.data), [...exportColumns, 'item_id', 'timestamp', 'target'])
    return parsed.data
  }
  throw new ConfigError('loader.bad-export', faults.join('; '), {
    hint: 'docs/loader.md lists the options of each format.',
  })
}

function crossFaults(definition: Definition): string[] {
  const { format, layout, grid, columns, fill } = definition
  const faults: string[] = []
  if (format === 'windows' && !definition.windows)
    faults.push('windows: needs context_length and prediction_length')
  const { validation_from, test_from } = definition.windows ?? {}
  if (validation_from && test_from && Date.parse(test_from) < Date.parse(validation_from))
    faults.push('windows.test_from: lies before validation_from, and the test part is the last one')
  const widths = [...new Set(definition.series.map((id) => parseSeries(id).timeframe))]
  if (widths.length > 1 && ['long', 'csv', 'future'].includes(format) && layout === 'single')
    faults.push(
      `series: trainers want bars of one width in a ${format} frame, and these are of ${widths.join(', ')}; export each to a folder of its own`,
    )
  if (format === 'future' && !definition.future) faults.push('future: needs prediction_length')
  if (layout === 'monthly' && format !== 'long') faults.push('layout: monthly is for the format long')
  if (layout === 'monthly' && grid === 'compact')
    faults.push('layout: monthly does not go with the grid compact')
  if (['gluonts', 'windows'].includes(format) && columns.length > 1)
    faults.push(`columns: ${format} takes one`)
  const looksAhead = definition.features?.some(({ kind }) => kind === 'target')
  if (definition.features && !['long', 'csv'].includes(format))
    faults.push(`features: ${format} has no room for columns beside the one to learn`)
  else if (looksAhead && format === 'long' && layout === 'single')
    faults.push(
      'features: a trainer takes every further column of a long frame for something known in the past, and target looks ahead; it is for csv and for layout: monthly',
    )
  if (fill.run_max !== undefined && !['previous', 'linear'].includes(fill.policy)) {
    faults.push(`fill.run_max: means nothing with ${fill.policy}`)
  }
  if (fill.policy === 'linear' && fill.run_max === undefined) faults.push('fill.run_max: linear needs one')
  if ((definition.fill.run_max ?? 0) > 1_000_000) faults.push('fill.run_max: at most 1000000')
  return faults
}

export const featuresOf = (definition: Definition): readonly Feature[] =>
  (definition.features ?? []) as readonly Feature[]

/** The columns of an export's rows in order: those of the lake, then those made of them. */
export const valueColumns = (definition: Definition): string[] => [
  ...definition.columns,
  ...featuresOf(definition).map(featureName),
]

/** Data as text that is the same whatever the order its keys were given in. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    part && typeof part === 'object' && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  )
}

export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

/** 16 hexadecimal characters that name a data set by what it is, whatever its inputs hold. */
export const definitionHash = (definition: Definition): string => sha256(canonical(definition)).slice(0, 16)

const isFlow = (column: string): boolean => /volume$|^trades$/.test(column)

/** How each column is filled by a policy; `undefined` for the two that fill nothing. */
export function fillOptions({ fill }: Definition): FillOptions | undefined {
  if (fill.policy === 'none' || fill.policy === 'nan') return undefined
  const rule = (column: string): FillRule => {
    if (isFlow(column)) return fill.policy === 'linear' ? 'linear-zero' : 'zero'
    if (fill.policy === 'linear') return 'linear'
    return column === 'open_interest' ? 'previous' : 'previous-close'
  }
  return {
    rules: Object.fromEntries(exportColumns.map((column) => [column, rule(column)])),
    runMax: fill.run_max ?? Number.POSITIVE_INFINITY,
  }
}
