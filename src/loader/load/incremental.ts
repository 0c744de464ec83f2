import type { EpochMs } from '../../model/time.ts'
import { shiftBars } from '../../model/timeframe.ts'
import type { AuditSession } from '../audit.ts'
import { type Instant, instantMs } from '../discovery.ts'
import { featureReach } from '../features.ts'
import { monthRange, type ParquetFileInfo } from '../files.ts'
import { concatFrames, emptyFrame, type Frame, sliceFrame } from '../frame.ts'
import type { IdempotencyTracker, Reading } from '../idempotency.ts'
import type { QualityFinding } from '../quality.ts'
import { type Months, timeframeOf } from '../read/months.ts'
import {
  audited,
  auditedLoop,
  collect,
  fills,
  handleNulls,
  type LoadContext,
  type Loaded,
  type LoadQuery,
  openMonths,
  readingFile,
  say,
} from './common.ts'

export interface IncrementalQuery
  extends Omit<LoadQuery, 'year' | 'yearRange' | 'month' | 'monthRange' | 'from' | 'to' | 'require'> {
  /** Who asks. What one consumer has processed is news to another. */
  readonly consumer: string
  /** The last time the consumer has; rows after it are given. */
  readonly since: Instant
}

export interface IncrementalFile {
  readonly file: ParquetFileInfo
  readonly data: Frame
  readonly findings: readonly QualityFinding[]
}

export interface IncrementalData extends Loaded {
  readonly data: Frame
  readonly filesSkipped: number
}

/** A part, and what is noted of its file once the consumer has it. */
interface Read {
  readonly part: IncrementalFile
  readonly reading: Reading
}

export const incrementalFiles = (
  context: LoadContext,
  query: IncrementalQuery,
): AsyncGenerator<IncrementalFile> =>
  auditedLoop(context, 'incremental', query, async function* (session) {
    const news = await openNews(context, query)
    for await (const { part, reading } of newFiles(context, query, news, session)) {
      yield part
      await note(context, query, [reading])
    }
  })

/** Nothing is noted before everything is read and the session has ended: a load that fails has given nothing. */
export async function loadIncremental(
  context: LoadContext,
  query: IncrementalQuery,
): Promise<IncrementalData> {
  const reads: Read[] = []
  const result = await audited(context, 'incremental', query, async (session) => {
    const news = await openNews(context, query)
    for await (const read of newFiles(context, query, news, session)) reads.push(read)
    const parts = reads.map(({ part }) => part)
    return {
      data: concatFrames(
        parts.map(({ data }) => data),
        news.months.names,
      ),
      files: parts.map(({ file }) => file),
      filesSkipped: session.record.files_skipped,
      findings: parts.flatMap(({ findings }) => findings),
      sessionId: session.id,
    }
  })
  await note(
    context,
    query,
    reads.map(({ reading }) => reading),
  )
  return result
}

const note = async (
  { config, tracker }: LoadContext,
  { consumer }: IncrementalQuery,
  readings: readonly Reading[],
): Promise<void> => {
  if (config.idempotency.enabled) await tracker.markAll(consumer, readings)
}

/** What an incremental load looks at: all months, for windows that reach back, and of them those that are asked for. */
interface News {
  readonly months: Months
  readonly wanted: readonly ParquetFileInfo[]
  readonly startMs: EpochMs
}

async function openNews(context: LoadContext, query: IncrementalQuery): Promise<News> {
  const startMs = instantMs('since', query.since) + 1
  const months = await openMonths(context, 'incremental', { ...query, from: 0 }, { startMs, endMs: 1e14 })
  return { months, wanted: months.files.filter((file) => monthRange(file).endMs > startMs), startMs }
}

async function* newFiles(
  context: LoadContext,
  query: IncrementalQuery,
  { months, wanted, startMs }: News,
  session: AuditSession,
): AsyncGenerator<Read> {
  const { config, tracker, onEvent } = context
  await session.count({ files_discovered: wanted.length })
  const targets = await readingFile(session, () => openTargets(months))
  for (const file of wanted) {
    // Taken before the file is read: a change made meanwhile makes it new again.
    const checksum = config.idempotency.enabled ? await checksumOf(tracker, file, targets(file)) : ''
    const reading = { file, checksum, ...(startMs > monthRange(file).startMs && { fromMs: startMs }) }
    if (config.idempotency.enabled && (await tracker.covers(query.consumer, reading))) {
      onEvent({ event: 'loader_file_skipped', path: file.path, consumer: query.consumer })
      await session.count({ files_skipped: 1 })
      continue
    }
    const part = await readingFile(session, () => readPart(context, months, file))
    yield { part, reading }
    await session.count({ files_processed: 1, rows: part.data.length })
  }
}

async function readPart(
  context: LoadContext,
  months: Months,
  file: ParquetFileInfo,
): Promise<IncrementalFile> {
  const { null_handling } = context.config.processing
  const { findings } = await months.report(file)
  say(context.onEvent, findings)
  const raw = concatFrames(await collect(months.frames(file)), months.names)
  const before = fills(null_handling) ? await knownBefore(months, raw) : emptyFrame(months.names)
  const whole = concatFrames([before, raw], months.names)
  const handled = await collect(handleNulls([whole], months.plan.columns, null_handling))
  const all = concatFrames(handled, months.names)
  return { file, data: sliceFrame(all, before.length, all.length), findings }
}

/** What the first rows are filled from, as if the months before were read too. */
async function knownBefore(months: Months, { length, timeMs, columns }: Frame): Promise<Frame> {
  const open = months.plan.columns.filter((name) => length > 0 && Number.isNaN(columns[name]![0]!))
  return open.length === 0 ? emptyFrame(months.names) : months.knownBefore(timeMs[0]!, open)
}

/**
 * For each file the months that will tell its last targets, while they do not yet; nothing where all are told. They
 * are told once there is a bar as late as the last of them, in a month that is there.
 */
async function openTargets(
  months: Months,
): Promise<(file: ParquetFileInfo) => readonly ParquetFileInfo[] | undefined> {
  const { ahead } = featureReach(months.plan.features)
  if (ahead === 0) return () => undefined
  let lastMs = Number.NEGATIVE_INFINITY
  for (const file of months.files.toReversed()) {
    const ms = await months.lastMs(file)
    if (ms === undefined) continue
    lastMs = ms
    break
  }
  return (file) => {
    const { endMs } = monthRange(file)
    const neededMs = shiftBars(timeframeOf(file), endMs, ahead - 1)
    const telling = months.files.filter((near) => {
      const { startMs } = monthRange(near)
      return startMs >= endMs && startMs <= neededMs
    })
    const told = telling.some((near) => monthRange(near).endMs > neededMs) && lastMs >= neededMs
    return told ? undefined : telling
  }
}

/** Of a file whose last targets are open also of what will tell them, so that it is new when they are told. */
async function checksumOf(
  tracker: IdempotencyTracker,
  file: ParquetFileInfo,
  telling: readonly ParquetFileInfo[] | undefined,
): Promise<string> {
  const own = await tracker.checksum(file)
  if (!telling) return own
  const others: string[] = []
  for (const near of telling) others.push(await tracker.checksum(near))
  return ['open', own, ...others].join(' ')
}
