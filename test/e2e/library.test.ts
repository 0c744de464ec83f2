import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as everybar from '../../src/index.ts'
import { type EverybarEvent, fetchBars, type Simulator, startSimulator } from '../../src/index.ts'
import { inFolder } from '../run-cli.ts'

const BTC = 'binance:spot:BTCUSDT:1m'
const NOW = Date.UTC(2024, 2, 1, 12)
const MINUTE = 60_000

let venue: Simulator
beforeAll(async () => {
  venue = await startSimulator({
    seed: 7,
    nowMs: NOW + 30_000,
    weightLimit: 1e9,
    outages: [{ startMs: Date.UTC(2024, 1, 10), endMs: Date.UTC(2024, 1, 12) }],
  })
  venue.setNow(NOW + 30_000, { held: true })
})
afterAll(() => venue.close())

const pages = (path: string) =>
  venue.log().filter((asked) => asked.path === path && asked.parameters.limit !== '1')

describe('fetchBars', () => {
  const fetched = (options: Omit<Parameters<typeof fetchBars>[0], 'baseUrl'>) =>
    fetchBars({ baseUrl: venue.url, ...options })

  test('a limit alone: the latest closed bars, ascending, the newest page asked first', async () => {
    venue.resetStats()
    const result = await fetched({ series: BTC, limit: 2_500, concurrency: 1 })
    const times = result.data.map(({ openTimeMs }) => openTimeMs)
    expect(times).toEqual(Array.from({ length: 2_500 }, (_, i) => NOW - (2_500 - i) * MINUTE))
    expect(result).toMatchObject({
      totalPoints: 2_500,
      chunksUsed: 3,
      requests: 3,
      weightConsumed: 6,
      firstTime: times[0],
      lastTime: NOW - MINUTE,
      findings: [],
    })
    const starts = pages('/api/v3/klines').map(({ parameters }) => Number(parameters.startTime))
    expect(starts).toEqual(starts.toSorted((a, b) => b - a))
  })

  test('a range: what the venue has in it, an outage and all', async () => {
    const range = { startMs: Date.UTC(2024, 1, 9), endMs: Date.UTC(2024, 1, 13) }
    const { data, totalPoints, endedBy, findings } = await fetched({ series: BTC, range })
    expect(totalPoints).toBe(2 * 1440)
    expect(endedBy).toBe('range')
    expect(findings).toEqual([
      { kind: 'missing', openTimeMs: Date.UTC(2024, 1, 10), count: 2 * 1440, detail: 'not in the answers' },
    ])
    expect(data[0]!.openTimeMs).toBe(range.startMs)
    expect(data.at(-1)!.openTimeMs).toBe(range.endMs - MINUTE)
    expect(data.every(({ low, open, high }) => low <= open && open <= high)).toBe(true)
  })

  test('a range and a limit: so many from its start', async () => {
    const range = { startMs: Date.UTC(2024, 0, 1), endMs: NOW }
    const { data } = await fetched({ series: everybar.parseSeries(BTC), range, limit: 3 })
    expect(data.map(({ openTimeMs }) => openTimeMs)).toEqual([0, 1, 2].map((i) => range.startMs + i * MINUTE))
  })

  test('a range past the present ends with the last final bar, and says so', async () => {
    const range = { startMs: NOW - 5 * MINUTE, endMs: NOW + 60 * MINUTE }
    const result = await fetched({ series: BTC, range })
    expect(result.totalPoints).toBe(5)
    expect(result.clamped).toEqual({ clampedTo: NOW })
  })

  test.each([
    ['a limit of 0', { limit: 0 }],
    ['an empty range', { range: { startMs: NOW - MINUTE, endMs: NOW - MINUTE } }],
    ['a range in the future', { range: { startMs: NOW + MINUTE, endMs: NOW + 2 * MINUTE } }],
  ])('%s: nothing, and no request for bars', async (_, ends) => {
    venue.resetStats()
    const result = await fetched({ series: BTC, ...ends })
    expect(result).toMatchObject({ data: [], totalPoints: 0, requests: 0, weightConsumed: 0 })
    expect(pages('/api/v3/klines')).toEqual([])
  })

  test.each([
    ['neither range nor limit', {}, 'series.no-range'],
    ['a reversed range', { range: { startMs: NOW, endMs: NOW - 1 } }, 'chunking.bad-range'],
    ['a limit below 0', { limit: -1 }, 'chunking.bad-limit'],
    ['an unknown symbol', { series: 'binance:spot:NOPE:1m', limit: 1 }, 'source.unknown-symbol'],
    ['an unknown timeframe', { series: 'binance:spot:BTCUSDT:7m', limit: 1 }, 'source.unknown-timeframe'],
    ['an unknown venue', { series: 'nowhere:spot:BTCUSDT:1m', limit: 1 }, 'source.unknown-venue'],
  ])('%s is refused', async (_, options, code) => {
    await expect(fetched({ series: BTC, ...options })).rejects.toMatchObject({
      name: 'EverybarError',
      code,
      recovery: 'abort',
    })
  })

  test('every timeframe of every endpoint', async () => {
    for (const { spec } of everybar.binanceSources()) {
      for (const timeframe of spec.timeframes) {
        const series = `binance:${spec.markets[0]}:ETHUSDT:${timeframe}`
        const { data } = await fetched({ series, limit: 5 })
        expect(`${series} ${data.length}`).toBe(`${series} 5`)
        const last = everybar.parseTimeframe(timeframe)
        expect(everybar.nextOpen(last, data.at(-1)!.openTimeMs)).toBeLessThanOrEqual(NOW + 30_000)
        expect(everybar.nextOpen(last, everybar.nextOpen(last, data.at(-1)!.openTimeMs))).toBeGreaterThan(NOW)
      }
    }
  })

  test('USD-M: 499 a page, weight by its tier', async () => {
    venue.resetStats()
    const result = await fetched({ series: 'binance:um:BTCUSDT:1m', limit: 998 })
    expect(result).toMatchObject({ totalPoints: 998, requests: 2, weightConsumed: 4 })
    expect(pages('/fapi/v1/klines').map(({ parameters }) => parameters.limit)).toEqual(['499', '499'])
  })

  test('rows that cannot be are findings, not bars', async () => {
    venue.setFaults('high-below-low')
    try {
      const { data, findings } = await fetched({ series: BTC, limit: 10 })
      expect(findings.map(({ kind }) => kind)).toContain('bad-ohlc')
      expect(data.length).toBeLessThan(10)
    } finally {
      venue.setFaults('')
    }
  })

  test('an answer with nothing in it is no quiet “no data”', async () => {
    venue.setFaults('empty')
    try {
      const { data, findings } = await fetched({ series: BTC, limit: 10 })
      expect(data).toEqual([])
      expect(findings).toMatchObject([{ kind: 'missing', openTimeMs: NOW - 10 * MINUTE, count: 10 }])
    } finally {
      venue.setFaults('')
    }
  })

  test('waits for the venue’s limit, and says how long', async () => {
    const slow = await startSimulator({ nowMs: NOW, weightLimit: 30, windowMs: 2_000 })
    try {
      const result = await fetchBars({ baseUrl: slow.url, series: BTC, limit: 8_000 })
      expect(result).toMatchObject({ totalPoints: 8_000, weightConsumed: 16, throttleApplied: true })
      expect(result.throttledMs).toBeGreaterThan(100)
      expect(slow.stats()).toMatchObject({ requests: result.requests + 1, refused: 0, banned: 0 })
    } finally {
      await slow.close()
    }
  })

  test('tells what happens, with the endpoint’s id, and stops when told', async () => {
    const events: EverybarEvent[] = []
    await fetched({ series: BTC, limit: 10, onEvent: (event) => events.push(event) })
    expect(events.find(({ event }) => event === 'chunk_plan_created')?.endpoint_id).toBe('binance.klines')
    expect(events.map(({ event }) => event)).toContain('chunk_execution_complete')
    const signal = AbortSignal.abort(new Error('enough'))
    await expect(fetched({ series: BTC, limit: 10, signal })).rejects.toThrow('enough')
  })
})

describe('the house from a program', () => {
  test('plan, sync, status, gaps, verify, query', async () => {
    await inFolder(async (root) => {
      const at = { root, baseUrl: venue.url }
      const wanted = { ...at, series: BTC, from: '2024-01-01', to: Date.UTC(2024, 0, 3) }
      expect(await everybar.plan(wanted)).toMatchObject({ requests: 3, problems: [] })
      const report = await everybar.sync(wanted)
      expect(report).toMatchObject({ complete: true, interrupted: false })
      expect((await everybar.status(at))[0]).toMatchObject({ series: BTC, complete: true })
      expect(await everybar.gaps(at)).toEqual([])
      expect(await everybar.verify(at)).toMatchObject({ complete: true, faults: [], slicesChecked: 3 })
      const sql =
        "SELECT symbol, count(*) AS n FROM bars WHERE open_time::DATE = '2024-01-02' GROUP BY symbol"
      const { columns, rows } = await everybar.query({ root, sql })
      expect(columns.map(({ name }) => name)).toEqual(['symbol', 'n'])
      expect(rows).toEqual([{ symbol: 'BTCUSDT', n: 1440 }])
    })
  })

  test('what it cannot do it refuses with a code', async () => {
    await inFolder(async (root) => {
      const at = { root: join(root, 'none'), baseUrl: venue.url }
      await expect(everybar.status(at)).rejects.toMatchObject({ code: 'root.not-found' })
      await expect(everybar.sync(at)).rejects.toMatchObject({ code: 'series.none-named' })
      await expect(everybar.sync({ ...at, series: BTC, from: 'soon' })).rejects.toMatchObject({
        code: 'time.unreadable',
      })
      await expect(everybar.plan({ ...at, config: join(root, 'no.yaml') })).rejects.toThrow(
        /config.not-found|no such file/,
      )
    })
  })

  test('the version is the package’s', () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
    expect(everybar.version).toBe(version)
  })
})

describe('collectTrades', () => {
  const range = { startMs: venueStart(), endMs: venueStart() + 600 * MINUTE }
  const asked = () => pages('/api/v3/aggTrades').filter(({ parameters }) => parameters.fromId !== undefined)

  test('keeps raw pages by id, each whole page asked for once, ids without a hole', async () => {
    await inFolder(async (root) => {
      const ids: number[] = []
      const collect = (more = {}) =>
        everybar.collectTrades({
          symbol: 'BTCUSDT',
          range,
          root,
          baseUrl: venue.url,
          onTrades: (trades) => void ids.push(...trades.map(({ id }) => id)),
          ...more,
        })
      venue.resetStats()
      const first = await collect()
      expect(ids.length).toBeGreaterThan(1000)
      expect(ids).toEqual(ids.map((_, i) => ids[0]! + i))
      expect(first).toMatchObject({ totalPoints: ids.length, endedBy: 'range', pagesReused: 0 })
      expect(first.weightConsumed).toBe(4 * asked().length)
      expect(asked().map(({ parameters }) => Number(parameters.fromId) % 1000)).toEqual(asked().map(() => 0))

      const folder = join(root, 'binance/agg-trades/raw/BTCUSDT/by-id/responses')
      const files = readdirSync(folder).filter((name) => name.endsWith('.json'))
      expect(files.length).toBe(first.pagesFetched)
      const kept = files.map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')))
      const named = kept.map(({ meta, data }) => ({ slice: meta.slice, first: data[0].a }))
      for (const { slice, first } of named) expect(slice).toBe(`BTCUSDT:by-id:${first}:1000`)

      venue.resetStats()
      const again = await collect()
      expect(again).toMatchObject({ pagesFetched: 0, pagesReused: first.pagesFetched, weightConsumed: 0 })
      expect(asked()).toEqual([])

      ids.length = 0
      const middle = await collect({ range: undefined, fromId: 1_234, limit: 300 })
      expect(ids).toEqual(Array.from({ length: 300 }, (_, i) => 1_234 + i))
      expect(middle).toMatchObject({ totalPoints: 300, endedBy: 'limit' })
    })
  })

  test('nowhere to begin is refused', async () => {
    await expect(everybar.collectTrades({ symbol: 'BTCUSDT', baseUrl: venue.url })).rejects.toMatchObject({
      code: 'series.no-range',
    })
  })
})

function venueStart(): number {
  return Date.UTC(2017, 7, 17, 4)
}
