import { describe, expect, test } from 'vitest'
import { type ChunkCall, type ChunkRequest, fetchChunks } from '../../src/chunking/index.ts'
import { type SimOptions, simEndpoint } from '../support/sim-endpoint.ts'

const MINUTE = 60_000
const EPOCH = 1_704_067_200_000
const clock = { nowMs: () => EPOCH, monotonicMs: () => 0 }
const at = (minute: number) => EPOCH + minute * MINUTE

/** A venue with one-minute bars over `bars` minutes but for those `missing` says. */
const venue = (bars: number, missing: (minute: number) => boolean, more: Partial<SimOptions> = {}) =>
  simEndpoint({
    truth: Array.from({ length: bars }, (_, minute) => minute)
      .filter((minute) => !missing(minute))
      .map((minute) => ({ timestamp: at(minute) })),
    policy: { maxPoints: 1_000 },
    ...more,
  })

const whole = (bars: number): ChunkRequest => ({ timeframe: '1m', startMs: at(0), endMs: at(bars) })
const none = () => false

describe('bars that other planners lose', () => {
  test.each<[string, number, (minute: number) => boolean, number, number]>([
    ['perfect data, 2,501 bars: no bar is lost where pages meet', 2_501, none, 2_501, 3],
    [
      'an outage that covers exactly one page: history goes on after it',
      4_500,
      (m) => m >= 1_000 && m < 2_000,
      3_500,
      5,
    ],
    ['an outage across two pages', 4_500, (m) => m >= 999 && m < 2_000, 3_499, 5 + 1],
    [
      'two no-trade minutes in page 0: a sparse page is not the end',
      4_501,
      (m) => m === 10 || m === 500,
      4_499,
      5,
    ],
    [
      'the last minute of page 0 is missing: one request more shows that it is',
      4_501,
      (m) => m === 999,
      4_500,
      5 + 1,
    ],
    ['nothing at all: every window is asked once', 4_500, () => true, 0, 5],
    ['one bar, in the last window', 4_500, (m) => m !== 4_499, 1, 5],
  ])('%s', async (_, bars, missing, expected, requests) => {
    for (const concurrency of [1, 3]) {
      const { endpoint, fetchPage, calls } = venue(bars, missing)
      const { data, ...result } = await fetchChunks(endpoint, whole(bars), fetchPage, { clock, concurrency })
      expect(new Set(data.map(({ timestamp }) => timestamp)).size).toBe(expected)
      expect(result).toMatchObject({ totalPoints: expected, requests, endedBy: 'range' })
      expect(calls.length).toBe(requests)
    }
  })

  test('a venue that gives 300 where 1,000 were promised costs requests, not bars, and is named', async () => {
    const { endpoint, fetchPage } = venue(2_000, none, { cap: 300 })
    const result = await fetchChunks(endpoint, whole(2_000), fetchPage, { clock })
    expect(result).toMatchObject({ totalPoints: 2_000, requests: 2 * Math.ceil(1_000 / 300), cappedAt: 300 })
  })

  test('a fuller page once seen spares later windows the second look', async () => {
    const { endpoint, fetchPage } = venue(4_000, (m) => m >= 1_000 && m % 1_000 === 999)
    const result = await fetchChunks(endpoint, whole(4_000), fetchPage, { clock })
    expect(result).toMatchObject({ totalPoints: 3_997, requests: 4 })
  })
})

describe('endpoints that cannot be believed', () => {
  test('a start that is ignored is an error, not an empty history', async () => {
    const { endpoint } = venue(0, none)
    const latest = Array.from({ length: 720 }, (_, i) => ({ timestamp: at(i) }))
    const run = fetchChunks(
      endpoint,
      { timeframe: '1m', startMs: at(5_000), endMs: at(6_000) },
      async () => ({ points: latest }),
      { clock },
    )
    await expect(run).rejects.toMatchObject({ code: 'chunking.no-progress', recovery: 'abort' })
  })

  test('points invented wherever the window begins: an error, not an endless loop', async () => {
    const { endpoint } = venue(0, none)
    let asked = 0
    const invent = async ({ startMs = 0 }: ChunkCall) => {
      asked++
      return { points: [{ timestamp: startMs }] }
    }
    const run = fetchChunks(endpoint, whole(1_000), invent, { clock })
    await expect(run).rejects.toMatchObject({ code: 'chunking.no-progress' })
    expect(asked).toBeLessThan(1_010)
  })

  test('an end that is ignored: rows beyond are dropped and counted', async () => {
    const { endpoint } = venue(0, none)
    const { data, outOfRange } = await fetchChunks(
      endpoint,
      whole(3),
      async () => ({ points: [1, 3, 4, 5].map((minute) => ({ timestamp: at(minute) })) }),
      { clock },
    )
    expect(data).toEqual([{ timestamp: at(1) }])
    expect(outOfRange).toBeGreaterThanOrEqual(3)
  })

  test.each<[string, unknown, string]>([
    ['a point without a time', { points: [{ time: 1 }] }, 'chunking.bad-point'],
    ['a time that is text', { points: [{ timestamp: '1' }] }, 'chunking.bad-point'],
    ['null for a point', { points: [null] }, 'chunking.bad-point'],
    ['no points', {}, 'chunking.bad-page'],
    ['nothing', undefined, 'chunking.bad-page'],
  ])('%s is refused', async (_, page, code) => {
    const { endpoint } = venue(0, none)
    const run = fetchChunks(endpoint, whole(3), async () => page as { points: { timestamp: number }[] }, {
      clock,
    })
    await expect(run).rejects.toMatchObject({ code, recovery: 'quarantine' })
  })

  test('the later of two points that share a key is kept', async () => {
    const { endpoint } = venue(0, none)
    const points = [1, 2].map((close) => ({ timestamp: at(0), close }))
    const { data, duplicates } = await fetchChunks(endpoint, whole(1), async () => ({ points }), { clock })
    expect({ data, duplicates }).toEqual({ data: [{ timestamp: at(0), close: 2 }], duplicates: 1 })
  })
})
