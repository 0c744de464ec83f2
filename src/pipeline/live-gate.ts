import type { Fetcher } from '../fetch/fetcher.ts'
import type { Clock } from '../model/events.ts'
import type { House } from './house.ts'

/** While newest bars are being asked for, everything else waits, but not for ever. */
const CYCLE_WAIT_MAX_MS = 10_000
const LOOK_EVERY_MS = 100
/** Of a rate limit, what is kept free for newest bars at most. */
const RESERVE_MAX = 0.6

export interface GateOptions {
  readonly clock: Clock
  /** Whether newest bars are being asked for right now. */
  readonly busy: () => boolean
  /** Weight newest bars take of a bucket in one of its windows. */
  readonly reserveOf: (bucket: string, windowMs: number) => number
}

/**
 * The same house for everything that is not newest bars: its requests give way to those, and leave them their part of
 * every rate limit. A backfill beside a live run makes no bar late.
 */
export function behindTheGate<H extends House>(house: H, options: GateOptions): H {
  const { fetcher } = house
  const gated: Fetcher = {
    fetch: async (request, fetching = {}) => {
      await pass(fetcher, request.bucket, request.weight, options, fetching.signal)
      return fetcher.fetch(request, fetching)
    },
    setLimits: (limits) => fetcher.setLimits(limits),
    assumeLimits: (limits) => fetcher.assumeLimits(limits),
    usage: () => fetcher.usage(),
    stats: () => fetcher.stats(),
    [Symbol.asyncDispose]: async () => {}, // whoever opened the house closes it
  }
  return { ...house, fetcher: gated }
}

async function pass(
  fetcher: Fetcher,
  bucket: string,
  weight: number,
  { clock, busy, reserveOf }: GateOptions,
  signal: AbortSignal | undefined,
): Promise<void> {
  const startedAt = clock.monotonicMs()
  for (;;) {
    const waited = clock.monotonicMs() - startedAt
    const usage = fetcher.usage().find((one) => one.bucket === bucket)
    const reserve = usage ? Math.min(reserveOf(bucket, usage.windowMs), usage.capacity * RESERVE_MAX) : 0
    const full = usage !== undefined && usage.used > 0 && usage.used + weight + reserve > usage.capacity
    if (!full && (!busy() || waited >= CYCLE_WAIT_MAX_MS)) return
    await clock.sleep(LOOK_EVERY_MS, signal)
  }
}
