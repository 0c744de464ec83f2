import { EverybarError } from '../model/errors.ts'
import { type EpochMs, iso, type TimeRange } from '../model/time.ts'
import { askEdge, knownEdge } from './edges.ts'
import type { House, SeriesJob } from './house.ts'

/**
 * Tells an outage from an answer that was cut short. A venue that says nothing of a range is asked where its bars go
 * on: a bar that opens at its end or later shows that trading paused, a last bar before it that trading stopped.
 * Anything else contradicts the silence. What was learnt holds for the slices that follow: one question, or two, for a
 * silence of any length.
 */
export class SilenceJudge {
  readonly #house: House
  readonly #job: SeriesJob
  /** No bar opens in here. */
  #silent: TimeRange = { startMs: 0, endMs: 0 }
  #turn: Promise<void> = Promise.resolve()

  constructor(house: House, job: SeriesJob) {
    this.#house = house
    this.#job = job
  }

  /**
   * Resolves when the venue has shown that no bar opens in `range`, and at once for endpoints that cannot be asked.
   * Callers wait for one another, so that one of them asks for all.
   *
   * @throws EverybarError `sync.contradiction` (retry) when it shows one, or nothing at all; else what a fetch throws.
   */
  confirm(range: TimeRange, signal?: AbortSignal): Promise<void> {
    const turn = this.#turn.then(() => this.#ask(range, signal))
    this.#turn = turn.catch(() => {})
    return turn
  }

  async #ask(range: TimeRange, signal?: AbortSignal): Promise<void> {
    const { source, series } = this.#job
    if (!source.nextBar || (this.#silent.startMs <= range.startMs && range.endMs <= this.#silent.endMs))
      return
    const request = await source.nextBar.request(series, range.startMs)
    const { body } = await this.#house.fetcher.fetch(request, {
      check: source.check,
      ...(signal && { signal }),
    })
    const nextMs = await source.nextBar.decode(body, series)
    if (nextMs !== undefined && nextMs < range.endMs)
      throw this.#contradiction(range, `a bar that opens at ${iso(nextMs)}`)
    this.#silent =
      nextMs === undefined
        ? { startMs: (await this.#endBefore(range, signal)) + 1, endMs: Number.POSITIVE_INFINITY }
        : { startMs: range.startMs, endMs: nextMs }
    this.#house.onEvent({ event: 'silence_confirmed', series: this.#job.id, ...this.#silent })
  }

  /** The last bar of all, kept in the ledger as the evidence that trading stopped. */
  async #endBefore(range: TimeRange, signal?: AbortSignal): Promise<EpochMs> {
    const lastMs = (await askEdge(this.#house, this.#job, 'last-bar', signal))?.openTimeMs
    if (lastMs != null && lastMs < range.startMs) return lastMs
    const found = lastMs == null ? 'not a single one that would be its last' : `its last at ${iso(lastMs)}`
    throw this.#contradiction(range, found)
  }

  #contradiction({ startMs }: TimeRange, shown: string): EverybarError {
    const message = `${this.#job.id}: the answer has no bar from ${iso(startMs)} on, and yet the venue shows ${shown}`
    return new EverybarError('sync.contradiction', message, {
      recovery: 'retry',
      hint: 'Such an answer is no evidence and is asked for again. If it stays so, the venue or a proxy is at fault.',
    })
  }
}

/** Where a series was thought to have ended and has bars after that, the end is forgotten: it had only paused. */
export async function forgetPassedEnd(house: House, job: SeriesJob, range: TimeRange): Promise<void> {
  const endedMs = (await knownEdge(house, job, 'last-bar'))?.openTimeMs
  if (endedMs == null || endedMs >= range.endMs) return
  for await (const { lastMs } of house.ledger.slices(job.ref, { startMs: endedMs, endMs: range.endMs })) {
    if (lastMs === null || lastMs <= endedMs) continue
    const forgotten = { openTimeMs: null, askedAtMs: house.clock.nowMs(), url: '', answer: '' }
    return house.ledger.putFact(job.ref, 'last-bar', forgotten)
  }
}
