import { afterEach, describe, expect, test } from 'vitest'
import { ChunkExecutor, ChunkPlanner } from '../../src/chunking/index.ts'
import { configSchema } from '../../src/config/schema.ts'
import type { Fetcher } from '../../src/fetch/fetcher.ts'
import { createFetcher, type FetcherOptions } from '../../src/fetch/undici/create-fetcher.ts'
import { fetchBars } from '../../src/index.ts'
import { parseSeries } from '../../src/model/series.ts'
import { type Simulator, type SimulatorOptions, startSimulator } from '../../src/simulator/simulator.ts'
import {
  aggTradeKey,
  aggTradesRequest,
  aggTradesSpec,
  checkAggTrades,
  readAggTrades,
} from '../../src/source/binance/agg-trades.ts'
import { binanceSources } from '../../src/source/binance/sources.ts'
import { systemClock } from '../http-server.ts'

const cleanups: (() => PromiseLike<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

const series = parseSeries('binance:spot:BTCUSDT:1m')

async function venue(options: SimulatorOptions): Promise<Simulator> {
  const simulator = await startSimulator({ rttMs: 20, ...options })
  cleanups.push(() => simulator.close())
  return simulator
}

/** A process that begins as every run does: the spec's limits, then the venue's own, then `pages` pages at once. */
async function process(
  { url }: Simulator,
  pages: number,
  options: Partial<FetcherOptions> = {},
): Promise<Fetcher> {
  const [spot] = binanceSources({ baseUrl: url })
  const { spec, check, request, venueInfo } = spot!
  const fetcher = createFetcher({ clock: systemClock, onEvent: () => {}, limits: spec.limits, ...options })
  cleanups.push(() => fetcher[Symbol.asyncDispose]())
  const info = await fetcher.fetch(venueInfo!.request(series), { check })
  fetcher.setLimits(venueInfo!.decode(info.body, series).limits)
  await Promise.all(
    Array.from({ length: pages }, (_, i) => {
      const startMs = 1_600_000_020_000 + i * 600_000
      const range = { startMs, endMs: startMs + 600_000 }
      return fetcher.fetch(request({ series, range, limit: 10 }), { check })
    }),
  )
  return fetcher
}

describe('against the simulated venue', () => {
  test('a run over several windows is never refused', async () => {
    const simulator = await venue({ weightLimit: 200, windowMs: 2_000 })
    await process(simulator, 200)
    expect(simulator.stats()).toMatchObject({ refused: 0, banned: 0, requests: 201 })
    // How full the windows are: test/property/sync-rate.test.ts, on a clock of its own.
    expect(simulator.stats().weightPeak.spot).toBeLessThanOrEqual(200)
  })

  test('a process that follows another learns what is spent before it spends', async () => {
    const simulator = await venue({ weightLimit: 200, windowMs: 1_000 })
    // 150 of 200 are gone when the second begins; its first request fits, and says so.
    for (const pages of [65, 65]) await (await process(simulator, pages))[Symbol.asyncDispose]()
    expect(simulator.stats()).toMatchObject({ refused: 0, requests: 132 })
  })

  test('two processes with half the limit each are never refused', async () => {
    const simulator = await venue({ weightLimit: 200, windowMs: 1_000 })
    await Promise.all([process(simulator, 120, { share: 0.5 }), process(simulator, 120, { share: 0.5 })])
    expect(simulator.stats()).toMatchObject({ refused: 0, requests: 242 })
  })

  test('calls for bars in memory, several at once, are one client to the venue', async () => {
    const simulator = await venue({ weightLimit: 100, windowMs: 1_000, nowMs: Date.UTC(2024, 5, 1) })
    const startMs = Date.UTC(2024, 0, 1)
    const range = { startMs, endMs: startMs + 40 * 60_000_000 }
    const config = configSchema.parse({ sources: { binance: { base_url: simulator.url } } })
    const one = async (symbol: string) =>
      (await fetchBars({ config, series: `binance:spot:${symbol}:1m`, range })).totalPoints
    expect(await Promise.all(['BTCUSDT', 'ETHUSDT', 'BTCUSDT', 'ETHUSDT'].map(one))).toEqual(
      Array(4).fill(40_000),
    )
    expect(simulator.stats()).toMatchObject({ refused: 0, banned: 0 })
  })

  test('a ban that one call for bars meets holds for those after it', async () => {
    const simulator = await venue({ faults: 'all:418@1', nowMs: Date.UTC(2024, 5, 1) })
    const config = configSchema.parse({
      sources: { binance: { base_url: simulator.url } },
      fetch: { ban_wait_max_ms: 1_000 },
    })
    for (let call = 0; call < 3; call++) {
      const asked = fetchBars({ config, series: 'binance:spot:BTCUSDT:1m', limit: 10 })
      await expect(asked).rejects.toMatchObject({ code: 'fetch.banned' })
    }
    expect(simulator.stats().requests).toBe(1)
  })

  test('two processes that know nothing of one another both finish, without a ban', async () => {
    const simulator = await venue({ weightLimit: 200, windowMs: 1_000 })
    await Promise.all([process(simulator, 150), process(simulator, 150)])
    expect(simulator.stats()).toMatchObject({ banned: 0 })
    expect(simulator.stats().requestsByStatus['200']).toBe(302)
  })

  test.each([
    '429@5',
    '429-bare@5',
    '500@3..4',
    'weight-jump=150@6',
    'reset@7',
    'truncate@4',
    'html@2',
    'empty@3',
  ])('with %s every page comes', async (faults) => {
    const simulator = await venue({ weightLimit: 200, windowMs: 1_000, faults })
    const retry = { baseMs: 20, rateLimitBaseMs: 100 }
    const fetcher = await process(simulator, 60, { retry })
    expect(simulator.stats().banned).toBe(0)
    expect(fetcher.stats().byStatus['200']).toBeGreaterThanOrEqual(61)
  })

  test('aggTrades go through the same executor, by cursor, without a trade twice or missing', async () => {
    const simulator = await venue({ rttMs: 0, fromMs: 1_599_990_000_000 })
    const fetcher = createFetcher({ clock: systemClock, onEvent: () => {} })
    cleanups.push(() => fetcher[Symbol.asyncDispose]())
    const startMs = 1_600_000_020_000
    const run = new ChunkPlanner(aggTradesSpec).plan({ symbol: 'BTCUSDT', startMs, limit: 2_500 })
    const executor = new ChunkExecutor({ clock: systemClock, keyOf: aggTradeKey })
    const result = await executor.execute(run, async ({ params, limit }, { signal }) => {
      const request = aggTradesRequest(simulator.url, 'BTCUSDT', params)
      const { body } = await fetcher.fetch(request, { check: checkAggTrades, signal })
      return readAggTrades(body, limit)
    })
    const ids = result.data.map(aggTradeKey)
    expect(ids).toEqual(Array.from({ length: 2_500 }, (_, i) => ids[0]! + i))
    expect(result.data.every((trade) => trade.timeMs >= startMs)).toBe(true)
    expect(result).toMatchObject({ chunksUsed: 3, weightConsumed: 12 })
  })
})
