import { isEverybarError, messageOf } from '../model/errors.ts'
import type { House, SeriesJob } from './house.ts'
import { type VenueClock, Venues } from './venue-clock.ts'

/** A venue's clock is read again so often: ours drifts, stands still with the machine, and limits change. */
const RENEW_MS = 10 * 60_000

/** The clocks of venues over days: read anew now and then, and carried on where that fails. */
export class LiveClocks {
  readonly #house: Pick<House, 'fetcher' | 'clock' | 'onEvent'>
  readonly #known = new Map<string, { readonly clock: VenueClock; readonly readAt: number }>()
  #venues: Venues

  constructor(house: Pick<House, 'fetcher' | 'clock' | 'onEvent'>) {
    this.#house = house
    this.#venues = new Venues(house)
  }

  /** The clock as it was last read; `undefined` before the first time. Asks nobody. */
  known(job: SeriesJob): VenueClock | undefined {
    return this.#known.get(job.source.spec.bucket)?.clock
  }

  /** The clock, read where it is not known yet or was read too long ago. @throws only where it was never read. */
  async clockOf(job: SeriesJob, signal: AbortSignal): Promise<VenueClock> {
    const { bucket } = job.source.spec
    const known = this.#known.get(bucket)
    const nowMs = this.#house.clock.monotonicMs()
    if (known && nowMs - known.readAt < RENEW_MS) return known.clock
    // Whoever else asks meanwhile goes on with the old one.
    if (known) this.#known.set(bucket, { clock: known.clock, readAt: nowMs })
    try {
      if (known) this.#venues = new Venues(this.#house)
      const clock = await this.#venues.clockOf(job, signal)
      this.#known.set(bucket, { clock, readAt: nowMs })
      return clock
    } catch (error) {
      if (!known) throw error
      const code = isEverybarError(error) ? { code: error.code } : {}
      this.#house.onEvent({
        event: 'venue_clock_old',
        level: 'warn',
        bucket,
        ...code,
        message: messageOf(error),
      })
      return known.clock
    }
  }
}
