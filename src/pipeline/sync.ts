import { runChunks } from '../chunking/run-chunks.ts'
import { type GapRun, openClasses } from '../coverage/classify.ts'
import type { SliceRecord } from '../ledger/ledger.ts'
import { EverybarError, isEverybarError, messageOf } from '../model/errors.ts'
import type { FindingKind } from '../model/finding.ts'
import { intersect, toRangeSet } from '../model/range-set.ts'
import type { Series } from '../model/series.ts'
import type { Slice } from '../model/slice.ts'
import type { EpochMs, TimeRange } from '../model/time.ts'
import { adoptArchive } from './adopt.ts'
import { askEdge, firstBar, knownEdge } from './edges.ts'
import { gapsOf } from './gaps.ts'
import { type House, jobOf, type SeriesJob } from './house.ts'
import { dueEnd, planSeries } from './plan-series.ts'
import { resolveRange, type Wish } from './range.ts'
import { replay } from './replay.ts'
import { type Acquired, acquire } from './run-slice.ts'
import { Settler } from './settle.ts'
import type { VenueClock, Venues } from './venue-clock.ts'

/** What became of one series. */
export interface SeriesOutcome {
  readonly series: Series
  /** `undefined` when it failed before the range was known. */
  readonly range?: TimeRange
  readonly slices: { planned: number; fetched: number; replayed: number; failed: number; quarantined: number; partial: number }
  readonly bars: { inserted: number; revised: number; unchanged: number }
  readonly findings: Partial<Record<FindingKind, number>>
  readonly gaps: readonly GapRun[]
  /** No expected bar of the range is not yet final, never fetched, failed or quarantined, and every store has them. */
  readonly complete: boolean
  readonly errors: readonly EverybarError[]
}

/** So many slices in a row may fail before the rest is left for another day. */
const FAILURES_MAX = 4
/** So many answers in a row that end early after the same number of rows show a page cap we do not know. */
const CAPPED_MAX = 3

type Tally = { -readonly [K in keyof SeriesOutcome['slices']]: number }

/**
 * Makes one series complete over the range wished for: adopts what a crash left, replays what stores lack, fetches what
 * was never answered, settles it, and says what is missing and why. Never throws for what happens to this series: the
 * outcome carries it, so that other series go on.
 *
 * @param signal once aborted, no further request leaves; what is under way is finished and recorded.
 */
export async function syncSeries(
  house: House,
  venues: Venues,
  wish: Wish,
  signal: AbortSignal,
): Promise<SeriesOutcome> {
  const run = new SeriesRun(house, wish.series)
  try {
    const job = jobOf(house, wish.series)
    await adoptArchive(house, job)
    const known = await resolveRange(house, venues, job, wish, signal)
    run.range = known.range
    await house.ledger.want(job.ref, known.range)
    await run.replayStores(job, known.range, signal)
    await run.fetchMissing(job, venues, known, signal)
    await run.lookForTheEnd(job, known.clock)
    return run.outcome(await gapsOf(house, job, known.range, dueEnd(job, { ...known, venueNowMs: known.clock?.nowMs() })))
  } catch (error) {
    if (isEverybarError(error) && error.code.startsWith('ledger.')) throw error
    run.fail(error)
    return run.outcome([])
  }
}

class SeriesRun {
  range: TimeRange | undefined
  readonly #house: House
  readonly #series: Series
  readonly #slices: Tally = { planned: 0, fetched: 0, replayed: 0, failed: 0, quarantined: 0, partial: 0 }
  readonly #bars = { inserted: 0, revised: 0, unchanged: 0 }
  readonly #findings: Partial<Record<FindingKind, number>> = {}
  readonly #errors: EverybarError[] = []
  #brokenOff = false

  constructor(house: House, series: Series) {
    this.#house = house
    this.#series = series
  }

  async replayStores(job: SeriesJob, range: TimeRange, signal: AbortSignal): Promise<void> {
    for (const store of this.#house.stores) {
      const done = await replay(this.#house, job, store, { range, signal })
      this.#slices.replayed += done.slices
      this.#errors.push(...done.errors)
      if (store === this.#house.stores[0]) this.#count(done)
    }
  }

  async fetchMissing(
    job: SeriesJob,
    venues: Venues,
    known: { range: TimeRange; clock?: VenueClock | undefined },
    signal: AbortSignal,
  ): Promise<void> {
    const firstMs = (await knownEdge(this.#house, job, 'first-bar'))?.openTimeMs ?? undefined
    const glance = await planSeries(this.#house, job, { ...known, firstMs, venueNowMs: known.clock?.nowMs() })
    if (glance.count === 0 && known.clock) return
    if (glance.count === 0 && !(await hasOpenSlices(this.#house, job, known.range))) return
    const clock = known.clock ?? (await venues.clockOf(job, signal))
    const anchorMs = glance.count === 0 ? firstMs : await firstBar(this.#house, job, signal)
    const todo = await planSeries(this.#house, job, { ...known, firstMs: anchorMs, venueNowMs: clock.nowMs() })
    this.#slices.planned = todo.count
    await this.#acquireAll(job, todo.slices(), { clock, anchorMs, signal, ...known })
  }

  async #acquireAll(
    job: SeriesJob,
    slices: Iterable<Slice>,
    { clock, anchorMs, signal, range }: { clock: VenueClock; anchorMs: EpochMs | undefined; signal: AbortSignal; range: TimeRange },
  ): Promise<void> {
    const house = this.#house
    const settler = new Settler(house, job)
    const stop = new AbortController()
    const ask = async (slice: Slice) => {
      const before = await house.ledger.get(job.ref, slice.id)
      const venueTimeMs = clock.nowMs()
      const endMs = Math.min(slice.range.endMs, dueEnd(job, { range: slice.range, firstMs: anchorMs, venueNowMs: venueTimeMs }))
      const window = { startMs: slice.range.startMs, endMs: Math.max(endMs, slice.range.startMs + 1) }
      const answeredBefore = before?.sha256 != null
      return acquire(house, job, slice, { window, venueTimeMs, answeredBefore, signal, ...(anchorMs !== undefined && { anchorMs }) })
    }
    const watch = new Watch()
    const options = { concurrency: house.concurrency, signal: AbortSignal.any([signal, stop.signal]), onError: 'continue' as const }
    for await (const { plan, ...outcome } of runChunks(until(slices, options.signal), ask, options)) {
      if ('error' in outcome) await this.#noteFailure(job, plan, outcome.error, settler, watch)
      else await this.#take(job, outcome.result, settler, watch)
      if (watch.giveUp && !stop.signal.aborted) {
        this.#brokenOff = true
        stop.abort(watch.giveUp)
      }
      this.#progress(range)
    }
    const settled = await settler.finish()
    this.#count(settled)
    this.#errors.push(...settled.errors)
  }

  async #take(job: SeriesJob, acquired: Acquired, settler: Settler, watch: Watch): Promise<void> {
    const { record } = acquired
    watch.succeeded(record)
    this.#slices.fetched++
    if (record.status === 'partial') this.#slices.partial++
    if (record.status === 'quarantined') this.#slices.quarantined++
    for (const { kind, count = 1 } of record.findings) this.#findings[kind] = (this.#findings[kind] ?? 0) + count
    if (record.findings.length > 0) {
      this.#house.onEvent({ event: 'slice_findings', level: 'warn', series: job.id, slice: record.key, findings: record.findings })
    }
    await settler.add(acquired)
  }

  async #noteFailure(job: SeriesJob, slice: Slice, error: unknown, settler: Settler, watch: Watch): Promise<void> {
    if (this.#brokenOff) return // stopped on purpose: these are still pending
    const failure = asError(error)
    watch.failed(failure)
    this.#slices.failed++
    this.#errors.push(failure)
    this.#house.onEvent({ event: 'slice_failed', level: 'error', series: job.id, slice: slice.key, code: failure.code, message: failure.message })
    const before = await this.#house.ledger.get(job.ref, slice.id)
    if (before?.sha256 != null) return // an older answer is worth more than the news of a failure
    await settler.note(failedRecord(slice, failure, this.#house.clock.nowMs()))
  }

  /** A range that ends in empty answers: has the instrument stopped trading, or has the venue stopped answering? */
  async lookForTheEnd(job: SeriesJob, clock: VenueClock | undefined): Promise<void> {
    if (!clock || !this.range || this.#slices.fetched === 0) return
    const tail = await emptyTail(this.#house, job, this.range)
    if (!tail) return
    const edge = await askEdge(this.#house, job, 'last-bar')
    if (!edge || (edge.openTimeMs !== null && edge.openTimeMs < tail.startMs)) return
    this.#errors.push(
      new EverybarError('sync.contradiction', `${job.id}: the venue answers with nothing, yet has later bars`, {
        recovery: 'retry',
        hint: 'Its empty answers are no evidence. Run again later; if it stays so, the venue or a proxy is at fault.',
      }),
    )
  }

  fail(error: unknown): void {
    this.#errors.push(asError(error))
  }

  outcome(gaps: readonly GapRun[]): SeriesOutcome {
    const complete = this.#errors.length === 0 && this.range !== undefined && !gaps.some((gap) => openClasses.has(gap.class))
    return {
      series: this.#series,
      ...(this.range && { range: this.range }),
      slices: this.#slices,
      bars: this.#bars,
      findings: this.#findings,
      gaps,
      complete,
      errors: this.#errors,
    }
  }

  #count({ inserted, revised, unchanged }: { inserted: number; revised: number; unchanged: number }): void {
    this.#bars.inserted += inserted
    this.#bars.revised += revised
    this.#bars.unchanged += unchanged
  }
}
