import { describe, expect, test } from 'vitest'
import {
  type ChunkEndpoint,
  ChunkPlanner,
  type ChunkPolicy,
  type ChunkRequest,
  chunkMetadataOf,
  type PolicyRequest,
} from '../../src/chunking/index.ts'
import type { EverybarEvent } from '../../src/model/events.ts'
import type { EndpointSpec } from '../../src/source/source.ts'

const MINUTE = 60_000
const EPOCH = 1_704_067_200_000
const NOW = EPOCH + 10_000 * MINUTE + 30_000
const at = (minute: number) => EPOCH + minute * MINUTE

const endpointWith = (policy: Partial<ChunkPolicy>, more: Partial<ChunkEndpoint> = {}): ChunkEndpoint => ({
  id: 'sim.points',
  chunkPolicy: { maxPoints: 1_000, ...policy },
  chunkHint: {},
  bounds: { start: 'inclusive', end: 'inclusive' },
  order: 'ascending',
  ...more,
})

const plan = (request: ChunkRequest, policy: Partial<ChunkPolicy> = {}, more: Partial<ChunkEndpoint> = {}) =>
  new ChunkPlanner(endpointWith(policy, more), { clock: { nowMs: () => NOW } }).plan(request)

/** Windows as `first-end:limit` in minutes since the epoch of these tests. */
const windows = (
  request: ChunkRequest,
  policy: Partial<ChunkPolicy> = {},
  more: Partial<ChunkEndpoint> = {},
) =>
  [...plan(request, policy, more).chunks]
    .map(({ startMs, endMs, limit }) => {
      const minute = (ms: number | undefined) => (ms === undefined ? '' : (ms - EPOCH) / MINUTE)
      return `${minute(startMs)}-${minute(endMs)}:${limit}`
    })
    .join(' ')

describe('windows on a timeframe', () => {
  const minutes = (from: number, to: number): ChunkRequest => ({
    timeframe: '1m',
    startMs: at(from),
    endMs: at(to),
  })

  test.each<[string, ChunkRequest, Partial<ChunkPolicy>, string]>([
    ['less than a page', minutes(0, 10), {}, '0-10:10'],
    ['exactly a page', minutes(0, 1000), {}, '0-1000:1000'],
    ['one bar more than a page', minutes(0, 1001), {}, '0-1000:1000 1000-1001:1'],
    ['pages touch, none overlaps', minutes(5, 2506), {}, '5-1005:1000 1005-2005:1000 2005-2506:501'],
    ['one bar', minutes(7, 8), {}, '7-8:1'],
    [
      'a range without an open',
      { timeframe: '1m', startMs: at(0) + 1, endMs: at(1) - 1 },
      {},
      '0.000016666666666666667-0.9999833333333333:1',
    ],
    [
      'outer ends stay, inner edges on the grid',
      minutes(0.5, 25.5),
      { maxPoints: 10 },
      '0.5-11:10 11-21:10 21-25.5:5',
    ],
    ['a limit counts from the start', { ...minutes(0, 5000), limit: 1500 }, {}, '0-1000:1000 1000-1500:500'],
    ['a limit within one page sets the page', { ...minutes(0, 5000), limit: 30 }, {}, '0-30:30'],
    ['a limit larger than the range', { ...minutes(0, 20), limit: 500 }, {}, '0-20:20'],
    ['a span the endpoint caps', minutes(0, 100), { maxSpanMs: 45 * MINUTE }, '0-45:45 45-90:45 90-100:10'],
    [
      'a start off the grid: no window is wider than the span',
      minutes(0.5, 25.5),
      { maxSpanMs: 10 * MINUTE },
      '0.5-10:9 10-20:10 20-25.5:6',
    ],
    [
      'a start off the grid, and a span with room for it',
      minutes(0.5, 25.5),
      { maxPoints: 10, maxSpanMs: 11 * MINUTE },
      '0.5-11:10 11-21:10 21-25.5:5',
    ],
    [
      'a start off the grid, back from the end',
      { timeframe: '1m', endMs: at(25.5), limit: 25 },
      { maxSpanMs: 10 * MINUTE, serves: { earliestMs: at(1.5) } },
      '21-25.5:5 11-21:10 1.5-11:9',
    ],
    [
      'bars wider than the span: cut by time',
      { timeframe: '1h', startMs: at(0), endMs: at(90) },
      { maxSpanMs: 40 * MINUTE },
      '0-40:1 40-80:1 80-90:1',
    ],
  ])('%s', (_, request, policy, expected) => expect(windows(request, policy)).toBe(expected))

  test.each<[string, string, string, string, string[]]>([
    ['months', '1M', '2023-11-15', '2024-03-01', ['2023-11-15', '2024-02-01', '2024-03-01']],
    ['weeks open on Monday', '1w', '2024-01-03', '2024-01-25', ['2024-01-03', '2024-01-22', '2024-01-25']],
    [
      'three days, whose grid nobody documents',
      '3d',
      '2024-01-02',
      '2024-01-12',
      ['2024-01-02', '2024-01-08', '2024-01-12'],
    ],
  ])('%s', (_, timeframe, from, to, edges) => {
    const request = { timeframe, startMs: Date.parse(from), endMs: Date.parse(to) }
    const chunks = [...plan(request, { maxPoints: 2 }).chunks]
    const day = (ms: number | undefined) => new Date(ms!).toISOString().slice(0, 10)
    expect([day(chunks[0]?.startMs), ...chunks.map(({ endMs }) => day(endMs))]).toEqual(edges)
  })

  test('windows are made as they are taken, and may be taken again', () => {
    const run = plan({ timeframe: '1s', startMs: 0, endMs: NOW }, { maxPoints: 1 })
    expect(run.totalChunks).toBe(NOW / 1_000)
    const first = () => run.chunks[Symbol.iterator]().next().value
    expect(first()).toEqual({ index: 0, startMs: 0, endMs: 1_000, limit: 1 })
    expect(first()).toEqual(first())
  })
})

describe('ends a request leaves open', () => {
  test.each<[string, ChunkRequest, Partial<ChunkPolicy>, string]>([
    ['limit only: back from now, the open bar included', { timeframe: '1m', limit: 3 }, {}, '9998-10000.5:3'],
    [
      'limit only: the newest window first',
      { timeframe: '1m', limit: 15 },
      { maxPoints: 10 },
      '9996-10000.5:5 9986-9996:10',
    ],
    [
      'limit only, forwards',
      { timeframe: '1m', limit: 15 },
      { maxPoints: 10, limitOnly: 'forwards', serves: { earliestMs: at(3) } },
      '3-13:10 13-18:5',
    ],
    ['start and limit', { timeframe: '1m', startMs: at(2), limit: 3 }, {}, '2-5:3'],
    [
      'end and limit: back from the end',
      { timeframe: '1m', endMs: at(50), limit: 15 },
      { maxPoints: 10 },
      '45-50:5 35-45:10',
    ],
    ['start only: to now', { timeframe: '1m', startMs: at(9_998) }, {}, '9998-10000.5:3'],
    ['start and limit stop at now', { timeframe: '1m', startMs: at(9_998), limit: 50 }, {}, '9998-10000.5:3'],
    ['a start in the future: nothing yet', { timeframe: '1m', startMs: NOW + MINUTE }, {}, ''],
    [
      'end only: from the earliest served',
      { timeframe: '1m', endMs: at(9) },
      { serves: { earliestMs: at(4) } },
      '4-9:5',
    ],
    [
      'back no further than what is served',
      { timeframe: '1m', limit: 9, endMs: at(9) },
      { serves: { earliestMs: at(4) } },
      '4-9:5',
    ],
    ['no timeframe, limit only: the newest before now', { limit: 70 }, {}, '-10000.5:70'],
    ['no timeframe, a range: one window', { startMs: at(0), endMs: at(90) }, {}, '0-90:1000'],
    [
      'no timeframe, spans',
      { startMs: at(0), endMs: at(90) },
      { maxSpanMs: 60 * MINUTE },
      '0-60:1000 60-90:1000',
    ],
  ])('%s', (_, request, policy, expected) => expect(windows(request, policy)).toBe(expected))

  test.each<[string, ChunkRequest]>([
    ['limit 0', { timeframe: '1m', limit: 0 }],
    ['limit 0 in a range', { timeframe: '1m', limit: 0, startMs: at(0), endMs: at(9) }],
    ['start equals end', { timeframe: '1m', startMs: at(5), endMs: at(5) }],
  ])('%s: no chunk', (_, request) => {
    const run = plan(request)
    expect([...run.chunks]).toEqual([])
    expect(run.totalChunks).toBe(0)
  })

  test.each<[string, ChunkRequest, Partial<ChunkPolicy>, string]>([
    ['neither start nor limit', { timeframe: '1m', endMs: at(9) }, {}, 'chunking.start-required'],
    ['nothing at all', { timeframe: '1m' }, {}, 'chunking.start-required'],
    [
      'forwards without an earliest',
      { timeframe: '1m', limit: 5 },
      { limitOnly: 'forwards' },
      'chunking.start-required',
    ],
    ['a negative limit', { limit: -1, startMs: 0, endMs: 1 }, {}, 'chunking.bad-limit'],
    ['half a limit', { limit: 1.5, startMs: 0, endMs: 1 }, {}, 'chunking.bad-limit'],
    ['start after end', { timeframe: '1m', startMs: at(6), endMs: at(5) }, {}, 'chunking.bad-range'],
    ['a time that is none', { timeframe: '1m', startMs: Number.NaN, endMs: at(5) }, {}, 'chunking.bad-range'],
    ['an unknown timeframe', { timeframe: '1x', startMs: at(0), endMs: at(5) }, {}, 'timeframe.unknown'],
    [
      'a short page to end a planned range',
      { timeframe: '1m', startMs: at(0), endMs: at(5), stopOnShortPage: true },
      {},
      'chunking.short-page-over-range',
    ],
    ['a policy of no points', { timeframe: '1m', limit: 5 }, { maxPoints: 0 }, 'chunking.bad-policy'],
  ])('%s is refused', (_, request, policy, code) => {
    expect(() => plan(request, policy)).toThrow(expect.objectContaining({ code, recovery: 'abort' }))
  })

  test('an open end without a clock is refused', () => {
    const planner = new ChunkPlanner(endpointWith({}))
    for (const request of [{ startMs: 0 }, { limit: 5 }]) {
      expect(() => planner.plan(request)).toThrow(expect.objectContaining({ code: 'chunking.end-required' }))
    }
  })
})

describe('strict and clamp', () => {
  const served = { serves: { earliestMs: at(10), latestMs: at(50) } }
  const range = (from: number, to: number): ChunkRequest => ({
    timeframe: '1m',
    startMs: at(from),
    endMs: at(to),
  })

  test.each<[string, ChunkRequest, Partial<ChunkPolicy>, string, object]>([
    ['an early start', range(0, 20), served, '10-20:10', { clampedFrom: at(10) }],
    ['a late end', range(40, 60), served, '40-50:10', { clampedTo: at(50) }],
    ['both', range(0, 60), served, '10-50:40', { clampedFrom: at(10), clampedTo: at(50) }],
    ['all of it', range(60, 70), served, '', { clampedFrom: at(50), clampedTo: at(50) }],
    [
      'more chunks than allowed',
      range(0, 35),
      { maxPoints: 10, maxChunks: 2 },
      '0-10:10 10-20:10',
      { clampedTo: at(20) },
    ],
    [
      'more chunks than allowed, backwards',
      { timeframe: '1m', endMs: at(35), limit: 35 },
      { maxPoints: 10, maxChunks: 2 },
      '30-35:5 20-30:10',
      { clampedFrom: at(20), clampedLimit: 20 },
    ],
    [
      'no chunking at all',
      range(0, 35),
      { maxPoints: 10, supportsAutoChunking: false },
      '0-10:10',
      { clampedTo: at(10) },
    ],
    [
      'a limit without windows',
      { limit: 35 },
      { maxPoints: 10, supportsAutoChunking: false },
      '-10000.5:10',
      { clampedLimit: 10 },
    ],
  ])(
    '%s: clamp says what was cut, strict refuses and names what is permitted',
    (_, request, policy, expected, clamped) => {
      expect(windows(request, { ...policy, outOfRange: 'clamp' })).toBe(expected)
      expect(plan(request, { ...policy, outOfRange: 'clamp' }).clamped).toEqual(clamped)
      expect(() => plan(request, policy)).toThrow(
        expect.objectContaining({
          code: expect.stringMatching(/^chunking\.(out-of-range|too-many-chunks)$/),
          hint: expect.stringMatching(/2024-01-01T00:\d\d:00Z … 2024-01-01T00:\d\d:00Z|10 points at most/),
        }),
      )
    },
  )

  test.each<[string, ChunkRequest, string]>([
    ['fewer bars', { ...range(0, 10), limit: 5_000 }, '0-10:10'],
    ['fewer up to now', { timeframe: '1m', startMs: at(9_998), limit: 5_000 }, '9998-10000.5:3'],
  ])(
    'a limit above what one chunk holds, where the range holds %s: nothing is cut',
    (_, request, expected) => {
      for (const outOfRange of ['strict', 'clamp'] as const) {
        const policy = { supportsAutoChunking: false, outOfRange }
        expect(windows(request, policy)).toBe(expected)
        expect(plan(request, policy)).not.toHaveProperty('clamped')
      }
    },
  )

  test('a limit that one chunk cannot hold, of points nobody can count before: how many chunks it needs', () => {
    expect(() => plan({ limit: 35 }, { maxPoints: 10, supportsAutoChunking: false })).toThrow(
      'the request needs 4 chunks, and 1 of 10 points are allowed',
    )
  })

  test('a request within what is served has nothing cut', () => {
    expect(plan(range(10, 50), { ...served, outOfRange: 'clamp' })).not.toHaveProperty('clamped')
    expect(windows(range(10, 50), served)).toBe('10-50:40')
  })
})

describe('page size', () => {
  const tiers = {
    weightPolicy: {
      tiers: [
        { minLimit: 1, maxLimit: 100, weight: 1 },
        { minLimit: 100, maxLimit: 500, weight: 2 },
        { minLimit: 500, maxLimit: 1_001, weight: 5 },
        { minLimit: 1_001, weight: 10 },
      ],
    },
  }
  test.each<[string, ChunkRequest, Partial<ChunkEndpoint>, number]>([
    ['tiers: most points a weight', { startMs: 0, endMs: 1e12 }, tiers, 499],
    ['tiers, and fewer wanted', { limit: 120 }, tiers, 120],
    ['no tiers: what a request gives', { startMs: 0, endMs: 1e12 }, {}, 1_500],
    ['no tiers, and fewer wanted', { limit: 7 }, {}, 7],
  ])('%s', (_, request, more, size) => {
    expect(plan({ timeframe: '1m', ...request }, { maxPoints: 1_500 }, more).pageSize).toBe(size)
  })

  test.each<[string, ChunkRequest, Partial<ChunkPolicy>, number, number]>([
    ['one, and a limit', { limit: 1_000 }, { supportsAutoChunking: false }, 1_000, 1],
    ['one, and a limit the cheapest page holds', { limit: 450 }, { supportsAutoChunking: false }, 450, 1],
    [
      'one, and a range',
      { startMs: at(0), endMs: at(1_200), limit: 5_000 },
      { supportsAutoChunking: false },
      1_500,
      1,
    ],
    ['three', { startMs: at(0), endMs: at(2_900) }, { maxChunks: 3 }, 1_000, 3],
    ['enough of the cheapest', { startMs: at(0), endMs: at(2_900) }, { maxChunks: 6 }, 499, 6],
  ])('tiers, and few chunks allowed: %s', (_, request, policy, size, chunks) => {
    const run = plan({ timeframe: '1m', ...request }, { maxPoints: 1_500, ...policy }, tiers)
    expect([run.pageSize, run.totalChunks]).toEqual([size, chunks])
  })
})

describe('metadata', () => {
  test('a policy may be a function of the request', () => {
    const asked: PolicyRequest[] = []
    const chunkPolicy = (request: PolicyRequest): ChunkPolicy => {
      asked.push(request)
      return { maxPoints: request.timeframe === '1m' ? 300 : 100 }
    }
    const more = { chunkPolicy }
    expect(windows({ timeframe: '1m', startMs: at(0), endMs: at(400) }, {}, more)).toBe(
      '0-300:300 300-400:100',
    )
    expect(plan({ timeframe: '1h', limit: 400, symbol: 'BTC' }, {}, more).pageSize).toBe(100)
    expect(asked.at(-1)).toEqual({ timeframe: '1h', limit: 400, symbol: 'BTC' })
  })

  test.each([
    [{ order: 'ascending' } as const, 'oldest'],
    [{ order: 'descending' } as const, 'newest'],
    [{ order: 'ascending', keeps: 'newest' } as const, 'newest'],
  ])('%o keeps the %s', (more, keeps) => {
    expect(chunkMetadataOf(endpointWith({}, more), { timeframe: '1m' }).keeps).toBe(keeps)
  })

  test('every endpoint spec of a source is a chunk endpoint', () => {
    const use = (spec: EndpointSpec): ChunkEndpoint => spec
    const spec = {
      ...endpointWith({}),
      venue: 'sim',
      weightPolicy: { staticWeight: 3 },
    } as unknown as EndpointSpec
    expect(chunkMetadataOf(use(spec), { timeframe: '1m' }).weightPolicy).toEqual({ staticWeight: 3 })
  })
})

test('chunk_plan_created carries the endpoint and the shape of the plan', () => {
  const events: EverybarEvent[] = []
  const onEvent = (event: EverybarEvent) => events.push(event)
  const planner = new ChunkPlanner(endpointWith({}), { onEvent, clock: { nowMs: () => NOW } })
  planner.plan({ timeframe: '1m', startMs: at(0), endMs: at(2_500), limit: 2_400 })
  planner.plan({ limit: 5 })
  const event = 'chunk_plan_created'
  expect(events).toMatchObject([
    {
      event,
      endpoint_id: 'sim.points',
      total_chunks: 3,
      window_size: 60_000,
      total_limit: 2_400,
      start_time: at(0),
      end_time: at(2_400),
    },
    {
      event,
      endpoint_id: 'sim.points',
      total_chunks: 1,
      window_size: null,
      total_limit: 5,
      start_time: null,
      end_time: NOW,
    },
  ])
})
