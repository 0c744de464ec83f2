import type { AuditSession } from '../audit.ts'
import { type Instant, instantMs } from '../discovery.ts'
import type { ParquetFileInfo } from '../files.ts'
import { concatFrames, type Frame } from '../frame.ts'
import type { QualityFinding } from '../quality.ts'
import {
  audited,
  auditedLoop,
  handleNulls,
  type LoadContext,
  type Loaded,
  type LoadQuery,
  openMonths,
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

export const incrementalFiles = (
  context: LoadContext,
  query: IncrementalQuery,
): AsyncGenerator<IncrementalFile> =>
  auditedLoop(context, 'incremental', query, (session) => newFiles(context, query, session))

export function loadIncremental(context: LoadContext, query: IncrementalQuery): Promise<IncrementalData> {
  return audited(context, 'incremental', query, async (session) => {
    const parts: IncrementalFile[] = []
    for await (const part of newFiles(context, query, session)) parts.push(part)
    const months = await openMonths(context, 'incremental', { ...query, from: 0 })
    const frames = parts.map((part) => part.data)
    return {
      data: concatFrames(frames, months.names),
      files: parts.map((part) => part.file),
      filesSkipped: session.record.files_skipped,
      findings: parts.flatMap((part) => part.findings),
      sessionId: session.id,
    }
  })
}

async function* newFiles(
  context: LoadContext,
  query: IncrementalQuery,
  session: AuditSession,
): AsyncGenerator<IncrementalFile> {
  const { config, tracker, onEvent } = context
  const { enabled } = config.idempotency
  const startMs = instantMs('since', query.since) + 1
  // All months, for windows that reach back; those before `since` are not read otherwise.
  const months = await openMonths(context, 'incremental', { ...query, from: 0 }, { startMs, endMs: 1e14 })
  const wanted = await openMonths(context, 'incremental', { ...query, from: startMs })
  await session.count({ files_discovered: wanted.files.length })
  for (const file of wanted.files) {
    if (enabled && (await tracker.isProcessed(query.consumer, file))) {
      onEvent({ event: 'loader_file_skipped', path: file.path, consumer: query.consumer })
      await session.count({ files_skipped: 1 })
      continue
    }
    // Taken before the file is read: a change made meanwhile makes it new again.
    const checksum = enabled ? await tracker.checksum(file) : ''
    try {
      const { findings } = await months.report(file)
      say(onEvent, findings)
      const frames: Frame[] = []
      const { null_handling } = config.processing
      for await (const frame of handleNulls(months.frames(file), months.plan.columns, null_handling))
        frames.push(frame)
      const data = concatFrames(frames, months.names)
      yield { file, data, findings }
      if (enabled) await tracker.markProcessed(query.consumer, file, checksum)
      await session.count({ files_processed: 1, rows: data.length })
    } catch (error) {
      await session.count({ files_failed: 1 })
      throw error
    }
  }
}
