import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type RunChunksOptions, runChunks } from '../../src/chunking/index.ts'

/** Runs chunks whose work waits for `release(i)`, so that a test decides in which order they end. */
function controlled(plans: Iterable<number> | AsyncIterable<number>, options: RunChunksOptions = {}) {
  const started: number[] = []
  const gates = new Map<number, PromiseWithResolvers<void>>()
  const gate = (plan: number) => {
    const known = gates.get(plan) ?? Promise.withResolvers<void>()
    gates.set(plan, known)
    return known
  }
  const aborted: number[] = []
  const run = runChunks(
    plans,
    async (plan, { signal }) => {
      started.push(plan)
      signal.addEventListener('abort', () => {
        aborted.push(plan)
        gate(plan).reject(signal.reason)
      })
      await gate(plan).promise
      return plan * 10
    },
    options,
  )
  return { run, started, aborted, release: (plan: number) => gate(plan).resolve(), gate }
}

const upTo = (n: number) => Array.from({ length: n }, (_, i) => i)

async function* asyncly(n: number) {
  for (let i = 0; i < n; i++) {
    await sleep(0)
    yield i
  }
}

async function all<T>(run: AsyncIterable<T>): Promise<T[]> {
  const out: T[] = []
  for await (const item of run) out.push(item)
  return out
}

describe('runChunks: order and look-ahead', () => {
  test('output keeps plan order although chunks end in another', async () => {
    const { run, release } = controlled(upTo(3), { concurrency: 3 })
    const results = all(run)
    for (const plan of [2, 0, 1]) {
      await sleep(1)
      release(plan)
    }
    expect((await results).map((outcome) => outcome.result)).toEqual([0, 10, 20])
  })

  test.each([
    { concurrency: 1, ahead: undefined, before: [0], afterOne: [0, 1] },
    { concurrency: 2, ahead: undefined, before: [0, 1], afterOne: [0, 1, 2] },
    { concurrency: 2, ahead: 4, before: [0, 1], afterOne: [0, 1, 2] },
  ])('concurrency $concurrency, ahead $ahead: starts $before, then $afterOne', async (given) => {
    const { ahead, concurrency, before, afterOne } = given
    const { run, started, release } = controlled(upTo(9), ahead ? { concurrency, ahead } : { concurrency })
    const first = run.next()
    await sleep(1)
    expect(started).toEqual(before)
    release(0)
    await first
    expect(started).toEqual(afterOne)
    await run.return()
  })

  test('a consumer that does not take holds the run back', async () => {
    const { run, started, release } = controlled(upTo(100), { concurrency: 3 })
    for (const plan of upTo(100)) release(plan)
    await run.next()
    await sleep(5)
    expect(started).toEqual([0, 1, 2, 3])
    await run.return()
  })

  test('look-ahead lets requests flow past one slow chunk, and no further', async () => {
    const { run, started, release } = controlled(upTo(100), { concurrency: 2, ahead: 5 })
    for (const plan of upTo(100).slice(1)) release(plan)
    const first = run.next()
    await sleep(5)
    expect(started).toEqual([0, 1, 2, 3, 4])
    release(0)
    await first
    await run.return()
  })

  test.each([
    ['an array', () => upTo(5)],
    ['an async generator', () => asyncly(5)],
    ['nothing', () => []],
    ['nothing, asynchronously', () => asyncly(0)],
  ])('plans from %s', async (_, plans) => {
    const outcomes = await all(runChunks(plans(), async (plan) => plan, { concurrency: 3 }))
    expect(outcomes.map(({ result }) => result)).toEqual(await all(asyncly(outcomes.length)))
    expect(outcomes.map(({ index }) => index)).toEqual(outcomes.map(({ plan }) => plan))
  })

  test('endless plans are taken one by one', async () => {
    let taken = 0
    function* endless() {
      for (;;) yield taken++
    }
    for await (const { index } of runChunks(endless(), async (plan) => plan, { concurrency: 4 })) {
      if (index === 99) break
    }
    expect(taken).toBeLessThanOrEqual(100 + 4)
  })

  test('any mix of latencies: everything once, in order, never more than allowed at once', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(3), { maxLength: 30 }),
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 9 }),
        fc.boolean(),
        async (delays, concurrency, ahead, asynchronous) => {
          let running = 0
          let most = 0
          const run = runChunks(
            asynchronous ? asyncly(delays.length) : upTo(delays.length),
            async (plan) => {
              most = Math.max(most, ++running)
              for (let i = 0; i < delays[plan]!; i++) await Promise.resolve()
              running--
              return plan
            },
            { concurrency, ahead },
          )
          const results = (await all(run)).map(({ result }) => result)
          expect(results).toEqual(upTo(delays.length))
          expect(most).toBeLessThanOrEqual(concurrency)
        },
      ),
      { numRuns: 100 },
    )
  })
})

describe('runChunks: errors and stopping', () => {
  const boom = new Error('boom')

  test('stop: what came before is yielded, then the error itself is thrown', async () => {
    const { run, release, gate, aborted } = controlled(upTo(9), { concurrency: 3 })
    gate(1).reject(boom)
    release(0)
    expect((await run.next()).value).toEqual({ plan: 0, index: 0, result: 0 })
    await expect(run.next()).rejects.toBe(boom)
    expect(aborted).toContain(2)
    expect(await run.next()).toEqual({ done: true, value: undefined })
  })

  test('continue: the error stands in its chunk’s place', async () => {
    const { run, release, gate } = controlled(upTo(3), { concurrency: 3, onError: 'continue' })
    gate(1).reject(boom)
    release(0)
    release(2)
    expect(await all(run)).toEqual([
      { plan: 0, index: 0, result: 0 },
      { plan: 1, index: 1, error: boom },
      { plan: 2, index: 2, result: 20 },
    ])
  })

  test('a fetch function that throws at once is a chunk error like any other', async () => {
    const run = runChunks(
      [0],
      () => {
        throw boom
      },
      { onError: 'continue' },
    )
    expect(await all(run)).toEqual([{ plan: 0, index: 0, error: boom }])
  })

  test('plans that throw: what they gave is yielded first', async () => {
    function* broken() {
      yield 0
      throw boom
    }
    const run = runChunks(broken(), async (plan) => plan, { concurrency: 4 })
    expect((await run.next()).value).toEqual({ plan: 0, index: 0, result: 0 })
    await expect(run.next()).rejects.toBe(boom)
  })

  test('abort rejects with the reason, after running chunks have settled', async () => {
    const controller = new AbortController()
    const { run, started, aborted } = controlled(upTo(9), { concurrency: 3, signal: controller.signal })
    const next = run.next()
    await sleep(1)
    controller.abort(boom)
    await expect(next).rejects.toBe(boom)
    expect(started).toEqual([0, 1, 2])
    expect(aborted).toEqual([0, 1, 2])
  })

  test('a signal that is already aborted: nothing starts', async () => {
    const { run, started } = controlled(upTo(3), { signal: AbortSignal.abort(boom) })
    await expect(run.next()).rejects.toBe(boom)
    expect(started).toEqual([])
  })

  test('a consumer that leaves: running chunks are aborted and the plans are closed', async () => {
    let closed = false
    function* plans() {
      try {
        yield* upTo(9)
      } finally {
        closed = true
      }
    }
    const { run, release, aborted } = controlled(plans(), { concurrency: 2 })
    release(0)
    for await (const _ of run) break
    expect(aborted).toContain(1)
    expect(closed).toBe(true)
  })

  test.each([{ concurrency: 0 }, { concurrency: 1.5 }, { ahead: 0 }, { concurrency: Number.NaN }])(
    'refuses %o',
    async (options) => {
      await expect(runChunks([0], async () => 0, options).next()).rejects.toMatchObject({
        code: 'chunking.bad-option',
      })
    },
  )
})
