import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import {
  type ChunkCall,
  type ChunkEndpoint,
  ChunkExecutor,
  type ChunkExecutorOptions,
  type ChunkPage,
  ChunkPlanner,
  type ChunkPolicy,
  type ChunkRequest,
  type Cursor,
  type FetchPage,
} from '../../src/chunking/index.ts'
import { EverybarError } from '../../src/model/errors.ts'
import type { EverybarEvent } from '../../src/model/events.ts'

interface Point {
  readonly timestamp: number
  readonly symbol?: string
  readonly id?: number
}

const MINUTE = 60_000
const boom = new EverybarError('fetch.unreachable', 'no route', { recovery: 'retry', hint: 'Wait.' })

const endpoint: ChunkEndpoint = {
  id: 'sim.points',
  chunkPolicy: { maxPoints: 10 },
  chunkHint: { timeframeField: 'interval' },
  weightPolicy: { staticWeight: 2 },
  bounds: { start: 'inclusive', end: 'inclusive' },
  order: 'ascending',
}
const cursorEndpoint: ChunkEndpoint = { ...endpoint, chunkHint: { cursorField: 'after' } }

/** A clock on which every reading takes 5 ms. */
function slowClock() {
  let ms = 0
  return { nowMs: () => 1_000 * MINUTE, monotonicMs: () => (ms += 5) }
}

/** Every minute of the window. */
const full = async ({ startMs = 0, endMs = 0 }: ChunkCall): Promise<ChunkPage<Point>> => ({
  points: Array.from({ length: (endMs - startMs) / MINUTE }, (_, i) => ({ timestamp: startMs + i * MINUTE })),
})

const minutes = (from: number, to: number): ChunkRequest => ({
  timeframe: '1m',
  startMs: from * MINUTE,
  endMs: to * MINUTE,
})

function setUp(
  given: ChunkEndpoint,
  request: ChunkRequest,
  options: Partial<ChunkExecutorOptions<Point>> = {},
) {
  const clock = slowClock()
  const events: EverybarEvent[] = []
  const onEvent = (event: EverybarEvent) => void events.push(event)
  const run = new ChunkPlanner(given, { clock, onEvent }).plan(request)
  const executor = new ChunkExecutor<Point>({ clock, onEvent, ...options })
  return { run, executor, events }
}

const execute = (
  given: ChunkEndpoint,
  request: ChunkRequest,
  fetchPage: FetchPage<Point>,
  options: Partial<ChunkExecutorOptions<Point>> = {},
) => {
  const { run, executor } = setUp(given, request, options)
  return executor.execute(run, fetchPage)
}

describe('what a request says', () => {
  test.each([
    ['inclusive', 'inclusive', 120_000, 179_999],
    ['inclusive', 'exclusive', 120_000, 180_000],
    ['exclusive', 'inclusive', 119_999, 179_999],
    ['exclusive', 'exclusive', 119_999, 180_000],
  ] as const)('start %s, end %s: %i to %i', async (start, end, from, to) => {
    const calls: ChunkCall[] = []
    const hint = {
      limitField: 'count',
      startTimeField: 'startTime',
      endTimeField: 'endTime',
      timeframeField: 'interval',
    }
    const given = { ...endpoint, bounds: { start, end }, chunkHint: hint }
    await execute(given, { ...minutes(2, 3), symbol: 'BTC' }, (call) => {
      calls.push(call)
      return full(call)
    })
    expect(calls).toEqual([
      {
        endpointId: 'sim.points',
        symbol: 'BTC',
        timeframe: '1m',
        chunkIndex: 0,
        page: 0,
        startMs: 120_000,
        endMs: 180_000,
        limit: 1,
        params: { count: 1, startTime: from, endTime: to, interval: '1m' },
      },
    ])
  })

  test('by cursor: times go with the first request only', async () => {
    const params: ChunkCall['params'][] = []
    await execute(cursorEndpoint, { startMs: 0, endMs: 99, limit: 12 }, async (call) => {
      params.push(call.params)
      const first = call.cursor === undefined
      const points = Array.from({ length: call.limit }, (_, i) => ({ timestamp: (first ? 0 : 10) + i }))
      return { points, nextCursor: first ? 'b' : 'c' }
    })
    expect(params).toEqual([
      { limit: 10, start_time: 0, end_time: 98 },
      { limit: 2, after: 'b' },
    ])
  })
})

describe('results', () => {
  test('one result: counts, weight, throttling, first and last time', async () => {
    const result = await execute(endpoint, minutes(0, 25), async (call) => ({
      ...(await full(call)),
      ...(call.chunkIndex === 1 && { weight: 7, throttledMs: 40 }),
    }))
    expect(result).toMatchObject({
      chunksUsed: 3,
      requests: 3,
      weightConsumed: 2 + 7 + 2,
      throttleApplied: true,
      throttledMs: 40,
      totalPoints: 25,
      firstTime: 0,
      lastTime: 24 * MINUTE,
      outOfRange: 0,
      duplicates: 0,
      stale: 0,
      endedBy: 'range',
    })
    expect(result.data.map(({ timestamp }) => timestamp / MINUTE)).toEqual(
      Array.from({ length: 25 }, (_, i) => i),
    )
  })

  test.each<[string, ChunkRequest]>([
    ['limit 0', { limit: 0 }],
    ['start equals end', minutes(5, 5)],
  ])('%s: an empty result without a request', async (_, request) => {
    let asked = 0
    const result = await execute(endpoint, request, async (call) => {
      asked++
      return full(call)
    })
    expect(result).toMatchObject({ data: [], chunksUsed: 0, requests: 0, weightConsumed: 0, totalPoints: 0 })
    expect(result).not.toHaveProperty('firstTime')
    expect(asked).toBe(0)
  })

  test('no data: every window was asked, and there are no times', async () => {
    const result = await execute(endpoint, minutes(0, 30), async () => ({ points: [] }))
    expect(result).toMatchObject({ data: [], chunksUsed: 3, totalPoints: 0, throttleApplied: false })
    expect(result).not.toHaveProperty('lastTime')
  })

  test('what a clamp cut is in the result', async () => {
    const chunkPolicy: ChunkPolicy = {
      maxPoints: 10,
      serves: { earliestMs: 5 * MINUTE },
      outOfRange: 'clamp',
    }
    const result = await execute({ ...endpoint, chunkPolicy }, minutes(0, 8), full)
    expect(result).toMatchObject({ totalPoints: 3, clamped: { clampedFrom: 5 * MINUTE } })
  })

  test('backwards: newest chunk first, one result ascending', async () => {
    const { run, executor } = setUp(endpoint, { timeframe: '1m', limit: 15, endMs: 15 * MINUTE })
    const firsts: number[] = []
    for await (const { data } of executor.iterate(run, full)) firsts.push(data[0]!.timestamp / MINUTE)
    expect(firsts).toEqual([10, 0])
    const { data } = await executor.execute(run, full)
    expect(data.map(({ timestamp }) => timestamp / MINUTE)).toEqual(Array.from({ length: 15 }, (_, i) => i))
  })

  test('several symbols in one answer are told apart', async () => {
    const given = { ...endpoint, chunkHint: { symbolKey: 'symbol' } }
    const points = ['A', 'B', 'B'].map((symbol) => ({ timestamp: 0, symbol }))
    const fetchPage: FetchPage<Point> = async ({ startMs }) => ({ points: startMs === 0 ? points : [] })
    const { data } = await execute(given, { startMs: 0, endMs: MINUTE }, fetchPage)
    expect(data).toEqual([
      { timestamp: 0, symbol: 'A' },
      { timestamp: 0, symbol: 'B' },
    ])
  })
})

describe('iterating', () => {
  test('chunks come in plan order whatever answers first, and requests keep within bounds', async () => {
    let running = 0
    let most = 0
    const { run, executor } = setUp(endpoint, minutes(0, 100), { concurrency: 3 })
    const seen: number[] = []
    let started = 0
    for await (const { index } of executor.iterate(run, async (call) => {
      started++
      most = Math.max(most, ++running)
      await sleep(call.chunkIndex % 3 === 0 ? 6 : 1)
      running--
      return full(call)
    })) {
      seen.push(index)
      expect(started - seen.length).toBeLessThanOrEqual(3)
    }
    expect(seen).toEqual(Array.from({ length: 10 }, (_, i) => i))
    expect(most).toBe(3)
  })

  const failing: FetchPage<Point> = async (call) => {
    if (call.chunkIndex === 1) throw boom
    return full(call)
  }

  test('stop: what came before was handed over, the error is the one thrown', async () => {
    const { run, executor, events } = setUp(endpoint, minutes(0, 30), { concurrency: 3 })
    const seen: number[] = []
    const iterate = async () => {
      for await (const { index } of executor.iterate(run, failing)) seen.push(index)
    }
    await expect(iterate()).rejects.toBe(boom)
    expect(seen).toEqual([0])
    expect(events.at(-1)).toMatchObject({
      event: 'chunk_error',
      level: 'error',
      endpoint_id: 'sim.points',
      chunk_index: 1,
      error_type: 'fetch.unreachable',
      error_message: 'no route',
    })
  })

  test('continue: the error stands in its place and the rest follows', async () => {
    const { run, executor } = setUp(endpoint, minutes(0, 30))
    const seen: unknown[] = []
    for await (const chunk of executor.iterate(run, failing, { onError: 'continue' })) {
      seen.push(chunk.error ?? chunk.data?.length)
    }
    expect(seen).toEqual([10, boom, 10])
  })

  test('abort rejects with the reason', async () => {
    const controller = new AbortController()
    for (const given of [endpoint, cursorEndpoint]) {
      const { run, executor, events } = setUp(given, minutes(0, 30))
      const fetchPage: FetchPage<Point> = async (_, { signal }) => {
        controller.abort(boom)
        await sleep(1_000, undefined, { signal })
        return { points: [] }
      }
      await expect(executor.execute(run, fetchPage, { signal: controller.signal })).rejects.toBe(boom)
      expect(events.filter(({ event }) => event === 'chunk_error')).toEqual([])
    }
  })

  test('events and metrics name the endpoint and add up', async () => {
    const counters: Record<string, number> = {}
    const latencies: number[] = []
    const { run, executor, events } = setUp(endpoint, minutes(0, 15), {
      metrics: {
        count: (name, value, labels) => {
          expect(labels).toEqual({ endpoint_id: 'sim.points' })
          counters[name] = (counters[name] ?? 0) + value
        },
        observe: (name, value) => void (name === 'chunking_chunk_latency_ms' && latencies.push(value)),
      },
    })
    await executor.execute(run, full)
    const endpoint_id = 'sim.points'
    expect(events).toMatchObject([
      {
        event: 'chunk_plan_created',
        endpoint_id,
        total_chunks: 2,
        window_size: 600,
        start_time: 0,
        end_time: 900_000,
      },
      {
        event: 'chunk_completed',
        endpoint_id,
        chunk_index: 0,
        rows_aggregated: 10,
        weight: 2,
        latency_ms: 5,
      },
      { event: 'chunk_completed', endpoint_id, chunk_index: 1, rows_aggregated: 5, weight: 2, latency_ms: 5 },
      {
        event: 'chunk_execution_complete',
        endpoint_id,
        chunks_used: 2,
        total_points: 15,
        weight_consumed: 4,
        start_timestamp: 0,
        end_timestamp: 14 * MINUTE,
        total_latency_ms: 25,
      },
    ])
    expect(counters).toMatchObject({
      chunking_chunks_total: 2,
      chunking_points_total: 15,
      chunking_weight_total: 4,
    })
    expect(latencies).toEqual([5, 5])
  })
})

describe('a short page', () => {
  /** Points from minute 85 on only. */
  const young: FetchPage<Point> = async (call) => {
    const { points } = await full(call)
    return { points: points.filter(({ timestamp }) => timestamp >= 85 * MINUTE) }
  }
  const back: ChunkRequest = { timeframe: '1m', endMs: 100 * MINUTE, limit: 100 }

  test('ends a limit-only run where asked to', async () => {
    const result = await execute(endpoint, { ...back, stopOnShortPage: true }, young)
    expect(result).toMatchObject({ totalPoints: 15, requests: 2, endedBy: 'short-page' })
  })

  test('ends nothing where not', async () => {
    const result = await execute(endpoint, back, young)
    expect(result).toMatchObject({ totalPoints: 15, requests: 10, endedBy: 'range' })
  })

  test.each([
    [true, 'short-page', 1],
    [false, 'cursor-end', 2],
  ])('by cursor, asked to %s: ends by %s', async (stopOnShortPage, endedBy, requests) => {
    const fetchPage: FetchPage<Point> = async ({ cursor }) =>
      cursor === undefined ? { points: [{ timestamp: 1 }], nextCursor: 1 } : { points: [] }
    expect(await execute(cursorEndpoint, { stopOnShortPage }, fetchPage)).toMatchObject({
      endedBy,
      requests,
      totalPoints: 1,
    })
  })
})

describe('paging by cursor', () => {
  /** Pages by their cursor; the first one has none. */
  const pages =
    (list: readonly (readonly [Cursor | undefined, readonly number[], Cursor?])[]): FetchPage<Point> =>
    async ({ cursor }) => {
      const page = list.find(([at]) => at === cursor)
      if (!page) throw new Error(`no page at ${cursor}`)
      const [, times, nextCursor] = page
      return {
        points: times.map((timestamp) => ({ timestamp })),
        ...(nextCursor !== undefined && { nextCursor }),
      }
    }

  const three = pages([
    [undefined, [1, 2], 'b'],
    ['b', [], 'c'],
    ['c', [2, 3, 1, 4]],
  ])

  test('goes on over an empty page, drops what came before and what is older', async () => {
    const result = await execute(cursorEndpoint, {}, three)
    expect(result.data.map(({ timestamp }) => timestamp)).toEqual([1, 2, 3, 4])
    expect(result).toMatchObject({ chunksUsed: 3, duplicates: 1, stale: 1, endedBy: 'cursor-end' })
    expect(result).not.toHaveProperty('nextCursor')
  })

  test('stops at maxChunks and says where to go on', async () => {
    const given = { ...cursorEndpoint, chunkPolicy: { maxPoints: 10, maxChunks: 2 } }
    expect(await execute(given, {}, three)).toMatchObject({
      chunksUsed: 2,
      endedBy: 'max-chunks',
      nextCursor: 'c',
    })
    expect(await execute(given, { cursor: 'c' }, three)).toMatchObject({
      totalPoints: 4,
      endedBy: 'cursor-end',
    })
  })

  test('takes one page where a request may not be cut into chunks', async () => {
    const given = { ...cursorEndpoint, chunkPolicy: { maxPoints: 10, supportsAutoChunking: false } }
    expect(await execute(given, {}, three)).toMatchObject({
      chunksUsed: 1,
      endedBy: 'max-chunks',
      nextCursor: 'b',
    })
  })

  test('a range beyond what is served is refused, or cut and said', async () => {
    const policy = { maxPoints: 10, serves: { earliestMs: 2, latestMs: 4 } }
    const strict = { ...cursorEndpoint, chunkPolicy: policy }
    expect(() => setUp(strict, { startMs: 1, endMs: 9 })).toThrow(
      expect.objectContaining({ code: 'chunking.out-of-range', recovery: 'abort' }),
    )
    const clamp = { ...cursorEndpoint, chunkPolicy: { ...policy, outOfRange: 'clamp' as const } }
    const fetchPage = pages([[undefined, [1, 2, 3, 5]]])
    const result = await execute(clamp, { startMs: 1, endMs: 9 }, fetchPage)
    expect(result.data.map(({ timestamp }) => timestamp)).toEqual([2, 3])
    expect(result.clamped).toEqual({ clampedFrom: 2, clampedTo: 4 })
    expect(setUp(clamp, { startMs: 5, endMs: 9 }).run).toMatchObject({ totalChunks: 0, chunks: [] })
    expect(setUp(strict, { startMs: 9, endMs: 9 }).run).toMatchObject({ totalChunks: 0, chunks: [] })
  })

  test('stops at the limit; a page that was cut has to be asked for again', async () => {
    expect(await execute(cursorEndpoint, { limit: 2 }, three)).toMatchObject({
      endedBy: 'limit',
      nextCursor: 'b',
    })
    expect(await execute(cursorEndpoint, { limit: 3 }, three)).toMatchObject({
      totalPoints: 3,
      nextCursor: 'c',
    })
  })

  test('a planned range ends where a whole page lies past it', async () => {
    const fetchPage = pages([
      [undefined, [1, 2, 90], 'b'],
      ['b', [3, 9], 'c'],
      ['c', [10, 11], 'd'],
    ])
    const result = await execute(cursorEndpoint, { startMs: 1, endMs: 10 }, fetchPage)
    expect(result.data.map(({ timestamp }) => timestamp)).toEqual([1, 2, 3, 9])
    expect(result).toMatchObject({ endedBy: 'range', outOfRange: 3 })
  })

  test.each<[string, FetchPage<Point>]>([
    [
      'at once',
      pages([
        [undefined, [1], 'b'],
        ['b', [2], 'b'],
      ]),
    ],
    [
      'round about',
      pages([
        [undefined, [1], 'b'],
        ['b', [2], 'c'],
        ['c', [3], 'b'],
      ]),
    ],
    [
      'with empty pages',
      pages([
        [undefined, [], 'b'],
        ['b', [], 'b'],
      ]),
    ],
  ])('a cursor that comes back %s is an error, not an endless loop', async (_, fetchPage) => {
    await expect(execute(cursorEndpoint, {}, fetchPage)).rejects.toMatchObject({
      code: 'chunking.cursor-repeated',
    })
  })

  test('an error ends the run even where it goes on past errors', async () => {
    const { run, executor } = setUp(cursorEndpoint, {})
    const fetchPage = pages([[undefined, [1], 'lost']])
    const seen: unknown[] = []
    const chunks = executor.iterate(run, fetchPage, { onError: 'continue' })
    let next = await chunks.next()
    for (; !next.done; next = await chunks.next())
      seen.push('error' in next.value ? 'error' : next.value.data.length)
    expect(seen).toEqual([1, 'error'])
    expect(next.value).toMatchObject({ endedBy: 'error', totalPoints: 1 })
  })

  test('a start the endpoint requires', () => {
    const given = { ...cursorEndpoint, chunkPolicy: { maxPoints: 10, requiresStartTime: true } }
    expect(() => setUp(given, {})).toThrow(expect.objectContaining({ code: 'chunking.start-required' }))
    expect([...setUp(given, { cursor: 'c' }).run.chunks]).toEqual([{ index: 0, limit: 10, cursor: 'c' }])
  })
})
