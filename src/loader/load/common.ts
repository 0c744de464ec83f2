import type { OnEvent } from '../../model/events.ts'
import { type EpochMs, monthOf, type TimeRange } from '../../model/time.ts'
import type { AuditLogger, AuditSession } from '../audit.ts'
import type { ParquetLoaderConfig } from '../config.ts'
import { type Coverage, type MissingRun, requireComplete } from '../coverage.ts'
import { FileDiscovery, type FileQuery, type MonthFilter, monthsOf } from '../discovery.ts'
import { ConfigError, DataNotFoundError } from '../errors.ts'
import { type Feature, featureReach } from '../features.ts'
import { datasetKey, monthRange, type ParquetFileInfo } from '../files.ts'
import { fillFrames } from '../fill.ts'
import { type Frame, filterFrame } from '../frame.ts'
import type { IdempotencyTracker } from '../idempotency.ts'
import { describeFinding, type QualityFinding } from '../quality.ts'
import type { Engine } from '../read/engine.ts'
import { MissingTracker } from '../read/missing.ts'
import { Months, type MonthsPlan, timeframeOf } from '../read/months.ts'
import { slotsOf } from '../read/slots.ts'

/** Which columns of which months. Columns not named are those of the configuration. */
export interface LoadQuery extends FileQuery {
  readonly targetColumns?: readonly string[]
  readonly featureColumns?: readonly string[]
  /** Columns to make. Made of stored values only, never of filled ones. */
  readonly features?: readonly Feature[]
  /** `complete` refuses a range in which bars are missing that may yet turn up. `any` unless said. */
  readonly require?: 'complete' | 'any'
}

/** What every load says beside its data. */
export interface Loaded {
  readonly files: readonly ParquetFileInfo[]
  readonly findings: readonly QualityFinding[]
  /** The audit session, `audit_logs/<id>.json`. */
  readonly sessionId: string
}

/** What a load works with. */
export interface LoadContext {
  readonly config: ParquetLoaderConfig
  readonly engine: Engine
  readonly audit: AuditLogger
  readonly tracker: IdempotencyTracker
  readonly onEvent: OnEvent
  readonly coverage: Coverage<ParquetFileInfo> | undefined
}

export type LoadKind = 'training' | 'prediction' | 'incremental'

/**
 * The months of a query, found and fit to be one dataset.
 *
 * @throws ConfigError `loader.ambiguous` where the query fits several datasets, `loader.bad-range`.
 * @throws InvalidFilenameError `loader.bad-filename`.
 */
export async function openMonths(
  context: LoadContext,
  kind: LoadKind,
  query: LoadQuery,
  range: TimeRange = monthsOf(query).range,
): Promise<Months> {
  const files = await new FileDiscovery(context.config, context.config.dirs[kind]).discover(query)
  const datasets = [...new Set(files.map(datasetKey))]
  if (datasets.length > 1) {
    throw new ConfigError(
      'loader.ambiguous',
      'the query fits several datasets, which cannot be loaded as one',
      {
        path: context.config.dirs[kind],
        value: datasets,
        hint: 'Name one of them by timeframes, horizon or hash.',
      },
    )
  }
  return new Months(context.engine, files, planOf(context.config, query, range))
}

function planOf({ schema, processing }: ParquetLoaderConfig, query: LoadQuery, range: TimeRange): MonthsPlan {
  const targets = query.targetColumns ?? schema.targetColumns
  const features = query.featureColumns ?? schema.featureColumns
  const columns = [...new Set([...targets, ...features])]
  return {
    time: schema.datetimeColumn,
    columns,
    timeColumns: schema.timestampColumns.filter((name) => columns.includes(name)),
    features: query.features ?? [],
    range,
    rowsMax: processing.chunk_size,
    outliers: processing.outlier_detection
      ? { method: processing.outlier_method, threshold: processing.outlier_threshold }
      : undefined,
  }
}

/** Every row of the months, with unknown values handled as configured; counts and says what was found. */
export async function* handledFrames(
  context: LoadContext,
  months: Months,
  session: AuditSession,
): AsyncGenerator<Frame> {
  async function* raw(): AsyncGenerator<Frame> {
    for (const file of months.files) {
      try {
        say(context.onEvent, (await months.report(file)).findings)
        yield* months.frames(file)
      } catch (error) {
        await session.count({ files_failed: 1 })
        throw error
      }
      await session.count({ files_processed: 1 })
    }
  }
  let rows = 0
  for await (const frame of handleNulls(
    raw(),
    months.plan.columns,
    context.config.processing.null_handling,
  )) {
    rows += frame.length
    yield frame
  }
  await session.count({ rows })
}

/** What `read` gives. A file that it fails on counts as failed. */
export async function readingFile<T>(session: AuditSession, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (error) {
    await session.count({ files_failed: 1 })
    throw error
  }
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const out: T[] = []
  for await (const item of items) out.push(item)
  return out
}

type NullHandling = ParquetLoaderConfig['processing']['null_handling']

/** Whether values are made of other rows. */
export const fills = (handling: NullHandling): boolean =>
  handling === 'forward_fill' || handling === 'interpolate'

/** Unknown values of `columns` filled, or their rows dropped. Made columns are never filled. */
export async function* handleNulls(
  frames: AsyncIterable<Frame> | Iterable<Frame>,
  columns: readonly string[],
  handling: NullHandling,
): AsyncGenerator<Frame> {
  if (handling === 'none') return yield* frames
  if (handling === 'drop') {
    for await (const frame of frames) {
      const values = Object.values(frame.columns)
      const kept = filterFrame(frame, (row) => !values.some((column) => Number.isNaN(column[row]!)))
      if (kept.length > 0) yield kept
    }
    return
  }
  const rule = handling === 'forward_fill' ? 'previous' : 'linear'
  const rules = Object.fromEntries(columns.map((name) => [name, rule] as const))
  yield* fillFrames(frames, {
    rules,
    runMax: handling === 'forward_fill' ? Number.POSITIVE_INFINITY : 100_000,
  })
}

export function say(onEvent: OnEvent, findings: readonly QualityFinding[]): void {
  for (const finding of findings) {
    onEvent({ event: 'loader_finding', level: 'warn', ...finding, message: describeFinding(finding) })
  }
}

/**
 * Refuses a dataset with bars missing that may yet turn up. Asks the coverage where there is one, else looks at
 * every row.
 *
 * @throws DataQualityError `loader.incomplete`. @throws ConfigError `loader.bad-timeframe`.
 */
export async function checkComplete(
  context: LoadContext,
  months: Months,
  filter: MonthFilter,
): Promise<void> {
  const [first] = months.files
  if (!first) return
  const timeframe = timeframeOf(first)
  const { coverage } = context
  const runs: MissingRun[] = []
  for (const range of wantedRanges(months, filter)) {
    if (coverage) {
      runs.push(...(await coverage(first, range)))
      continue
    }
    const tracker = new MissingTracker(slotsOf('calendar', timeframe, range, await gridOf(months)))
    const bare = new Months(context.engine, months.files, {
      ...months.plan,
      columns: [],
      features: [],
      range,
    })
    for (const file of months.files) {
      const held = monthRange(file)
      if (held.startMs >= range.endMs || held.endMs <= range.startMs) continue
      for await (const frame of bare.frames(file)) for (const ms of frame.timeMs) tracker.saw(ms)
    }
    runs.push(...tracker.end())
  }
  requireComplete(datasetKey(first), runs)
}

/** The grid the bars of a dataset stand on, by the first month that has any. */
async function gridOf(months: Months): Promise<{ anchorMs?: EpochMs }> {
  for (const file of months.files) {
    const { anchorMs } = await months.report(file)
    if (anchorMs !== undefined) return { anchorMs }
  }
  return {}
}

/** The time a query names, month by month where it names months, within what could be there. */
function wantedRanges(months: Months, filter: MonthFilter): TimeRange[] {
  const startMs = filter.range.startMs || monthRange(months.files[0]!).startMs
  const last = monthRange(months.files.at(-1)!)
  const endMs = filter.range.endMs > last.endMs + 1e12 ? last.endMs : filter.range.endMs
  const out: TimeRange[] = []
  for (let ms = startMs; ms < endMs; ms = monthOf(ms).endMs) {
    const month = monthOf(ms)
    const date = new Date(ms)
    if (!filter.holds(date.getUTCFullYear(), date.getUTCMonth() + 1)) continue
    const range = { startMs: ms, endMs: Math.min(month.endMs, endMs) }
    const before = out.at(-1)
    if (before?.endMs === range.startMs) out[out.length - 1] = { startMs: before.startMs, endMs: range.endMs }
    else out.push(range)
  }
  return out
}

export const noData = (context: LoadContext, kind: LoadKind, query: FileQuery): DataNotFoundError =>
  new DataNotFoundError('loader.no-data', `no files of ${query.symbol} in the months asked for`, {
    path: context.config.dirs[kind],
    value: requestOf(query),
    hint: 'Check the symbol as it is written in file names, the timeframe, and the months that are there.',
  })

/** What a query asks for, for logs. */
export const requestOf = (query: FileQuery): Record<string, unknown> =>
  Object.fromEntries(Object.entries(query).filter(([, value]) => typeof value !== 'function'))

/** How many bars the targets of a query look past their own. */
export const lookAhead = (months: Months): number =>
  Math.max(featureReach(months.plan.features).ahead, months.files[0]?.horizon ?? 0)

/** Runs `deed` in a session, which ends with it, well or not. */
export async function audited<T>(
  context: LoadContext,
  kind: LoadKind,
  query: FileQuery,
  deed: (session: AuditSession) => Promise<T>,
): Promise<T> {
  const session = await context.audit.start(kind, query.symbol, requestOf(query))
  try {
    const result = await deed(session)
    await session.end('completed')
    return result
  } catch (error) {
    await session.end('failed', error)
    throw error
  }
}

/** The same for a loop: one that is left early has failed. */
export async function* auditedLoop<T>(
  context: LoadContext,
  kind: LoadKind,
  query: FileQuery,
  loop: (session: AuditSession) => AsyncGenerator<T>,
): AsyncGenerator<T> {
  const session = await context.audit.start(kind, query.symbol, requestOf(query))
  let failure: unknown = new Error('the loop was left before its end')
  try {
    yield* loop(session)
    failure = undefined
  } catch (error) {
    failure = error
    throw error
  } finally {
    await session.end(failure === undefined ? 'completed' : 'failed', failure)
  }
}
