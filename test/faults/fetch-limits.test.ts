import type { ServerResponse } from 'node:http'
import { afterEach, expect, test } from 'vitest'
import { createFetcher, type FetcherOptions } from '../../src/fetch/undici/create-fetcher.ts'
import { EverybarError } from '../../src/model/errors.ts'
import { httpServer, systemClock } from '../http-server.ts'

const cleanups: (() => PromiseLike<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

const limits = [{ bucket: 'venue', capacity: 1_000, windowMs: 60_000 }]

/** A fetcher, a server, and when each request came in, ms from the start. */
async function setUp(
  answer: (n: number, response: ServerResponse) => void,
  options: Partial<FetcherOptions> = {},
) {
  const arrivals: number[] = []
  const startedMs = performance.now()
  const elapsedMs = () => performance.now() - startedMs
  const server = await httpServer((n, response) => {
    arrivals.push(elapsedMs())
    answer(n, response)
  })
  cleanups.push(server.close)
  const fetcher = createFetcher({ clock: systemClock, onEvent: () => {}, limits, ...options })
  cleanups.push(() => fetcher[Symbol.asyncDispose]())
  const get = (weight = 2, bucket = 'venue') => fetcher.fetch({ url: `${server.baseUrl}/x`, bucket, weight })
  return { fetcher, get, arrivals, elapsedMs }
}

/** Waits until as much came in, then until nothing more does. */
async function comeToRest(arrivals: readonly number[], least: number): Promise<void> {
  while (arrivals.length < least) await systemClock.sleep(5)
  for (let seen = -1; seen !== arrivals.length; ) {
    seen = arrivals.length
    await systemClock.sleep(200)
  }
}

const refuse = (response: ServerResponse, code: number, headers: Record<string, string> = {}, body = '') =>
  setTimeout(() => response.writeHead(code, headers).end(body), 20)
const serve = (response: ServerResponse, headers: Record<string, string> = {}) =>
  setTimeout(() => response.writeHead(200, headers).end('[]'), 20)

test('one 429 stops everyone: nothing leaves until Retry-After has passed, and all get their answer', async () => {
  const blocked: { atMs: number; left: number }[] = []
  const { get, arrivals, fetcher, elapsedMs } = await setUp(
    (n, response) => (n === 20 ? response.writeHead(429, { 'retry-after': '1' }).end() : serve(response)),
    {
      connections: 8,
      onEvent: ({ event }) => {
        if (event === 'fetch_blocked') blocked.push({ atMs: elapsedMs(), left: fetcher.stats().requests })
      },
    },
  )
  await Promise.all(Array.from({ length: 60 }, () => get()))
  expect(blocked).toHaveLength(1)
  const [{ atMs, left }] = blocked as [{ atMs: number; left: number }]
  // What had left when the answer was heard comes in; the next leaves a second later.
  expect(left).toBeGreaterThanOrEqual(20)
  expect(left).toBeLessThan(61)
  expect(arrivals[left]! - atMs).toBeGreaterThanOrEqual(990)
  expect(fetcher.stats().byStatus).toEqual({ 200: 60, 429: 1 })
  expect(fetcher.stats().requests).toBe(61)
})

test('after a block one request goes ahead alone', async () => {
  const { get, arrivals } = await setUp((n, response) => {
    if (n === 1) refuse(response, 429, { 'retry-after': '1' })
    else serve(response)
  })
  await Promise.all(Array.from({ length: 10 }, () => get()))
  expect(arrivals.length).toBe(11)
  expect(arrivals[1]! - arrivals[0]!).toBeGreaterThan(1_000)
  expect(arrivals[2]! - arrivals[1]!).toBeGreaterThan(15)
})

test('429 without Retry-After: the block doubles with every refusal in a row', async () => {
  const { get, arrivals } = await setUp((n, response) => (n <= 3 ? refuse(response, 429) : serve(response)), {
    retry: { rateLimitBaseMs: 200, rateLimitCapMs: 10_000 },
    random: () => 0,
  })
  await get()
  const waits = arrivals.slice(1).map((at, i) => at - arrivals[i]!)
  expect(waits.map((ms, i) => ms >= 100 * 2 ** i)).toEqual([true, true, true])
})

const banned: [string, Record<string, string>, string][] = [
  ['Retry-After', { 'retry-after': '7200' }, ''],
  ['its text', {}, `{"code":-1003,"msg":"Way too many requests; IP banned until ${Date.now() + 7.2e6}."}`],
]
test.each(banned)('a ban of two hours, by %s, is an error at once for all', async (_name, headers, body) => {
  const { get, arrivals } = await setUp((_n, response) => refuse(response, 418, headers, body), {
    retry: { attempts: 9 },
  })
  const results = await Promise.allSettled(Array.from({ length: 5 }, () => get()))
  for (const result of results) {
    const error = result.status === 'rejected' ? (result.reason as unknown) : undefined
    expect(error).toBeInstanceOf(EverybarError)
    expect(error).toMatchObject({ code: 'fetch.banned', recovery: 'retry' })
    expect((error as EverybarError).retryAfterMs).toBeGreaterThan(7.1e6)
  }
  expect(arrivals.length).toBe(1)
})

test('another bucket is not stopped', async () => {
  const { get, fetcher } = await setUp((n, response) =>
    n === 1 ? refuse(response, 429, { 'retry-after': '30' }) : serve(response),
  )
  const stopped = get(2, 'venue')
  stopped.catch(() => {})
  while (fetcher.stats().byStatus['429'] === undefined) await systemClock.sleep(5)
  expect((await get(2, 'other')).status).toBe(200)
})

test('what an earlier process spent is learnt from the first answer, which is awaited alone', async () => {
  const { get, arrivals, fetcher } = await setUp(
    (n, response) => serve(response, { 'x-mbx-used-weight-1m': String(990 + 2 * (n - 1)) }),
    { maxWaitMs: 100 },
  )
  const all = Array.from({ length: 20 }, () => get().catch(() => undefined))
  await comeToRest(arrivals, 1)
  // 990 of 1,000 were gone after the first; a tenth of what others spent is left free besides.
  expect(arrivals.length).toBe(1)
  expect(fetcher.usage()[0]).toMatchObject({ bucket: 'venue', used: 990, capacity: 1_000 })
  await fetcher[Symbol.asyncDispose]()
  await Promise.all(all)
})

test('a counter that jumps, because another process shares the address, slows us down', async () => {
  const { get, arrivals, fetcher } = await setUp((n, response) =>
    serve(response, { 'x-mbx-used-weight-1m': String(n < 10 ? 2 * n : 900 + 2 * n) }),
  )
  const all = Array.from({ length: 100 }, () => get().catch(() => undefined))
  await comeToRest(arrivals, 10)
  // 100 requests would fit the limit easily; the jump leaves room for none but those already on their way.
  expect(arrivals.length).toBeGreaterThanOrEqual(10)
  expect(arrivals.length).toBeLessThan(50)
  await fetcher[Symbol.asyncDispose]()
  await Promise.all(all)
})

test('several limits on one bucket: weight, and the number of requests', async () => {
  const { get, arrivals, fetcher } = await setUp((_n, response) => serve(response), {
    limits: [...limits, { bucket: 'venue', capacity: 12, windowMs: 60_000, counts: 'requests' }],
  })
  const all = Array.from({ length: 30 }, () => get().catch(() => undefined))
  await comeToRest(arrivals, 12)
  expect(arrivals.length).toBe(12)
  fetcher.setLimits([...limits, { bucket: 'venue', capacity: 20, windowMs: 60_000, counts: 'requests' }])
  await comeToRest(arrivals, 20)
  expect(arrivals.length).toBe(20)
  const usage = () => fetcher.usage().map(({ used, capacity }) => [used, capacity])
  expect(usage()).toEqual([
    [40, 1_000],
    [20, 20],
  ])
  // What the spec says of a venue that has spoken for itself changes nothing, and forgets nothing.
  const before = fetcher.usage()
  fetcher.assumeLimits([{ bucket: 'venue', capacity: 9_999, windowMs: 1_000 }])
  expect(fetcher.usage()).toEqual(before)
  fetcher.assumeLimits([{ bucket: 'other', capacity: 7, windowMs: 1_000 }])
  expect(usage().at(-1)).toEqual([0, 7])
  await fetcher[Symbol.asyncDispose]()
  await Promise.all(all)
})

test('a share of the limit is all that is used', async () => {
  const { get, arrivals, fetcher } = await setUp((_n, response) => serve(response), { share: 0.02 })
  const all = Array.from({ length: 30 }, () => get().catch(() => undefined))
  await comeToRest(arrivals, 10)
  expect(arrivals.length).toBe(10)
  await fetcher[Symbol.asyncDispose]()
  await Promise.all(all)
})

test('a weight that never fits is refused', async () => {
  const { get } = await setUp((_n, response) => serve(response))
  await expect(get(1_001)).rejects.toMatchObject({ code: 'fetch.weight-too-large', recovery: 'abort' })
})

test('connections are kept and no more are opened than allowed', async () => {
  const ports = new Set<number>()
  const { get } = await setUp(
    (_n, response) => {
      ports.add(response.socket!.remotePort!)
      serve(response)
    },
    { connections: 4, limits: [] },
  )
  await Promise.all(Array.from({ length: 40 }, () => get()))
  expect(ports.size).toBe(4)
})
