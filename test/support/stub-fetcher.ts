import type { BucketLimit, Fetcher } from '../../src/fetch/fetcher.ts'
import { Bucket } from '../../src/fetch/limits/bucket.ts'
import { countersIn } from '../../src/fetch/limits/counters.ts'
import { isEverybarError } from '../../src/model/errors.ts'
import type { Clock } from '../../src/model/events.ts'
import type { RawResponse } from '../../src/model/http.ts'
import type { Answer } from '../../src/simulator/http.ts'

export interface StubFetcherOptions {
  readonly clock: Clock
  /** Of one bucket. */
  readonly limits: readonly BucketLimit[]
  /** Tries of one request. */
  readonly attempts: number
  /** Keeps to the limits by the clock, and every answer takes so long; else nothing waits. */
  readonly rttMs?: number
}

/** A fetcher with a function in the place of the network. What `ask` does is done in the turn in which it is asked. */
export function stubFetcher(
  ask: (url: URL, headers: Readonly<Record<string, string>>) => Answer | Promise<Answer>,
  { clock, limits, attempts, rttMs }: StubFetcherOptions,
): Fetcher {
  const bucket = new Bucket('stub', { clock, connections: 16, share: 1, maxWaitMs: 1e9 })
  bucket.setLimits(limits)
  let order = 0
  const paced = async (weight: number, answer: () => Answer | Promise<Answer>): Promise<Answer> => {
    if (rttMs === undefined) return answer()
    const permit = await bucket.acquire({ weight, order: order++ })
    await clock.sleep(rttMs / 2)
    const given = await answer()
    await clock.sleep(rttMs / 2)
    permit.settle(countersIn(lowerCase(given.headers)))
    permit.release()
    return given
  }
  const counts = { requests: 0, retries: 0, weight: 0, waitedMs: 0, byStatus: {} }
  return {
    async fetch({ url, weight, headers = {} }, { check, signal } = {}): Promise<RawResponse> {
      for (let tries = 1; ; tries++) {
        signal?.throwIfAborted()
        counts.requests++
        const answer = await paced(weight, () => ask(new URL(url), headers))
        const response = {
          ...{ url, status: answer.status, body: answer.body, attempts: tries },
          headers: { date: new Date(clock.nowMs()).toUTCString() },
          requestedAtMs: clock.nowMs(),
          receivedAtMs: clock.nowMs(),
        }
        try {
          await check?.(response)
          return response
        } catch (error) {
          if (tries >= attempts || !isEverybarError(error) || error.recovery !== 'retry') throw error
          counts.retries++
        }
      }
    },
    setLimits: () => {},
    assumeLimits: () => {},
    usage: () => [],
    stats: () => counts,
    [Symbol.asyncDispose]: async () => {},
  }
}

const lowerCase = (headers: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
