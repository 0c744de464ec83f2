import { EverybarError, isEverybarError, messageOf } from '../model/errors.ts'
import type { RawResponse } from '../model/http.ts'
import type { EpochMs } from '../model/time.ts'
import type { House, SeriesJob } from './house.ts'

/** The venue's clock: what it said once, carried on by this machine's monotonic clock. Steps of ours do not move it. */
export interface VenueClock {
  readonly nowMs: () => EpochMs
  /** Ours minus theirs when it was read. */
  readonly skewMs: number
  readonly from: 'venue' | 'date-header' | 'local'
}

/** What asking takes. */
type Asking = Pick<House, 'fetcher' | 'clock' | 'onEvent'>

/** Asks every bucket of a venue for its clock and its limits, once a run, and only when somebody needs them. */
export class Venues {
  readonly #house: Asking
  readonly #clocks = new Map<string, { readonly by: string; readonly clock: Promise<VenueClock> }>()

  constructor(house: Asking) {
    this.#house = house
  }

  /**
   * Several callers at once share one request, and its failure; a failure is not kept for later ones. Where it speaks
   * of the series that was asked with (an unknown symbol), it is that series' alone: the next one asks with its own.
   */
  async clockOf(job: SeriesJob, signal?: AbortSignal): Promise<VenueClock> {
    const { bucket } = job.source.spec
    for (;;) {
      const known = this.#clocks.get(bucket)
      if (!known || known.by === job.id) return (known ?? this.#ask(job, signal)).clock
      try {
        return await known.clock
      } catch (error) {
        if (!isEverybarError(error) || error.recovery !== 'abort') throw error
        if (this.#clocks.get(bucket) === known) this.#clocks.delete(bucket)
      }
    }
  }

  #ask(job: SeriesJob, signal?: AbortSignal) {
    const { bucket } = job.source.spec
    const asked = { by: job.id, clock: readVenue(this.#house, job, signal) }
    this.#clocks.set(bucket, asked)
    asked.clock.catch(() => {
      if (this.#clocks.get(bucket) === asked) this.#clocks.delete(bucket)
    })
    return asked
  }
}

async function readVenue(house: Asking, job: SeriesJob, signal?: AbortSignal): Promise<VenueClock> {
  const { source, series } = job
  house.fetcher.assumeLimits(source.spec.limits)
  const { venueInfo } = source
  if (!venueInfo) return localClock(house)
  let dated: RawResponse | undefined
  try {
    const check = async (response: RawResponse) => {
      dated = response
      if (response.status < 200 || response.status > 299) await source.check(response)
      else await venueInfo.decode(response.body, series, response.headers)
    }
    const response = await house.fetcher.fetch(await venueInfo.request(series), {
      check,
      ...(signal && { signal }),
    })
    const info = await venueInfo.decode(response.body, series, response.headers)
    if (info.limits.length > 0) house.fetcher.setLimits(info.limits)
    return carriedOn(house, info.venueTimeMs, response, 'venue')
  } catch (error) {
    // A venue that has no such page mostly dates its answers all the same; one that cannot be reached is an error.
    const answered = dated && isEverybarError(error) && error.recovery !== 'retry'
    if (!answered || isEverybarError(error, 'source.unknown-symbol')) throw error
    house.onEvent({
      event: 'venue_info_missing',
      level: 'warn',
      venue: source.spec.venue,
      message: messageOf(error),
    })
    const headerMs = Date.parse(dated?.headers.date ?? '')
    return Number.isFinite(headerMs) ? carriedOn(house, headerMs, dated!, 'date-header') : localClock(house)
  }
}

function carriedOn(
  house: Asking,
  venueMs: EpochMs,
  response: RawResponse,
  from: VenueClock['from'],
): VenueClock {
  if (!Number.isSafeInteger(venueMs) || venueMs <= 0) {
    throw new EverybarError('source.bad-clock', `the venue gave ${venueMs} as its time`, {
      recovery: 'retry',
      hint: 'The answer may come from a proxy. Check the base URL.',
    })
  }
  // The venue read its clock at some time before the answer was whole: taking that moment makes ours late, never early.
  const readAt = house.clock.monotonicMs()
  const skewMs = Math.round(response.receivedAtMs - venueMs)
  house.onEvent({ event: 'venue_clock', skew_ms: skewMs, from })
  return { nowMs: () => venueMs + Math.floor(house.clock.monotonicMs() - readAt), skewMs, from }
}

function localClock(house: Asking): VenueClock {
  const startMs = house.clock.nowMs()
  const readAt = house.clock.monotonicMs()
  house.onEvent({ event: 'venue_clock', level: 'warn', skew_ms: 0, from: 'local' })
  return { nowMs: () => startMs + Math.floor(house.clock.monotonicMs() - readAt), skewMs: 0, from: 'local' }
}
