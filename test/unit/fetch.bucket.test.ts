import { describe, expect, test } from 'vitest'
import type { BucketLimit } from '../../src/fetch/fetcher.ts'
import { Bucket, type Permit } from '../../src/fetch/limits/bucket.ts'
import { virtualClock } from '../virtual-clock.ts'

const limit = (capacity: number, windowMs = 60_000, counts?: 'requests'): BucketLimit =>
  counts ? { bucket: 'venue', capacity, windowMs, counts } : { bucket: 'venue', capacity, windowMs }

/** A bucket on a clock of its own, and who got leave when. */
function setUp(limits: readonly BucketLimit[], { connections = 100, maxWaitMs = 120_000 } = {}) {
  const clock = virtualClock()
  const bucket = new Bucket('venue', { clock, connections, share: 1, maxWaitMs })
  bucket.setLimits(limits)
  const left: { readonly name: string; readonly atMs: number; readonly permit: Permit }[] = []
  let order = 0
  const ask = (name: string, weight = 1, more: { signal?: AbortSignal; order?: number } = {}) =>
    bucket.acquire({ weight, order: more.order ?? order++ }, more.signal).then((permit) => {
      left.push({ name, atMs: clock.monotonicMs(), permit })
      return permit
    })
  /** One request that is answered at once, so that the bucket is warm. */
  const warm = async (used?: number): Promise<void> => {
    const permit = await ask('warm')
    permit.settle(used === undefined ? [] : [{ windowMs: 60_000, used }])
    permit.release()
    left.length = 0
  }
  const names = () => left.map(({ name }) => name)
  return { clock, bucket, ask, warm, left, names }
}

describe('the queue of a bucket', () => {
  test('first come, first served: a small request does not overtake a large one', async () => {
    const { ask, warm, names, left, clock } = setUp([limit(10)])
    await warm()
    for (const [name, weight] of Object.entries({ a: 5, b: 6, c: 1 })) void ask(name, weight)
    await clock.runUntil(10)
    expect(names()).toEqual(['a'])
    left[0]!.permit.settle([])
    await clock.runUntil(60_100)
    expect(names()).toEqual(['a', 'b', 'c'])
  })

  test('a request sent back to wait keeps its place', async () => {
    const { ask, warm, names, left, clock } = setUp([limit(100)], { connections: 1 })
    await warm()
    for (const name of ['a', 'b', 'c']) void ask(name, 1, { order: name.charCodeAt(0) })
    await clock.runUntil(1)
    left[0]!.permit.release()
    void ask('a again', 1, { order: 'a'.charCodeAt(0) })
    await clock.runUntil(2)
    for (let i = 1; i < 4; i++) {
      left[i]!.permit.release()
      await clock.runUntil(2 + i)
    }
    expect(names()).toEqual(['a', 'b', 'a again', 'c'])
  })

  test('who gives up makes room for those behind', async () => {
    const { ask, warm, names, clock } = setUp([limit(10)])
    await warm()
    const stop = new AbortController()
    void ask('a', 5)
    const large = ask('large', 9, { signal: stop.signal })
    void ask('small', 2)
    await clock.runUntil(1)
    stop.abort(new Error('enough'))
    await expect(large).rejects.toThrow('enough')
    await clock.runUntil(2)
    expect(names()).toEqual(['a', 'small'])
  })

  test('cold, one goes alone; its answer lets the others follow', async () => {
    const { ask, names, left, clock } = setUp([limit(10)])
    for (const name of ['a', 'b', 'c']) void ask(name)
    await clock.runUntil(5_000)
    expect(names()).toEqual(['a'])
    left[0]!.permit.settle([{ windowMs: 60_000, used: 9 }])
    await clock.runUntil(5_001)
    expect(names()).toEqual(['a'])
    // What the venue told is out of date when its window has passed: again one goes alone.
    await clock.runUntil(5_000 + 60_000 + 200)
    expect(names()).toEqual(['a', 'b'])
    left[1]!.permit.settle([{ windowMs: 60_000, used: 1 }])
    await clock.runUntil(5_000 + 60_000 + 201)
    expect(names()).toEqual(['a', 'b', 'c'])
  })

  test('a request that failed before an answer leaves the bucket cold', async () => {
    const { ask, names, left, clock } = setUp([limit(10)])
    for (const name of ['a', 'b', 'c']) void ask(name)
    await clock.runUntil(1)
    left[0]!.permit.settle(undefined)
    left[0]!.permit.release()
    await clock.runUntil(2)
    expect(names()).toEqual(['a', 'b'])
  })

  test('what never left costs nothing', async () => {
    const { ask, warm, names, left, clock, bucket } = setUp([limit(10)])
    await warm()
    void ask('a', 9)
    await clock.runUntil(1)
    left[0]!.permit.release()
    void ask('b', 9)
    await clock.runUntil(2)
    expect(names()).toEqual(['a', 'b'])
    expect(bucket.usage()[0]!.used).toBe(10)
  })
})

describe('a block', () => {
  test('holds back who has leave and not left, and everyone after, until it ends; then one goes alone', async () => {
    const { ask, warm, names, left, clock, bucket } = setUp([limit(100)])
    await warm()
    void ask('a')
    await clock.runUntil(1)
    expect(left[0]!.permit.mayDepart()).toBe(true)
    bucket.block({ untilMs: 1_000, kind: 'rate-limited' })
    expect(left[0]!.permit.mayDepart()).toBe(false)
    left[0]!.permit.release()
    for (const name of ['b', 'c']) void ask(name)
    await clock.runUntil(999)
    expect(names()).toEqual(['a'])
    await clock.runUntil(1_500)
    expect(names()).toEqual(['a', 'b'])
    expect(left[1]!.atMs).toBe(1_000)
    left[1]!.permit.settle([])
    await clock.runUntil(1_501)
    expect(names()).toEqual(['a', 'b', 'c'])
  })

  test('is not shortened by a later, shorter one', async () => {
    const { ask, clock, bucket, left } = setUp([limit(100)])
    bucket.block({ untilMs: 5_000, kind: 'banned' })
    bucket.block({ untilMs: 1_000, kind: 'rate-limited' })
    void ask('a')
    await clock.runUntil(10_000)
    expect(left[0]!.atMs).toBe(5_000)
    expect(bucket.usage()[0]!.blockedUntilMs).toBe(1_700_000_005_000)
  })

  test('longer than may be waited for is an error at once, with how long', async () => {
    const { ask, clock, bucket } = setUp([limit(100)], { maxWaitMs: 10_000 })
    const waiting = [1, 2, 3].map((n) => ask(String(n)))
    waiting[0]!.then((permit) => permit.release()).catch(() => {})
    bucket.block({ untilMs: 10_001, kind: 'banned' })
    await expect(ask('late')).rejects.toMatchObject({
      code: 'fetch.banned',
      recovery: 'retry',
      retryAfterMs: 10_001,
    })
    for (const promise of waiting.slice(1))
      await expect(promise).rejects.toMatchObject({ code: 'fetch.banned' })
    await clock.runUntil(1)
  })
})

describe('limits', () => {
  test('all of a bucket hold at once; new ones keep what is spent', async () => {
    const { ask, warm, names, left, clock, bucket } = setUp([limit(100), limit(3, 60_000, 'requests')])
    await warm()
    for (const name of ['a', 'b', 'c']) void ask(name, 10)
    await clock.runUntil(1)
    expect(names()).toEqual(['a', 'b'])
    bucket.setLimits([limit(100), limit(50, 60_000, 'requests')])
    for (const { permit } of left) {
      permit.settle([])
      permit.release()
    }
    await clock.runUntil(2)
    expect(names()).toEqual(['a', 'b', 'c'])
    expect(bucket.usage().map(({ used }) => used)).toEqual([31, 4])
  })

  test('a shorter window takes over what the longer one knows', async () => {
    const { ask, warm, names, left, clock, bucket } = setUp([limit(100)])
    await warm()
    void ask('a', 50)
    await clock.runUntil(1_000)
    left[0]!.permit.settle([])
    left[0]!.permit.release()
    bucket.setLimits([limit(60, 6_000)])
    void ask('b', 20)
    await clock.runUntil(6_900)
    expect(names()).toEqual(['a'])
    await clock.runUntil(7_100)
    expect(names()).toEqual(['a', 'b'])
  })

  test('a counter named for another window is used where there is one limit, until it cannot be its own', async () => {
    const { ask, names, left, clock } = setUp([limit(100, 6_000)])
    void ask('a')
    await clock.runUntil(1)
    left[0]!.permit.settle([{ windowMs: 60_000, used: 95 }])
    left[0]!.permit.release()
    void ask('b', 10)
    await clock.runUntil(100)
    expect(names()).toEqual(['a'])
    await clock.runUntil(7_000)
    expect(names()).toEqual(['a', 'b'])
    left[1]!.permit.settle([{ windowMs: 60_000, used: 105 }])
    void ask('c', 10)
    await clock.runUntil(7_001)
    expect(names()).toEqual(['a', 'b', 'c'])
  })

  test('closing fails everyone who waits', async () => {
    const { ask, bucket, clock } = setUp([limit(1)])
    void ask('a')
    const waiting = ask('b')
    await clock.runUntil(1)
    bucket.close(new Error('closed'))
    await expect(waiting).rejects.toThrow('closed')
  })
})
