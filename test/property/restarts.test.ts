import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { openSpendBook } from '../../src/app/spends.ts'
import { Bucket } from '../../src/fetch/limits/bucket.ts'
import { Past } from '../../src/fetch/limits/past.ts'
import { inFolder } from '../run-cli.ts'
import { capacity, designs, windowMs } from '../support/counting-venues.ts'
import { virtualClock } from '../virtual-clock.ts'

const address = { bucket: 'venue', origin: 'https://venue.test' }
const LATENCY_MS = 300
const CONNECTIONS = 16

interface Life {
  /** How long the process runs, and how long until the next one does. */
  readonly forMs: number
  readonly pauseMs: number
  /** Ends by a kill, with requests on their way; or when those have their answers. */
  readonly killed: boolean
}

interface Scenario {
  readonly phase: number
  readonly weight: number
  readonly latencies: readonly { readonly totalMs: number; readonly before: number }[]
  readonly lives: readonly Life[]
}

/** One process after another with endless work against a venue that shows no counter; what it was refused and served. */
async function play(root: string, design: string, { phase, weight, latencies, lives }: Scenario) {
  const clock = virtualClock()
  const venue = designs[design]!(phase)
  let refused = 0
  let served = 0
  let turn = 0
  const live = async ({ forMs, killed }: Life): Promise<void> => {
    const spends = openSpendBook(root, clock)
    const bucket = new Bucket('venue', { clock, connections: CONNECTIONS, share: 1, maxWaitMs: 120_000 })
    bucket.setLimits([{ bucket: 'venue', capacity, windowMs }])
    new Past({ spends, clock, onEvent: () => {} }).tell(bucket, address.origin)
    const endMs = clock.monotonicMs() + forMs
    let dead = false
    const worker = async (): Promise<void> => {
      while (!dead) {
        const permit = await bucket.acquire({ weight, order: turn })
        if (dead) return
        spends.left(address, weight)
        const { totalMs, before } = latencies[turn++ % latencies.length]!
        await clock.sleep(totalMs * before)
        served++
        if (!venue.take(clock.monotonicMs(), weight)) refused++
        await clock.sleep(totalMs * (1 - before))
        if (dead && killed) return
        spends.over(address, weight)
        permit.settle([])
        permit.release()
      }
    }
    const workers = Array.from({ length: CONNECTIONS }, () => worker().catch(() => {}))
    await clock.sleep(endMs - clock.monotonicMs())
    dead = true
    bucket.close(new Error('over'))
    if (!killed) await Promise.all(workers)
  }
  await clock.run(
    (async () => {
      for (const life of lives) {
        await live(life)
        await clock.sleep(life.pauseMs)
      }
    })(),
  )
  return { refused, served }
}

describe.each(Object.keys(designs))('against %s that shows no counter', (design) => {
  test('no request is refused, however often the process ends, is killed and started again', async () => {
    const latency = fc.record({
      totalMs: fc.integer({ min: 1, max: LATENCY_MS }),
      before: fc.double({ min: 0, max: 1, noNaN: true }),
    })
    const life = fc.record({
      forMs: fc.integer({ min: 0, max: 2 * windowMs }),
      // Nobody is started sooner than what was on its way has come in.
      pauseMs: fc.integer({ min: LATENCY_MS, max: windowMs }),
      killed: fc.boolean(),
    })
    const scenario = fc.record({
      phase: fc.double({ min: 0, max: 1, noNaN: true }),
      weight: fc.constantFrom(5, 10, 50),
      latencies: fc.array(latency, { minLength: 1, maxLength: 20 }),
      lives: fc.array(life, { minLength: 2, maxLength: 6 }),
    })
    await fc.assert(
      fc.asyncProperty(scenario, (s) =>
        inFolder(async (root) => {
          mkdirSync(join(root, '.everybar'))
          const { refused, served } = await play(root, design, s)
          expect(refused).toBe(0)
          expect(served).toBeGreaterThan(0)
        }),
      ),
      { numRuns: 40 },
    )
  })
})
