import { type AnswerMeta, type Answers, type ArchivedResponse, partsOf } from '../archive/archive.ts'
import { finalEnd, missingRuns } from '../coverage/expected.ts'
import type { SliceRecord, SliceStatus } from '../ledger/ledger.ts'
import { type BarBatch, concatBatches, emptyBatch } from '../model/bar.ts'
import { isEverybarError } from '../model/errors.ts'
import type { Finding } from '../model/finding.ts'
import { intersect, type RangeSet, subtract, toRangeSet } from '../model/range-set.ts'
import type { Slice } from '../model/slice.ts'
import { contains, type EpochMs, type TimeRange } from '../model/time.ts'
import { anchorOf, countOpens } from '../model/timeframe.ts'
import { type Validated, validate } from '../validate/validate.ts'
import { supersededBy } from './answer-chain.ts'
import { gridOf, type House, type SeriesJob } from './house.ts'
import { sliceAnswered } from './own-slice.ts'
import { reachStart } from './plan-series.ts'
import { revisedFinding, revisionsBetween } from './revisions.ts'

/** A slice that was answered: what the ledger will say of it, and its usable final bars. */
export interface Acquired {
  readonly slice: Slice
  readonly record: SliceRecord
  readonly bars: BarBatch
}

/**
 * The answers that were superseded before a current one came, oldest first. One that is damaged is passed over, and so is
 * one that nobody superseded: verify names both.
 */
export async function olderAnswers(
  house: Pick<House, 'archive' | 'onEvent'>,
  job: SeriesJob,
  sliceId: string,
  current: Pick<ArchivedResponse, 'meta' | 'sha256' | 'parts'>,
): Promise<readonly ArchivedResponse[]> {
  const older: ArchivedResponse[] = []
  for (let version = 1; ; version++) {
    try {
      const answer = await house.archive.get(job.folder, sliceId, version)
      if (!answer) return ownOf(job, older.length > 0 ? supersededBy(current, older) : older)
      older.push(answer)
    } catch (error) {
      if (!isEverybarError(error, 'archive.corrupt')) throw error
      house.onEvent({ event: 'archive_corrupt', level: 'error', series: job.id, message: error.message })
    }
  }
}

/** Without answers of another market that lay among these when the slice was asked for. */
async function ownOf(job: SeriesJob, answers: readonly ArchivedResponse[]) {
  const own: ArchivedResponse[] = []
  for (const answer of answers) if (await sliceAnswered(job, answer.meta)) own.push(answer)
  return own
}

/**
 * Decodes and validates the answers to a slice, oldest first: the same bytes give the same bars and the same record,
 * always. The latest value of a bar wins, and a bar a later answer leaves out is kept: venues forget, the archive does
 * not. The record speaks of the last answer.
 */
export async function settleable(
  job: SeriesJob,
  slice: Slice,
  answers: readonly Answers[],
  anchorMs: EpochMs | undefined,
): Promise<Acquired> {
  const fold = new SliceFold(job, slice, anchorMs)
  for (const answer of answers) await fold.read(answer)
  return fold.acquired()
}

/** One answer, and what could be read of it. */
export interface Answered extends Pick<ArchivedResponse, 'meta' | 'sha256'> {
  readonly read: Read | Unread
}

/** What the answers to a slice say together; they are taken in one after another, oldest first. */
export class SliceFold {
  readonly slice: Slice
  readonly #job: SeriesJob
  readonly #anchorMs: EpochMs | undefined
  #bars = emptyBatch
  readonly #revised: Finding[] = []
  readonly #asked: Asked[] = []
  #last: Answered | undefined

  constructor(job: SeriesJob, slice: Slice, anchorMs: EpochMs | undefined) {
    this.#job = job
    this.slice = slice
    this.#anchorMs = anchorMs
  }

  /** Reads an archived answer, or every part of a tail, and takes it in. */
  async read(answer: Answers): Promise<void> {
    for (const part of partsOf(answer))
      this.add({ ...part, read: await readable(this.#job, this.slice, part, this.#anchorMs) })
  }

  add(answered: Answered): void {
    const { meta, read } = answered
    this.#last = answered
    this.#asked.push({
      timesMs: [...(meta.earlierMs ?? []), meta.venueTimeMs],
      window: meta.window ?? this.slice.range,
    })
    if (!read.ok) return
    const { accepted } = read.validated
    for (const revision of revisionsBetween(this.#bars, accepted))
      this.#revised.push(revisedFinding(revision))
    this.#bars = concatBatches([this.#bars, accepted])
  }

  /** The final bars so far, ascending. */
  get bars(): BarBatch {
    return this.#bars
  }

  /** At least one answer has to have been taken in. */
  acquired(): Acquired {
    const last = this.#last!
    const { slice } = this
    const bars = this.#bars
    const { read } = last
    if (read.ok) return { slice, bars, record: this.#recordOf(last, read) }
    const findings: Finding[] = [{ kind: 'unreadable', detail: read.reason }, ...this.#revised]
    const record = {
      ...answered(slice, last),
      status: 'quarantined' as const,
      items: 0,
      error: read.reason,
      findings,
    }
    return { slice, bars, record: { ...record, ...edgesOf(bars) } }
  }

  #recordOf(last: Answered, { validated, items }: Read): SliceRecord {
    const job = this.#job
    const { slice } = this
    const bars = this.#bars
    const { meta } = last
    // An answer to a part of it says nothing of the rest, whenever it came.
    const closed = !meta.window && meta.venueTimeMs >= slice.range.endMs + job.source.spec.settleMs
    const holes = holesOf(job, slice, meta.venueTimeMs, bars, this.#anchorMs)
    const beyond = beyondReach(job, meta.venueTimeMs)
    const lost = meta.window ? intersect(beyond, [meta.window]) : beyond
    const unusable = validated.untrusted
      ? holes
      : intersect(holes, toRangeSet([...validated.quarantined, ...lost]))
    const absent = named(job, 'missing', subtract(holes, unusable)).map((run) => ({
      ...run,
      askedAtMs: this.#askedAt(run),
    }))
    const findings = [
      ...named(job, 'unreadable', unusable),
      ...validated.findings,
      ...this.#revised,
      ...absent,
    ]
    return {
      ...answered(slice, last),
      ...edgesOf(bars),
      status: statusOf(unusable, closed, bars.length),
      items,
      error: unusable.length > 0 ? whyUnusable(job, intersect(unusable, lost).length > 0) : null,
      findings,
    }
  }

  /** The venue's clock at each answer that speaks of where a run of missing bars begins, ascending. */
  #askedAt({ openTimeMs }: Finding): readonly EpochMs[] {
    return this.#asked
      .filter(({ window }) => openTimeMs === undefined || contains(window, openTimeMs))
      .flatMap(({ timesMs }) => timesMs)
      .sort((a, b) => a - b)
  }
}

interface Asked {
  readonly timesMs: readonly EpochMs[]
  readonly window: TimeRange
}

/** What reading takes. */
export interface Readable {
  readonly meta: Pick<AnswerMeta, 'url' | 'httpStatus' | 'venueTimeMs'>
  readonly body: Uint8Array
}
export interface Read {
  readonly ok: true
  readonly validated: Validated
  readonly items: number
}
export type Unread = { readonly ok: false; readonly reason: string }

/** Reads an answer as far as it can be read: what cannot is said, not thrown. */
export async function readable(
  job: SeriesJob,
  slice: Slice,
  { meta, body }: Readable,
  anchorMs: EpochMs | undefined,
): Promise<Read | Unread> {
  const { source, series } = job
  try {
    await source.check({ status: meta.httpStatus, headers: {}, body, url: meta.url })
    const page = await source.decode(body, slice)
    const grid = gridOf(job, anchorMs)
    const validated = validate(page, {
      series,
      range: slice.range,
      asOfMs: meta.venueTimeMs,
      settleMs: source.spec.settleMs,
      order: source.spec.order,
      ...(grid.anchorMs !== undefined && { anchorMs: grid.anchorMs }),
    })
    return { ok: true, validated, items: page.rows.length + page.badRows.length }
  } catch (error) {
    if (!isEverybarError(error)) throw error
    return { ok: false, reason: `${error.code}: ${error.message}` }
  }
}

/** What an endpoint that keeps its latest bars only could not have answered: its silence on them is no evidence. */
function beyondReach(job: SeriesJob, venueTimeMs: EpochMs): RangeSet {
  if (job.source.spec.reach?.beyond !== 'never_fetched') return []
  return toRangeSet([{ startMs: 0, endMs: reachStart(job, venueTimeMs) }])
}

const whyUnusable = ({ source: { spec } }: SeriesJob, lost: boolean): string =>
  lost
    ? `beyond reach: ${spec.id} gives its latest ${spec.reach!.bars} bars only`
    : 'validate.rejected: rows of the answer cannot be used'

const edgesOf = ({ length, openTimeMs }: BarBatch) => ({
  firstMs: length > 0 ? openTimeMs[0]! : null,
  lastMs: length > 0 ? openTimeMs[length - 1]! : null,
})

function statusOf(unusable: RangeSet, closed: boolean, bars: number): SliceStatus {
  if (unusable.length > 0) return 'quarantined'
  if (!closed) return 'partial'
  return bars === 0 ? 'empty' : 'ok'
}

/** Expected slots of the slice, from the venue's first bar to the last that was final, that no bar fills. */
export function holesOf(
  job: SeriesJob,
  { range }: Pick<Slice, 'range'>,
  venueTimeMs: EpochMs,
  { openTimeMs }: BarBatch,
  anchorMs: EpochMs | undefined,
): RangeSet {
  // What an answer does not hold is a fact of the answer. Whether the market was open then is judged when gaps are
  // asked for, so that a corrected calendar changes no record.
  const { calendar: _, ...grid } = gridOf(job, anchorMs)
  if (grid.anchorMs === undefined && anchorOf(job.series.timeframe) === undefined) return []
  const endMs = Math.min(range.endMs, finalEnd(grid, venueTimeMs, job.source.spec.settleMs))
  const startMs = Math.max(range.startMs, anchorMs ?? 0)
  if (endMs <= startMs) return []
  return toRangeSet(missingRuns(grid, { startMs, endMs }, openTimeMs))
}

function named(job: SeriesJob, kind: 'missing' | 'unreadable', runs: RangeSet): Finding[] {
  return runs.map((run) => {
    const count = countOpens(job.series.timeframe, run, run.startMs)
    const detail = kind === 'missing' ? 'not in the answer' : 'in the answer, not usable'
    return { kind, openTimeMs: run.startMs, count, detail }
  })
}

const answered = (slice: Slice, { meta, sha256 }: Pick<ArchivedResponse, 'meta' | 'sha256'>) => ({
  sliceId: slice.id,
  key: slice.key,
  range: slice.range,
  limit: slice.limit,
  httpStatus: meta.httpStatus,
  requestedAtMs: meta.requestedAtMs,
  completedAtMs: meta.fetchedAtMs,
  sha256,
  venueTimeMs: meta.venueTimeMs,
})
