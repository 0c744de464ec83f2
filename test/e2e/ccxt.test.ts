import { readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { inFolder, runHere } from '../run-cli.ts'

const nowMs = Date.parse('2024-03-01T00:00:30Z')
const listedMs = Date.parse('2023-12-07T09:30:00Z')
/** From the hour that holds the listing to the last hour that has closed. */
const hours = (Date.parse('2024-03-01T00:00Z') - Date.parse('2023-12-07T09:00Z')) / 3_600_000

function flipByte(path: string): void {
  const bytes = readFileSync(path)
  bytes[bytes.length >> 1]! ^= 1
  writeFileSync(path, bytes)
}

describe('venues read by ccxt', () => {
  let venue: Simulator
  beforeAll(async () => {
    venue = await startSimulator({ symbols: ['BTCUSD', 'BTCUSDT'], seed: 7, nowMs, fromMs: listedMs })
  })
  afterAll(() => venue.close())

  const run = (root: string, args: readonly string[], env: Record<string, string> = {}) =>
    runHere([...args, '--root', root], {
      env: {
        EVERYBAR__SOURCES__CCXT__BASE_URL: venue.url,
        EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url,
        EVERYBAR__FETCH__BACKOFF_BASE_MS: '1',
        ...env,
      },
    })
  const offline = { EVERYBAR__SOURCES__CCXT__BASE_URL: 'http://127.0.0.1:1' }

  test.each([
    ['bybit', 'BTC/USDT', 'BTCUSDT'],
    ['okx', 'BTC/USDT', 'BTC-USDT'],
    ['coinbase', 'BTC/USD', 'BTC-USD'],
    ['kucoin', 'BTC/USDT', 'BTC-USDT'],
  ])('%s: every bar since the listing, proven again without the network', async (name, symbol, own) => {
    await inFolder(async (root) => {
      const result = await run(root, ['sync', `${name}:spot:${symbol}:1h`, '--json'])
      expect(result.stderr).toBe('')
      expect(result.code).toBe(0)
      const [series] = result.json().data.series
      expect(series).toMatchObject({ series: `${name}:spot:${own}:1h`, complete: true, missing: {} })
      expect(series.bars.inserted).toBe(hours)
      const verify = await run(root, ['verify', '--json'], offline)
      expect(verify.code).toBe(0)
      expect(verify.json().data.series[0]).toMatchObject({ expected: hours, present: hours })
    })
  })

  test('the same bars from every venue, whatever their order, unit and bounds', async () => {
    await inFolder(async (root) => {
      const range = ['--from', '2024-02-20', '--to', '2024-02-22']
      const all = ['kraken', 'bybit', 'okx', 'kucoin'].map((name) => `${name}:spot:BTC/USDT:1h`)
      expect((await run(root, ['sync', ...all, 'binance:spot:BTC/USDT:1h', ...range])).code).toBe(0)
      const sql = `SELECT count(DISTINCT venue) AS venues, count(*) AS bars, count(DISTINCT (open_time, open, high, low, close, volume)) AS different
        FROM bars WHERE open_time >= '2024-02-20' AND open_time < '2024-02-22'`
      const [found] = (await run(root, ['query', sql, '--json'])).json().data
      expect(found).toEqual({ venues: 5, bars: 5 * 48, different: 48 })
    })
  })

  test('Kraken gives its latest 720 bars: older ones are not complete, or absent where one says so', async () => {
    await inFolder(async (root) => {
      const first = (await run(root, ['sync', 'kraken:spot:BTC/USD:1h', '--json'])).json()
      expect(first.data.series[0]).toMatchObject({ complete: true, bars: { inserted: 719 } })
      const earlier = ['sync', 'kraken:spot:BTC/USD:1h', '--from', '2024-01-01', '--json']
      venue.resetStats()
      const strict = await run(root, earlier)
      expect(strict.code).toBe(3)
      expect(strict.json().data.series[0].missing).toEqual({ never_fetched: 721 })
      // It is not even asked for what it cannot give.
      expect(venue.log().filter(({ path }) => path.endsWith('OHLC'))).toEqual([])
      const absent = await run(root, earlier, { EVERYBAR__SOURCES__CCXT__BEYOND_REACH: 'absent' })
      expect(absent.code).toBe(0)
      expect(absent.json().data.series[0].missing).toEqual({ source_absent: 721 })
    })
  })

  test('a slip in one symbol fails that one; nothing serves a venue nobody knows', async () => {
    await inFolder(async (root) => {
      const both = await run(root, ['sync', 'kraken:spot:BTX/USD:1h', 'kraken:spot:BTC/USD:1h', '--json'])
      expect(both.code).not.toBe(0)
      const [bad, good] = both
        .json()
        .data.series.toSorted(
          (a: { complete: boolean }, b: { complete: boolean }) => +a.complete - +b.complete,
        )
      expect(bad!.problems[0].code).toBe('source.unknown-symbol')
      expect(good).toMatchObject({ series: 'kraken:spot:XXBTZUSD:1h', complete: true })
      const nobody = await run(root, ['sync', 'krakn:spot:BTC/USD:1h', '--json'])
      expect([nobody.code, nobody.json().error?.code]).toEqual([2, 'source.unknown-venue'])
    })
  })

  test('what is kept of a venue is the markets wanted, once', async () => {
    await inFolder(async (root) => {
      const sync = (symbol: string) => run(root, ['sync', `kucoin:spot:${symbol}:1d`, '--from', '2024-02'])
      await sync('BTC/USDT')
      await sync('BTC-USD')
      venue.resetStats()
      await sync('BTC/USD')
      expect(venue.log().filter(({ path }) => path.includes('symbols'))).toEqual([])
      const kept = JSON.parse(readFileSync(join(root, 'kucoin', 'markets.json'), 'utf8'))
      expect(kept.markets.map(({ id }: { id: string }) => id)).toEqual(['BTC-USDT', 'BTC-USD'])
      expect(kept).toMatchObject({ format: 1, venue: 'kucoin', pages: { spot: { rowsMax: 1_500 } } })
    })
  })

  test.each([
    ['gone', (path: string) => rmSync(path), 'archive.missing'],
    ['changed', (path: string) => flipByte(path), 'archive.corrupt'],
    ['cut', (path: string) => truncateSync(path, 200), 'archive.corrupt'],
  ])(
    'what is kept of a venue is %s: verify names it and proves the others, repair asks again',
    async (_, damage, kind) => {
      await inFolder(async (root) => {
        const range = ['--from', '2024-02-20', '--to', '2024-02-22']
        const all = ['okx:spot:BTC/USDT:1h', 'binance:spot:BTCUSDT:1h']
        expect((await run(root, ['sync', ...all, ...range])).code).toBe(0)
        damage(join(root, 'okx/markets.json'))
        const proof = await run(root, ['verify', '--json'], offline)
        expect(proof.code).toBe(4)
        expect(proof.json().data).toMatchObject({
          faults: [{ kind, path: 'okx/markets.json' }],
          series: [{ series: 'binance:spot:BTCUSDT:1h', complete: true }],
        })
        const gaps = await run(root, ['gaps', '--json'], offline)
        expect(gaps.json().error).toMatchObject({ code: 'source.venue-lost', path: 'okx/markets.json' })
        expect((await run(root, ['repair'])).code).toBe(0)
        expect((await run(root, ['verify', '--json'], offline)).json().data).toMatchObject({
          faults: [],
          complete: true,
        })
      })
    },
  )

  test('history_page_limit caps a request, and the range is fetched to its end', async () => {
    await inFolder(async (root) => {
      venue.resetStats()
      const range = ['--from', '2024-02-01', '--to', '2024-02-11']
      const env = { EVERYBAR__SETTINGS__HISTORY_PAGE_LIMIT: '50' }
      const result = await run(root, ['sync', 'okx:spot:BTC-USDT:1h', ...range, '--json'], env)
      expect(result.json().data.series[0]).toMatchObject({ complete: true, missing: {} })
      const pages = venue
        .log()
        .filter(({ parameters }) => parameters.bar === '1H' && parameters.limit === '50')
      expect(pages.length).toBe(result.json().data.series[0].slices.fetched)
      expect(pages.every(({ bars }) => (bars ?? 0) <= 50)).toBe(true)
    })
  })
})

describe('a hostile venue read by ccxt', () => {
  const faults = ['html', 'blank', 'null', 'empty', 'truncate', 'reset', 'bad-gzip', '500', '429']

  test.each(['okx', 'kraken', 'kucoin'])('%s: nothing but an answer counts as one', async (name) => {
    const venue = await startSimulator({ symbols: ['BTCUSDT'], seed: 7, nowMs, fromMs: listedMs })
    try {
      await inFolder(async (root) => {
        venue.setFaults(faults.map((kind, i) => `${kind}@${i + 2}`).join(','))
        const range = ['--from', '2024-02-12', '--to', '2024-02-20']
        const env = {
          EVERYBAR__SOURCES__CCXT__BASE_URL: venue.url,
          EVERYBAR__FETCH__BACKOFF_BASE_MS: '1',
          EVERYBAR__FETCH__ATTEMPTS: '20',
          EVERYBAR__SETTINGS__HISTORY_PAGE_LIMIT: '24',
        }
        const result = await runHere(
          ['sync', `${name}:spot:BTC/USDT:1h`, ...range, '--json', '--root', root],
          { env },
        )
        expect(result.code).toBe(0)
        expect(result.json().data.series[0]).toMatchObject({ missing: {}, complete: true })
        const met = faults.map((kind) => (kind === '500' ? 'status' : kind))
        expect(Object.keys(venue.stats().faults).toSorted()).toEqual(met.toSorted())
      })
    } finally {
      await venue.close()
    }
  })
})
