import { type EpochMs, iso } from '../../model/time.ts'
import { floorToBar, nextOpen, shiftBars, type Timeframe } from '../../model/timeframe.ts'
import type { AuditSession } from '../audit.ts'
import { type Instant, instantMs } from '../discovery.ts'
import { ConfigError, IncompleteContextError } from '../errors.ts'
import { monthRange, type ParquetFileInfo } from '../files.ts'
import { concatFrames, emptyFrame, type Frame, rowAt, sliceFrame } from '../frame.ts'
import { MissingTracker } from '../read/missing.ts'
import { type Months, timeframeOf } from '../read/months.ts'
import { slotsOf } from '../read/slots.ts'
import {
  audited,
  collect,
  fills,
  handleNulls,
  type LoadContext,
  type Loaded,
  type LoadQuery,
  noData,
  openMonths,
  readingFile,
  say,
} from './common.ts'

export interface PredictionQuery
  extends Omit<LoadQuery, 'year' | 'yearRange' | 'month' | 'monthRange' | 'from' | 'to' | 'require'> {
  readonly contextLength: number
  /** When the forecast is made; the close of the last stored bar unless given. Only bars that have closed by then count. */
  readonly at?: Instant
  /** `grid`, unless said: every bar before `at` counts. `stored`: the last rows there are, for markets that close. */
  readonly rows?: 'grid' | 'stored'
}

export interface PredictionData extends Loaded {
  /** Exactly the bars asked for, ending with the one before `startMs`. */
  readonly context: Frame
  /** The open time of the first bar to be predicted. */
  readonly startMs: EpochMs
}

export function loadPrediction(context: LoadContext, query: PredictionQuery): Promise<PredictionData> {
  const { contextLength, at, rows = 'grid' } = query
  if (!Number.isInteger(contextLength) || contextLength < 1) {
    throw new ConfigError('loader.bad-range', 'contextLength is a whole number from 1', {
      value: contextLength,
      hint: 'For instance 512.',
    })
  }
  return audited(context, 'prediction', query, async (session) => {
    const atMs = at === undefined ? undefined : instantMs('at', at)
    const range = { startMs: 0, endMs: atMs ?? 1e14 }
    const to = atMs === undefined ? {} : { to: atMs }
    const found = await openMonths(context, 'prediction', { ...query, from: 0, ...to }, range)
    await session.count({ files_discovered: found.files.length })
    if (found.files.length === 0) throw noData(context, 'prediction', query)
    const timeframe = timeframeOf(found.files[0]!)
    const endMs =
      atMs === undefined ? undefined : await readingFile(session, () => openAt(found, timeframe, atMs))
    const months = endMs === undefined ? found : found.within({ startMs: 0, endMs })
    const { all, files } = await backwards(context, months, session, { contextLength, endMs, rows })
    const startMs = endMs ?? (all.length > 0 ? nextOpen(timeframe, all.timeMs.at(-1)!) : 0)
    const frame =
      rows === 'stored' ? lastRows(all, contextLength, months) : onGrid(all, startMs, contextLength, months)
    await session.count({ files_processed: files.length, rows: frame.length })
    return { context: frame, startMs, files, findings: await months.findings(), sessionId: session.id }
  })
}

/**
 * The open time of the bar that `ms` is in: what opens from then on has not closed. Counted from the last bar before
 * `ms`, because days and odd widths do not open at the same time everywhere.
 */
async function openAt(months: Months, timeframe: Timeframe, ms: EpochMs): Promise<EpochMs> {
  for (const file of months.files.toReversed()) {
    const lastMs = await months.lastMs(file)
    if (lastMs !== undefined) return floorToBar(timeframe, ms, lastMs)
  }
  return ms
}

interface Need {
  readonly contextLength: number
  readonly endMs: EpochMs | undefined
  readonly rows: 'grid' | 'stored'
}

/** Reads months from the newest back, until the context is in them or there are no more. */
async function backwards(
  context: LoadContext,
  months: Months,
  session: AuditSession,
  { contextLength, endMs, rows }: Need,
): Promise<{ readonly all: Frame; readonly files: readonly ParquetFileInfo[] }> {
  const { null_handling } = context.config.processing
  const handled = async (frame: Frame): Promise<Frame> =>
    concatFrames(await collect(handleNulls([frame], months.plan.columns, null_handling)), months.names)
  const files: ParquetFileInfo[] = []
  let all = emptyFrame(months.names)
  for (const file of months.files.toReversed()) {
    if (endMs !== undefined && monthRange(file).startMs >= endMs) continue
    const timeframe = timeframeOf(file)
    const lastMs = endMs ?? (all.length > 0 ? nextOpen(timeframe, all.timeMs.at(-1)!) : undefined)
    const past =
      lastMs !== undefined && monthRange(file).endMs <= shiftBars(timeframe, lastMs, -contextLength)
    if (all.length >= contextLength || (rows === 'grid' && past)) break
    const own = await readingFile(session, async () => {
      say(context.onEvent, (await months.report(file)).findings)
      return concatFrames(await collect(months.frames(file)), months.names)
    })
    // Rows that are dropped are no context: without them it may take another month.
    all = concatFrames([fills(null_handling) ? own : await handled(own), all], months.names)
    files.unshift(file)
  }
  return { all: fills(null_handling) ? await handled(all) : all, files }
}

function onGrid(all: Frame, startMs: EpochMs, length: number, months: Months): Frame {
  const timeframe = timeframeOf(months.files[0]!)
  const range = { startMs: shiftBars(timeframe, startMs, -length), endMs: startMs }
  const context = sliceFrame(all, rowAt(all, range.startMs), rowAt(all, startMs))
  const tracker = new MissingTracker(slotsOf('calendar', timeframe, range, { anchorMs: startMs }))
  for (const ms of context.timeMs) tracker.saw(ms)
  const runs = tracker.end()
  const missing = runs.reduce((sum, run) => sum + run.bars, 0)
  if (missing === 0 && context.length === length) return context
  const where = runs
    .slice(0, 3)
    .map(({ bars, range }) => `${bars} from ${iso(range.startMs)}`)
    .join(', ')
  throw incomplete(
    `${missing} of the ${length} bars before ${iso(startMs)} are missing: ${where}${runs.length > 3 ? ', …' : ''}`,
    missing,
    months,
  )
}

function lastRows(all: Frame, length: number, months: Months): Frame {
  if (all.length >= length) return sliceFrame(all, all.length - length, all.length)
  const missing = length - all.length
  throw incomplete(
    `${missing} of the ${length} rows asked for are missing: the dataset holds ${all.length} before then`,
    missing,
    months,
  )
}

const incomplete = (message: string, missing: number, months: Months): IncompleteContextError =>
  new IncompleteContextError('loader.incomplete-context', message, {
    missing,
    path: months.files.at(-1)!.path,
    hint: 'Fetch the missing bars (`everybar sync`), ask for a shorter context, or for stored rows where the market closes.',
  })
