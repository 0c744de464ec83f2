import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type Bounds,
  type ChunkEndpoint,
  type ChunkRequest,
  type ChunkResult,
  type FetchPage,
  fetchChunks,
} from '../../src/chunking/index.ts'
import { EverybarError } from '../../src/model/errors.ts'
import { type SimOptions, type SimPoint, simEndpoint } from '../support/sim-endpoint.ts'

const MINUTE = 60_000
const EPOCH = 1_704_067_200_000
const clock = { nowMs: () => EPOCH + 1_000 * MINUTE, monotonicMs: () => 0 }
const at = (minute: number) => EPOCH + minute * MINUTE

const times = (points: readonly SimPoint[]) => points.map(({ timestamp }) => timestamp)
const sides = ['inclusive', 'exclusive'] as const

async function fetched(
  options: SimOptions,
  request: ChunkRequest,
  concurrency: number,
): Promise<ChunkResult<SimPoint>> {
  const { endpoint, fetchPage } = simEndpoint(options)
  return fetchChunks(endpoint, request, fetchPage, { clock, concurrency })
}

const sizes = (least: number) => ({
  maxPoints: fc.integer({ min: least, max: 12 }),
  cap: fc.option(fc.integer({ min: least, max: 9 }), { nil: undefined }),
  duplicateEvery: fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }),
})

/** Faults a venue may have, all at once. Pages have to be larger than what a venue adds to them unasked. */
const faults = fc.oneof(
  fc.record(sizes(1)),
  fc.record({ ...sizes(4), overlap: fc.boolean(), stray: fc.boolean(), extrasCount: fc.boolean() }),
)

/** Which of 60 minutes have a point: nearly all, few, or with long holes. */
const presence = fc.oneof(
  fc.array(fc.boolean(), { minLength: 60, maxLength: 60 }),
  fc
    .array(fc.integer({ min: 0, max: 9 }), { minLength: 60, maxLength: 60 })
    .map((ns) => ns.map((n) => n > 0)),
  fc
    .array(fc.tuple(fc.integer({ min: 1, max: 25 }), fc.boolean()), { minLength: 2, maxLength: 12 })
    .map((runs) => runs.flatMap(([n, here]) => Array<boolean>(n).fill(here)).slice(0, 60)),
)

const scenario = fc.record({
  presence,
  /** Open times off the grid by a constant, as after an outage of February 2018. */
  offsetMs: fc.constantFrom(0, 0, 0, 14_789),
  from: fc.integer({ min: 0, max: 60 }),
  length: fc.integer({ min: 0, max: 60 }),
  startShiftMs: fc.constantFrom(0, 0, 1, 30_000),
  concurrency: fc.integer({ min: 1, max: 4 }),
  faults,
})

type Scenario = typeof scenario extends fc.Arbitrary<infer T> ? T : never

const pointsOf = (present: readonly boolean[], offsetMs: number): SimPoint[] =>
  present.flatMap((here, minute) => (here ? [{ timestamp: at(minute) + offsetMs }] : []))

const combinations = sides.flatMap((start) =>
  sides.flatMap((end) =>
    (['ascending', 'descending'] as const).flatMap((order) =>
      (['oldest', 'newest'] as const).map((keeps) => ({ start, end, order, keeps })),
    ),
  ),
)

describe.each(combinations)('start $start, end $end, $order, keeps the $keeps', (shape) => {
  const bounds: Bounds = { start: shape.start, end: shape.end }
  const venue = ({ presence, offsetMs, faults: { maxPoints, ...faults } }: Scenario): SimOptions => ({
    truth: pointsOf(presence, offsetMs),
    policy: { maxPoints },
    bounds,
    order: shape.order,
    keeps: shape.keeps,
    ...faults,
  })

  test('a range on a timeframe: the result is the truth', async () => {
    await fc.assert(
      fc.asyncProperty(scenario, async (given) => {
        const startMs = at(given.from) + given.startShiftMs
        const endMs = startMs + given.length * MINUTE
        const options = venue(given)
        const truth = times(options.truth).filter((t) => t >= startMs && t < endMs)
        const result = await fetched(options, { timeframe: '1m', startMs, endMs }, given.concurrency)
        expect(times(result.data)).toEqual(truth)
        expect(result).toMatchObject({ totalPoints: truth.length, endedBy: 'range' })
      }),
      { numRuns: 120 },
    )
  })

  test('a limit on a timeframe: the truth within so many bars’ time', async () => {
    await fc.assert(
      fc.asyncProperty(scenario, fc.boolean(), async (given, backwards) => {
        const options = venue({ ...given, offsetMs: 0 })
        const edge = at(given.from)
        const limit = given.length
        const [startMs, endMs] = backwards ? [edge - limit * MINUTE, edge] : [edge, edge + limit * MINUTE]
        const truth = times(options.truth).filter((t) => t >= startMs && t < endMs)
        const request = { timeframe: '1m', limit, ...(backwards ? { endMs: edge } : { startMs: edge }) }
        expect(times((await fetched(options, request, given.concurrency)).data)).toEqual(truth)
      }),
      { numRuns: 60 },
    )
  })

  test('no timeframe: a range, whole or in spans, and with a limit, is the truth', async () => {
    await fc.assert(
      fc.asyncProperty(
        scenario,
        fc.option(fc.integer({ min: 1, max: 20 * MINUTE }), { nil: undefined }),
        fc.option(fc.nat(30), { nil: undefined }),
        async (given, maxSpanMs, limit) => {
          const startMs = at(given.from) + given.startShiftMs
          const endMs = startMs + given.length * MINUTE
          const policy = {
            maxPoints: given.faults.maxPoints,
            ...(maxSpanMs && { maxSpanMs: maxSpanMs + MINUTE }),
          }
          const options = { ...venue(given), policy }
          const truth = times(options.truth).filter((t) => t >= startMs && t < endMs)
          const request = { startMs, endMs, ...(limit !== undefined && { limit }) }
          const { data } = await fetched(options, request, given.concurrency)
          expect(times(data)).toEqual(truth.slice(0, limit))
        },
      ),
      { numRuns: 80 },
    )
  })

  test('no timeframe, a limit back from an end: the newest points before it', async () => {
    await fc.assert(
      fc.asyncProperty(scenario, async (given) => {
        const options = venue({ ...given, faults: { ...given.faults, overlap: false } })
        const endMs = at(given.from)
        const limit = given.length
        const truth = times(options.truth).filter((t) => t < endMs)
        const { data } = await fetched(options, { endMs, limit }, given.concurrency)
        expect(times(data)).toEqual(limit === 0 ? [] : truth.slice(-limit))
      }),
      { numRuns: 60 },
    )
  })
})

describe('points that share a time', () => {
  const crowd = fc
    .array(fc.tuple(fc.nat(8), fc.integer({ min: 1, max: 4 })), { maxLength: 25 })
    .map((groups) => {
      let timestamp = EPOCH
      let id = 0
      return groups.flatMap(([step, count]) => {
        timestamp += step + 1
        return Array.from({ length: count }, () => ({ timestamp, id: id++ }))
      })
    })

  test.each(combinations)(
    '$order, keeps the $keeps, start $start, end $end: all, or an error',
    async (shape) => {
      const { start, end, order, keeps } = shape
      let complete = 0
      await fc.assert(
        fc.asyncProperty(
          crowd,
          fc.integer({ min: 2, max: 9 }),
          // More than share a time: where they fill the venue's pages, no answer can tell whether there are others.
          fc.integer({ min: 5, max: 9 }),
          async (truth, maxPoints, cap) => {
            const { endpoint, fetchPage } = simEndpoint({
              truth,
              policy: { maxPoints },
              bounds: { start, end },
              order,
              keeps,
              cap,
            })
            const request = { startMs: EPOCH, endMs: EPOCH + 10_000 }
            const options = { clock, keyOf: ({ id }: SimPoint) => id! }
            try {
              const { data } = await fetchChunks(endpoint, request, fetchPage, options)
              expect(data.map(({ id }) => id)).toEqual(truth.map(({ id }) => id))
              complete++
            } catch (error) {
              if (!(error instanceof EverybarError)) throw error
              expect(error.code).toBe('chunking.no-progress')
              expect(maxPoints).toBeLessThanOrEqual(4)
            }
          },
        ),
        { numRuns: 150 },
      )
      expect(complete).toBeGreaterThan(75)
    },
  )
})

describe('paging by cursor', () => {
  interface Trade {
    readonly timestamp: number
    readonly id: number
  }

  /** Trades by id, `overlap` of them sent again with the next page; empty pages in between where asked. */
  function tradeVenue(trades: readonly Trade[], pageMax: number, overlap: number, newestFirst: boolean) {
    const order = newestFirst ? 'descending' : 'ascending'
    const endpoint: ChunkEndpoint = {
      id: 'sim.trades',
      chunkPolicy: { maxPoints: pageMax },
      chunkHint: { cursorField: 'from' },
      bounds: { start: 'inclusive', end: 'inclusive' },
      order,
    }
    const list = newestFirst ? trades.toReversed() : trades
    const fetchPage: FetchPage<Trade> = async ({ params }) => {
      const asked = params.from as number | undefined
      const from = asked ?? 0
      const points = list.slice(Math.max(0, from - overlap), from + (params.limit as number))
      const next = from + (params.limit as number)
      return next < list.length ? { points, nextCursor: next } : { points }
    }
    return { endpoint, fetchPage }
  }

  test('all trades once, whatever overlaps', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(3), { maxLength: 60 }),
        fc.integer({ min: 1, max: 9 }),
        fc.nat(3),
        fc.boolean(),
        fc.option(fc.nat(70), { nil: undefined }),
        async (steps, pageMax, overlap, newestFirst, limit) => {
          let timestamp = EPOCH
          const trades = steps.map((step, id) => ({ timestamp: (timestamp += step), id }))
          const { endpoint, fetchPage } = tradeVenue(trades, pageMax, overlap, newestFirst)
          const request = limit === undefined ? {} : { limit }
          const { data } = await fetchChunks(endpoint, request, fetchPage, { clock, keyOf: ({ id }) => id })
          const ids = trades.map(({ id }) => id)
          const wanted =
            limit === undefined
              ? ids
              : newestFirst
                ? ids.slice(Math.max(0, ids.length - limit))
                : ids.slice(0, limit)
          expect(data.map(({ id }) => id)).toEqual(wanted)
        },
      ),
      { numRuns: 300 },
    )
  })
})
