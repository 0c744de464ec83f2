import { expectedBars, finalAt, finalEnd } from '../coverage/expected.ts'
import { type BarBatch, emptyBatch, lowerBound, pickBars, sliceBatch } from '../model/bar.ts'
import { intersect, toRangeSet } from '../model/range-set.ts'
import { type Slice, slice as sliceOf, sliceRangeAt } from '../model/slice.ts'
import type { EpochMs, TimeRange } from '../model/time.ts'
import { countOpens, shiftBars } from '../model/timeframe.ts'
import { knownEdge } from './edges.ts'
import { gridOf, type House, type SeriesJob } from './house.ts'
import { planSeries } from './plan-series.ts'
import { revisionsBetween } from './revisions.ts'
import { type Acquired, olderAnswers, type Read, readable, SliceFold } from './slice-answers.ts'
import type { VenueClock } from './venue-clock.ts'

/** Further behind than this many bars, a series is brought level the ordinary way, in whole pages. */
export const BEHIND_MAX = 30
/** So often a venue that shows the forming bar and not the one before it is asked once more before it is believed. */
const LATE_TRIES = 3

/** What one question about the newest bars has come to. */
export type TailAnswer =
  | {
      readonly kind: 'bars'
      readonly acquired: Acquired
      /** The final bars that are new, or have other values than before. */
      readonly fresh: BarBatch
      /** The bar that has not closed yet, where the answer holds it. */
      readonly open: BarBatch
      /** The slice is at its end: it is to be asked for once more, whole. */
      readonly closed: boolean
    }
  /** No bar was due. `closed`: the rest of the slice had none, and it is at its end. */
  | { readonly kind: 'nothing'; readonly closed: boolean }
  /** The venue does not show the bar yet. Nothing is kept of the answer. */
  | { readonly kind: 'not-yet' }
  /** The answer is not one a tail can grow by: the ordinary way shall look at it. */
  | { readonly kind: 'unfit'; readonly reason: string }

/**
 * The newest end of one series: knows up to where final bars are answered, and asks for the last two, the bar that has
 * just closed and the one that forms. Holds the bars of one slice.
 */
export class Tail {
  readonly job: SeriesJob
  readonly #house: House
  readonly #anchorMs: EpochMs | undefined
  #fold: SliceFold
  #doneMs: EpochMs
  #revision: number
  #late = 0

  private constructor(
    house: House,
    job: SeriesJob,
    start: { anchorMs: EpochMs | undefined; fold: SliceFold; doneMs: EpochMs; revision: number },
  ) {
    this.#house = house
    this.job = job
    this.#anchorMs = start.anchorMs
    this.#fold = start.fold
    this.#doneMs = start.doneMs
    this.#revision = start.revision
  }

  /**
   * Opens the end of a series where the ledger knows every final bar of its last two slices, from `fromMs` on, or lacks no
   * more than the newest few; `undefined` where something else is missing there.
   */
  static async open(
    house: House,
    job: SeriesJob,
    clock: VenueClock,
    fromMs: EpochMs,
  ): Promise<Tail | undefined> {
    const anchorMs = (await knownEdge(house, job, 'first-bar'))?.openTimeMs ?? undefined
    const revision = await house.ledger.revision(job.ref)
    const doneMs = await answeredTo(house, job, { venueNowMs: clock.nowMs(), anchorMs, fromMs })
    if (doneMs === undefined) return undefined
    const fold = await foldOf(house, job, sliceRangeAt(job.slices, doneMs), anchorMs)
    return fold && new Tail(house, job, { anchorMs, fold, doneMs, revision })
  }

  /** Final bars are answered up to here. */
  get doneMs(): EpochMs {
    return this.#doneMs
  }

  /** End of the last bar that is final by the venue's clock. */
  dueMs(clock: VenueClock): EpochMs {
    return finalEnd(gridOf(this.job, this.#anchorMs), clock.nowMs(), this.job.source.spec.settleMs)
  }

  /** When, by the venue's clock, the next bar will be final. */
  nextDueMs(clock: VenueClock): EpochMs {
    const { series, source } = this.job
    const endMs = shiftBars(series.timeframe, this.dueMs(clock), 1)
    return finalAt(gridOf(this.job, this.#anchorMs), endMs, source.spec.settleMs)
  }

  /** Bars that are due and not done; those of closed sessions do not count. */
  behind(clock: VenueClock): number {
    return this.#expected(this.dueMs(clock))
  }

  #expected(endMs: EpochMs): number {
    if (endMs <= this.#doneMs) return 0
    return expectedBars(gridOf(this.job, this.#anchorMs), { startMs: this.#doneMs, endMs })
  }

  /** Goes on to the next slice where a closed market leaves nothing to ask for up to the end of this one. */
  #passOver(endMs: EpochMs): boolean {
    if (endMs < this.#fold.slice.range.endMs) return false
    this.#doneMs = endMs
    this.#fold = this.#foldAt(sliceRangeAt(this.job.slices, endMs))
    return true
  }

  /** Whether somebody else has written to the series since; then it has to be opened anew. */
  async isStale(): Promise<boolean> {
    return (await this.#house.ledger.revision(this.job.ref)) !== this.#revision
  }

  /** To be called once the ledger has the record of what `ask` gave. */
  async recorded(): Promise<void> {
    this.#revision = await this.#house.ledger.revision(this.job.ref)
  }

  /**
   * Asks for what is due of the current slice, and keeps the answer in the archive where it shows the bars that are due,
   * or by a later bar that there are none.
   *
   * @throws EverybarError what a fetch or the archive throws.
   */
  async ask(clock: VenueClock, signal?: AbortSignal): Promise<TailAnswer> {
    const { source, series, folder } = this.job
    const { slice } = this.#fold
    const venueTimeMs = clock.nowMs()
    const endMs = Math.min(this.dueMs(clock), slice.range.endMs)
    if (this.#expected(endMs) === 0) return { kind: 'nothing', closed: this.#passOver(endMs) }
    const window = {
      startMs: this.#doneMs,
      endMs: endMs < slice.range.endMs ? shiftBars(series.timeframe, endMs, 1) : endMs,
    }
    const limit = Math.max(2, countOpens(series.timeframe, window, this.#anchorMs ?? window.startMs))
    const request = await source.request({ series, range: window, limit: Math.min(limit, slice.limit) })
    const response = await this.#house.fetcher.fetch(request, {
      check: async (one) => source.check(one),
      ...(signal && { signal }),
    })
    const { url, status: httpStatus, body } = response
    const read = await readable(
      this.job,
      slice,
      { meta: { url, httpStatus, venueTimeMs }, body },
      this.#anchorMs,
    )
    const unfit = whyUnfit(read, window)
    if (unfit !== undefined) return { kind: 'unfit', reason: unfit }
    const { validated } = read as Read
    if (!this.#shows(validated, endMs)) return { kind: 'not-yet' }
    const { meta, sha256 } = await this.#house.archive.extend(folder, slice, response, venueTimeMs, window)
    const fresh = changedBars(this.#fold.bars, validated.accepted)
    this.#fold.add({ meta, sha256, read: read as Read })
    const acquired = this.#fold.acquired()
    const open = this.#house.stores.some((store) => store.provisional)
      ? openBar((await source.decode(body, slice)).rows, endMs, window.endMs)
      : emptyBatch
    const closed = endMs === slice.range.endMs
    this.#doneMs = endMs
    this.#late = 0
    if (closed) this.#fold = this.#foldAt(sliceRangeAt(this.job.slices, endMs))
    return { kind: 'bars', acquired, fresh, open, closed }
  }

  /**
   * Whether an answer speaks of the last bar that is due: it holds it, or a later one. A venue that sends bars without a
   * trade too, and shows the one after it first, is given a little time.
   */
  #shows({ accepted, held }: Read['validated'], endMs: EpochMs): boolean {
    const lastMs = shiftBars(this.job.series.timeframe, endMs, -1)
    const hasLast = accepted.length > 0 && accepted.openTimeMs[accepted.length - 1]! >= lastMs
    if (hasLast) return true
    if (held === 0) return false
    return this.job.source.spec.quietBars === 'omitted' || ++this.#late > LATE_TRIES
  }

  #foldAt(range: TimeRange): SliceFold {
    const { job } = this
    return new SliceFold(
      job,
      sliceOf(job.series, job.source.spec.id, range, job.slices.limit),
      this.#anchorMs,
    )
  }
}

/** Up to where every final bar of the last two slices is answered; `undefined` where one before the newest few is not. */
async function answeredTo(
  house: House,
  job: SeriesJob,
  at: { readonly venueNowMs: EpochMs; readonly anchorMs: EpochMs | undefined; readonly fromMs: EpochMs },
): Promise<EpochMs | undefined> {
  const { venueNowMs, anchorMs, fromMs } = at
  const dueMs = finalEnd(gridOf(job, anchorMs), venueNowMs, job.source.spec.settleMs)
  const now = sliceRangeAt(job.slices, dueMs)
  const before = sliceRangeAt(job.slices, Math.max(0, now.startMs - 1))
  const startMs = Math.max(before.startMs, Math.min(fromMs, dueMs - 1))
  if (startMs >= dueMs) return dueMs
  const range = { startMs, endMs: dueMs }
  const { missing } = await planSeries(house, job, { range, firstMs: anchorMs, venueNowMs })
  const [first, ...others] = intersect(missing, [range])
  if (!first) return dueMs
  if (others.length > 0 || first.endMs < dueMs || first.startMs === startMs) return undefined
  // A slice that is missing although it was answered has closed meanwhile: it is asked for whole.
  const own = sliceRangeAt(job.slices, first.startMs)
  const id = sliceOf(job.series, job.source.spec.id, own, job.slices.limit).id
  const asked = own.startMs === first.startMs && (await house.ledger.get(job.ref, id)) !== undefined
  return asked ? undefined : first.startMs
}

/** The answers to a slice so far; `undefined` where one of them cannot be read. */
async function foldOf(
  house: House,
  job: SeriesJob,
  range: TimeRange,
  anchorMs: EpochMs | undefined,
): Promise<SliceFold | undefined> {
  const own: Slice = sliceOf(job.series, job.source.spec.id, range, job.slices.limit)
  const fold = new SliceFold(job, own, anchorMs)
  const current = await house.archive.get(job.folder, own.id)
  if (!current) return fold
  const known = await house.ledger.get(job.ref, own.id)
  if (known?.sha256 !== current.sha256) return undefined
  for (const answer of [...(await olderAnswers(house, job, own.id, current)), current])
    await fold.read(answer)
  return fold
}

/** What keeps a tail from growing by an answer; `undefined` where nothing does. */
function whyUnfit(read: Awaited<ReturnType<typeof readable>>, window: TimeRange): string | undefined {
  if (!read.ok) return read.reason
  const { untrusted, quarantined } = read.validated
  if (untrusted) return 'a row has no time that can be read'
  return intersect(quarantined, toRangeSet([window])).length > 0 ? 'a bar cannot be used' : undefined
}

/** The bars of `later` that `before` lacks or has with other values. */
function changedBars(before: BarBatch, later: BarBatch): BarBatch {
  const revised = new Set([...revisionsBetween(before, later)].map(({ openTimeMs }) => openTimeMs))
  const positions: number[] = []
  for (let i = 0; i < later.length; i++) {
    const ms = later.openTimeMs[i]!
    if (revised.has(ms) || before.openTimeMs[lowerBound(before.openTimeMs, ms)] !== ms) positions.push(i)
  }
  return positions.length === later.length ? later : pickBars(later, positions)
}

/** The one row that opens where the last final bar ends. */
function openBar(rows: BarBatch, fromMs: EpochMs, toMs: EpochMs): BarBatch {
  for (let i = rows.length - 1; i >= 0; i--) {
    const ms = rows.openTimeMs[i]!
    if (ms >= fromMs && ms < toMs) return sliceBatch(rows, i, i + 1)
  }
  return emptyBatch
}
