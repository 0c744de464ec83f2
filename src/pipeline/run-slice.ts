import type { AnswerMeta, ArchivedResponse } from '../archive/archive.ts'
import { finalEnd, missingRuns } from '../coverage/expected.ts'
import type { SliceRecord, SliceStatus } from '../ledger/ledger.ts'
import { type BarBatch, concatBatches, emptyBatch } from '../model/bar.ts'
import { isEverybarError, messageOf } from '../model/errors.ts'
import type { Finding } from '../model/finding.ts'
import type { HttpRequest, RawResponse } from '../model/http.ts'
import { intersect, type RangeSet, subtract, toRangeSet } from '../model/range-set.ts'
import type { Slice } from '../model/slice.ts'
import { type EpochMs, overlap, type TimeRange } from '../model/time.ts'
import { anchorOf, countOpens } from '../model/timeframe.ts'
import { type Validated, validate } from '../validate/validate.ts'
import { gridOf, type House, type SeriesJob } from './house.ts'
import { reachStart } from './plan-series.ts'
import { revisedFinding, revisionsBetween } from './revisions.ts'
import { Settler } from './settle.ts'
import { SilenceJudge } from './silence.ts'

/** A slice that was answered: what the ledger will say of it, and its usable final bars. */
export interface Acquired {
  readonly slice: Slice
  readonly record: SliceRecord
  readonly bars: BarBatch
}

export interface AcquireOptions {
  /** The part of the slice's window whose bars are final by now; the whole window once it has closed. */
  readonly window: TimeRange
  /** The venue's clock just before the request may leave. */
  readonly venueTimeMs: EpochMs
  readonly anchorMs?: EpochMs
  /** Whether the slice was answered before: its older answers then count too. */
  readonly answeredBefore?: boolean
  /** Shared by the slices of a run, so that a long silence is asked about once. */
  readonly silence?: SilenceJudge
  readonly signal?: AbortSignal
}

/**
 * A bar's way, whole, for one slice: request, fetch, archive, decode, validate, commit, record. `sync`, `replay` and
 * `repair` walk the same way with many slices at a time.
 */
export async function runSlice(house: House, job: SeriesJob, slice: Slice, options: AcquireOptions) {
  const acquired = await acquire(house, job, slice, options)
  const settler = new Settler(house, job)
  await settler.add(acquired)
  return { record: acquired.record, ...(await settler.finish()) }
}

/**
 * Request, fetch, archive, decode, validate. When this resolves the answer is safe; the ledger does not know of it yet.
 * An answer that cannot be read is archived and comes back as `quarantined`.
 *
 * @throws EverybarError `retry` when no answer came, `abort` when none ever will.
 */
export async function acquire(
  house: House,
  job: SeriesJob,
  slice: Slice,
  options: AcquireOptions,
): Promise<Acquired> {
  const { source, series } = job
  const request = await source.request({ series, range: options.window, limit: slice.limit })
  const { response, read } = await told(house, job, slice, () =>
    askUntilProven(house, job, slice, request, options),
  )
  const { meta, sha256 } = await house.archive.put(job.folder, slice, response, options.venueTimeMs)
  // The ledger may have forgotten a slice whose older answers are still there.
  const before = options.answeredBefore || meta.supersedes !== undefined
  const older = before ? await olderAnswers(house, job, slice.id) : []
  const earlier = await readEach(job, slice, older, options.anchorMs)
  return acquired(job, slice, [...earlier, { meta, sha256, read }], options.anchorMs)
}

/** Says when a slice is asked for, and how that ended. */
async function told(
  house: House,
  job: SeriesJob,
  slice: Slice,
  ask: () => Promise<{ response: RawResponse; read: Read | Unread }>,
) {
  const startedMs = house.clock.monotonicMs()
  const base = { series: job.id, slice: slice.key }
  const spent = () => Math.round(house.clock.monotonicMs() - startedMs)
  house.onEvent({ event: 'fetch_start', level: 'debug', ...base, limit: slice.limit })
  try {
    const answer = await ask()
    const { status, attempts: attempt } = answer.response
    const rows = answer.read.ok ? answer.read.items : 0
    house.onEvent({ event: 'fetch_ok', level: 'debug', ...base, status, attempt, rows, duration_ms: spent() })
    return answer
  } catch (error) {
    const code = isEverybarError(error) ? error.code : 'app.unexpected'
    house.onEvent({ event: 'fetch_error', ...base, code, error: messageOf(error), duration_ms: spent() })
    throw error
  }
}

/** Answers that end before the window does are asked for so often before the venue is told that it contradicts itself. */
const TRIES = 2

/**
 * An answer without the last bars of its window says nothing of them by itself. The venue has to show that it has none
 * there: by a bar that opens later, or by its last. What it cannot show is never archived.
 */
async function askUntilProven(
  house: House,
  job: SeriesJob,
  slice: Slice,
  request: HttpRequest,
  options: AcquireOptions,
): Promise<{ response: RawResponse; read: Read | Unread }> {
  const { anchorMs, venueTimeMs, signal } = options
  const silence = options.silence ?? new SilenceJudge(house, job)
  for (let tries = 1; ; tries++) {
    const { response } = await askUntilReadable(house, job, request, options)
    const { url, status: httpStatus, body } = response
    const read = await readable(job, slice, { meta: { url, httpStatus, venueTimeMs }, body }, anchorMs)
    const silent = read.ok ? silentEnd(job, slice, read, options) : undefined
    if (!silent || !read.ok) return { response, read }
    // Where the venue cannot be asked what comes next, it has to say twice that there is nothing at all.
    if (!job.source.nextBar && tries < TRIES && read.items === 0) continue
    try {
      await silence.confirm(silent, signal)
      return { response, read }
    } catch (error) {
      if (tries >= TRIES || !isEverybarError(error, 'sync.contradiction')) throw error
    }
  }
}

/** The last expected bars of the window, where the answer says nothing of them at all, good or bad. */
function silentEnd(
  job: SeriesJob,
  { range }: Slice,
  { validated }: Read,
  { window, venueTimeMs, anchorMs }: AcquireOptions,
): TimeRange | undefined {
  const { accepted, quarantined, untrusted } = validated
  if (untrusted) return undefined
  const asked = { range: overlap(range, window) ?? range }
  const last = subtract(holesOf(job, asked, venueTimeMs, accepted, anchorMs), quarantined).at(-1)
  const spokenOfMs = Math.max(
    accepted.openTimeMs[accepted.length - 1] ?? 0,
    (quarantined.at(-1)?.endMs ?? 1) - 1,
  )
  return last && last.startMs > spokenOfMs ? last : undefined
}

/** The answers a newer one has superseded, oldest first. One that is damaged is passed over: verify names it. */
export async function olderAnswers(
  house: Pick<House, 'archive' | 'onEvent'>,
  job: SeriesJob,
  sliceId: string,
): Promise<ArchivedResponse[]> {
  const older: ArchivedResponse[] = []
  for (let version = 1; ; version++) {
    try {
      const answer = await house.archive.get(job.folder, sliceId, version)
      if (!answer) return older
      older.push(answer)
    } catch (error) {
      if (!isEverybarError(error, 'archive.corrupt')) throw error
      house.onEvent({ event: 'archive_corrupt', level: 'error', series: job.id, message: error.message })
    }
  }
}

/**
 * An answer of status 2xx that never became readable is kept all the same, to be looked at; not where it would take
 * the place of a readable one.
 */
async function askUntilReadable(
  house: House,
  job: SeriesJob,
  request: Parameters<House['fetcher']['fetch']>[0],
  { signal, answeredBefore }: AcquireOptions,
): Promise<{ response: RawResponse }> {
  let refused: RawResponse | undefined
  const check = async (response: RawResponse) => {
    refused = undefined
    try {
      await job.source.check(response)
    } catch (error) {
      if (response.status >= 200 && response.status <= 299) refused = response
      throw error
    }
  }
  try {
    return { response: await house.fetcher.fetch(request, { check, ...(signal && { signal }) }) }
  } catch (error) {
    if (
      !refused ||
      answeredBefore ||
      signal?.aborted ||
      !isEverybarError(error) ||
      error.recovery === 'abort'
    )
      throw error
    return { response: refused }
  }
}

/**
 * Decodes and validates the answers to a slice, oldest first: the same bytes give the same bars and the same record,
 * always. The latest value of a bar wins, and a bar a later answer leaves out is kept: venues forget, the archive does
 * not. The record speaks of the last answer.
 */
export async function settleable(
  job: SeriesJob,
  slice: Slice,
  answers: readonly ArchivedResponse[],
  anchorMs: EpochMs | undefined,
): Promise<Acquired> {
  return acquired(job, slice, await readEach(job, slice, answers, anchorMs), anchorMs)
}

interface Answered extends Pick<ArchivedResponse, 'meta' | 'sha256'> {
  readonly read: Read | Unread
}

function acquired(
  job: SeriesJob,
  slice: Slice,
  answers: readonly Answered[],
  anchorMs: EpochMs | undefined,
): Acquired {
  let bars = emptyBatch
  const revised: Finding[] = []
  for (const { read } of answers) {
    if (!read.ok) continue
    for (const revision of revisionsBetween(bars, read.validated.accepted))
      revised.push(revisedFinding(revision))
    bars = concatBatches([bars, read.validated.accepted])
  }
  const last = answers.at(-1)!
  const { read } = last
  const times = answers.flatMap(({ meta }) => [...(meta.earlierMs ?? []), meta.venueTimeMs])
  const askedAtMs = times.sort((a, b) => a - b)
  if (read.ok)
    return {
      slice,
      bars,
      record: recordOf(job, slice, last, { ...read, bars, revised, askedAtMs, anchorMs }),
    }
  const findings: Finding[] = [{ kind: 'unreadable', detail: read.reason }, ...revised]
  const record = {
    ...answered(slice, last),
    status: 'quarantined' as const,
    items: 0,
    error: read.reason,
    findings,
  }
  return { slice, bars, record: { ...record, ...edgesOf(bars) } }
}

interface Readable {
  readonly meta: Pick<AnswerMeta, 'url' | 'httpStatus' | 'venueTimeMs'>
  readonly body: Uint8Array
}
interface Read {
  readonly ok: true
  readonly validated: Validated
  readonly items: number
}
type Unread = { readonly ok: false; readonly reason: string }

async function readEach(
  job: SeriesJob,
  slice: Slice,
  answers: readonly ArchivedResponse[],
  anchorMs: EpochMs | undefined,
): Promise<Answered[]> {
  const all: Answered[] = []
  for (const answer of answers) {
    all.push({ ...answer, read: await readable(job, slice, answer, anchorMs) })
  }
  return all
}

async function readable(
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

interface Found extends Read {
  readonly bars: BarBatch
  readonly revised: readonly Finding[]
  /** The venue's clock at each answer, ascending. */
  readonly askedAtMs: readonly EpochMs[]
  readonly anchorMs: EpochMs | undefined
}

function recordOf(
  job: SeriesJob,
  slice: Slice,
  archived: Pick<ArchivedResponse, 'meta' | 'sha256'>,
  { validated, items, bars, revised, askedAtMs, anchorMs }: Found,
): SliceRecord {
  const closed = archived.meta.venueTimeMs >= slice.range.endMs + job.source.spec.settleMs
  const holes = holesOf(job, slice, archived.meta.venueTimeMs, bars, anchorMs)
  const lost = beyondReach(job, archived.meta.venueTimeMs)
  const unusable = validated.untrusted
    ? holes
    : intersect(holes, toRangeSet([...validated.quarantined, ...lost]))
  const absent = named(job, 'missing', subtract(holes, unusable)).map((run) => ({ ...run, askedAtMs }))
  const findings = [...named(job, 'unreadable', unusable), ...validated.findings, ...revised, ...absent]
  return {
    ...answered(slice, archived),
    ...edgesOf(bars),
    status: statusOf(unusable, closed, bars.length),
    items,
    error: unusable.length > 0 ? whyUnusable(job, intersect(unusable, lost).length > 0) : null,
    findings,
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
function holesOf(
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
