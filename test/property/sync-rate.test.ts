import { expect, test } from 'vitest'
import { cappedTo } from '../../src/app/page-limit.ts'
import { memoryArchive } from '../../src/archive/memory/memory-archive.ts'
import { configSchema } from '../../src/config/schema.ts'
import { memoryLedger } from '../../src/ledger/memory/memory-ledger.ts'
import { parseSeries } from '../../src/model/series.ts'
import { HOUR_MS, MINUTE_MS } from '../../src/model/time.ts'
import { syncSeries } from '../../src/pipeline/sync.ts'
import { Venues } from '../../src/pipeline/venue-clock.ts'
import { WeightWindow } from '../../src/simulator/binance/limits.ts'
import { answerRequest } from '../../src/simulator/binance/venue.ts'
import { FaultBook } from '../../src/simulator/faults.ts'
import { syntheticFeed } from '../../src/simulator/market/synthetic.ts'
import { TrafficLog } from '../../src/simulator/traffic.ts'
import { binanceSources } from '../../src/source/binance/sources.ts'
import { openMemoryStore } from '../../src/store/memory/open-memory-store.ts'
import { stubFetcher } from '../support/stub-fetcher.ts'
import { virtualClock } from '../virtual-clock.ts'

const LIMIT = 600
const WINDOW_MS = 6_000
const WEIGHT = 2
const BARS_A_PAGE = 10
const now = Date.UTC(2024, 2, 1)

/** A whole sync in memory against a simulated Binance, on a clock that stands while anybody has work to do. */
async function syncOf(requests: number, { rttMs, concurrency }: { rttMs: number; concurrency: number }) {
  const clock = virtualClock(now)
  const traffic = new TrafficLog(clock.nowMs, 100_000)
  const window = () =>
    new WeightWindow({ capacity: LIMIT, windowMs: WINDOW_MS, graceMs: rttMs, now: clock.nowMs })
  const venue = {
    ...{ now: clock.nowMs, windowMs: WINDOW_MS, traffic, faults: new FaultBook([], () => 0.5) },
    feed: syntheticFeed({
      ...{ symbols: ['BTCUSDT'], seed: 7, outages: [], cacheBytesMax: 64e6 },
      listedMs: Date.UTC(2020, 0, 1),
    }),
    windows: { spot: window(), um: window() },
    limits: { spot: LIMIT, um: LIMIT },
  }
  const fetcher = stubFetcher(
    ({ pathname: path, searchParams: query }) =>
      answerRequest({ method: 'GET', path, query, headers: {} }, venue),
    { clock, limits: [{ bucket: 'binance.spot', capacity: LIMIT, windowMs: WINDOW_MS }], attempts: 1, rttMs },
  )
  const config = configSchema.parse({ settings: { history_page_limit: BARS_A_PAGE } })
  const sources = binanceSources().map((source) => cappedTo(config, source))
  const store = openMemoryStore()
  const never = new AbortController().signal
  const startMs = Math.floor((now - 1_000 * HOUR_MS) / (BARS_A_PAGE * MINUTE_MS)) * BARS_A_PAGE * MINUTE_MS
  const house = {
    ...{ sources, fetcher, clock, concurrency, stores: [store], onEvent: () => {} },
    ...{ archive: memoryArchive(), ledger: memoryLedger() },
  }
  const wish = {
    series: parseSeries('binance:spot:BTCUSDT:1m'),
    from: { kind: 'at', ms: startMs },
    to: { kind: 'at', ms: startMs + requests * BARS_A_PAGE * MINUTE_MS },
  } as const
  const outcome = await clock.run(
    syncSeries(house, new Venues(house), wish, { stop: never, hardStop: never }),
  )
  const perWindow = new Map<number, number>()
  for (const { atMs, weight } of traffic.log()) {
    const number = Math.floor(atMs / WINDOW_MS)
    perWindow.set(number, (perWindow.get(number) ?? 0) + weight)
  }
  // The last window ends somewhere in it; the first begins with the limits not told yet.
  const whole = [...perWindow]
    .sort(([a], [b]) => a - b)
    .slice(1, -1)
    .map(([, weight]) => weight)
  return { outcome, stats: traffic.stats(), whole }
}

test.each([
  { rttMs: 100, concurrency: 16 },
  { rttMs: 10, concurrency: 2 },
  { rttMs: 40, concurrency: 16 },
  { rttMs: 200, concurrency: 16 },
])(
  'a sync fills every window to 95 % and is never refused: $rttMs ms away, $concurrency at once',
  async (at) => {
    const requests = (4.5 * LIMIT) / WEIGHT
    const { outcome, stats, whole } = await syncOf(requests, at)
    expect(outcome).toMatchObject({ complete: true, bars: { inserted: requests * BARS_A_PAGE } })
    expect(stats).toMatchObject({ refused: 0, banned: 0 })
    expect(stats.weightPeak.spot).toBeLessThanOrEqual(LIMIT)
    expect(whole.length).toBeGreaterThanOrEqual(3)
    expect(Math.min(...whole)).toBeGreaterThanOrEqual(0.95 * LIMIT)
  },
)
