import { isEverybarError, messageOf } from '../model/errors.ts'
import type { HttpRequest, RawResponse } from '../model/http.ts'
import { subtract } from '../model/range-set.ts'
import type { Slice } from '../model/slice.ts'
import { type EpochMs, overlap, type TimeRange } from '../model/time.ts'
import type { House, SeriesJob } from './house.ts'
import { Settler } from './settle.ts'
import { SilenceJudge } from './silence.ts'
import {
  type Acquired,
  holesOf,
  olderAnswers,
  type Read,
  readable,
  SliceFold,
  type Unread,
} from './slice-answers.ts'

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
  const older = before ? await olderAnswers(house, job, slice.id, { meta, sha256 }) : []
  const fold = new SliceFold(job, slice, options.anchorMs)
  for (const answer of older) await fold.read(answer)
  fold.add({ meta, sha256, read })
  return fold.acquired()
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
