import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Bucket } from '../../src/fetch/limits/bucket.ts'
import { capacity, designs, windowMs } from '../support/counting-venues.ts'
import { virtualClock } from '../virtual-clock.ts'

interface Scenario {
  readonly design: string
  readonly phase: number
  readonly weight: number
  readonly connections: number
  /** Round trips, drawn in turn: total and the part of it before the venue counts. */
  readonly latencies: readonly { readonly totalMs: number; readonly before: number }[]
  readonly counters: boolean
  readonly windows: number
  /** Weight a second another user of the address spends, evenly, from the start; the venue refuses it like us. */
  readonly others?: number
}

/** A client with endless work against one venue; what it was refused and the weight it had served per window. */
async function play(scenario: Scenario): Promise<{ refused: number; use: number }> {
  const clock = virtualClock()
  const venue = designs[scenario.design]!(scenario.phase)
  const bucket = new Bucket('venue', {
    clock,
    connections: scenario.connections,
    share: 1,
    maxWaitMs: 120_000,
  })
  bucket.setLimits([{ bucket: 'venue', capacity, windowMs }])
  const { weight, latencies, windows } = scenario
  const endMs = (windows + 1) * windowMs
  let refused = 0
  let served = 0
  let turn = 0
  const worker = async (): Promise<void> => {
    while (clock.monotonicMs() < endMs) {
      const permit = await bucket.acquire({ weight, order: turn })
      const { totalMs, before } = latencies[turn++ % latencies.length]!
      await clock.sleep(totalMs * before)
      const atMs = clock.monotonicMs()
      if (!venue.take(atMs, weight)) refused++
      // The first window is left out: it begins with an empty counter, which flatters.
      if (atMs >= windowMs && atMs < endMs) served += weight
      const used = venue.used(atMs)
      await clock.sleep(totalMs * (1 - before))
      permit.settle(scenario.counters ? [{ windowMs, used }] : [])
      permit.release()
    }
  }
  const other = async (perSecond: number): Promise<void> => {
    while (clock.monotonicMs() < endMs) {
      if (venue.used(clock.monotonicMs()) < capacity) venue.take(clock.monotonicMs(), 1)
      await clock.sleep(1_000 / perSecond)
    }
  }
  for (let i = 0; i < scenario.connections; i++) worker().catch(() => {})
  if (scenario.others) other(scenario.others).catch(() => {})
  await clock.runUntil(endMs)
  bucket.close(new Error('over'))
  return { refused, use: served / (windows * capacity) }
}

const latency = (maxMs: number) =>
  fc.array(
    fc.record({
      totalMs: fc.integer({ min: 1, max: maxMs }),
      before: fc.double({ min: 0, max: 1, noNaN: true }),
    }),
    {
      minLength: 1,
      maxLength: 40,
    },
  )

const scenario = (maxLatencyMs: number) =>
  fc.record({
    phase: fc.double({ min: 0, max: 1, noNaN: true }),
    weight: fc.constantFrom(2, 5, 10),
    connections: fc.constantFrom(16, 32),
    latencies: latency(maxLatencyMs),
    counters: fc.boolean(),
    windows: fc.constant(6),
  })

describe.each(Object.keys(designs))('against %s', (design) => {
  test('no request is ever refused, whatever the latency', async () => {
    await fc.assert(
      fc.asyncProperty(scenario(300), async (s) => {
        expect((await play({ design, ...s })).refused).toBe(0)
      }),
      { numRuns: 40 },
    )
  })

  test('at a round trip of 100 ms at least 95 % of the limit is used', async () => {
    await fc.assert(
      fc.asyncProperty(scenario(100), async (s) => {
        const { refused, use } = await play({ design, ...s })
        expect(refused).toBe(0)
        expect(use).toBeGreaterThanOrEqual(0.95)
      }),
      { numRuns: 40 },
    )
  })

  test('another user of the address, who takes up to half, is made room for', async () => {
    await fc.assert(
      fc.asyncProperty(scenario(100), fc.integer({ min: 5, max: 50 }), async (s, others) => {
        const { refused, use } = await play({ design, ...s, counters: true, others })
        // Its spending between two answers cannot be known: two requests in a thousand may meet it.
        expect(refused / ((use * s.windows * capacity) / s.weight)).toBeLessThan(0.002)
        const left = 1 - (others * windowMs) / 1_000 / capacity
        expect(use).toBeGreaterThanOrEqual(left * 0.75)
      }),
      { numRuns: 40 },
    )
  })
})
