import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'

const NOW = Date.UTC(2024, 0, 31, 12, 0, 20)
const DELISTED = Date.UTC(2024, 0, 20)
const START = Date.UTC(2024, 0, 10)

let venue: Simulator
beforeAll(async () => {
  venue = await startSimulator({
    fromMs: Date.UTC(2024, 0, 1),
    nowMs: NOW,
    symbols: ['BTCUSDT', { symbol: 'OLDFDUSD', delistedMs: DELISTED }, { symbol: 'ETHBTC', status: 'HALT' }],
  })
  venue.setNow(NOW, { held: true })
})
afterAll(() => venue.close())

async function ask(path: string, init: RequestInit = {}) {
  const response = await fetch(venue.url + path, { redirect: 'manual', ...init })
  const text = await response.text()
  return {
    status: response.status,
    headers: response.headers,
    text,
    json: text ? JSON.parse(text) : undefined,
  }
}

describe('errors say what Binance says', () => {
  const mandatory = (name: string) =>
    `Mandatory parameter '${name}' was not sent, was empty/null, or malformed.`
  const digits = (name: string) =>
    `Illegal characters found in parameter '${name}'; legal range is '^[0-9]{1,20}$'.`
  const symbols =
    "Illegal characters found in parameter 'symbol'; legal range is '^[\\w\\-._&&[^a-z]]{1,50}$'."
  test.each([
    ['/api/v3/klines', -1102, mandatory('symbol')],
    ['/api/v3/klines?symbol=', -1105, "Parameter 'symbol' was empty."],
    ['/api/v3/klines?symbol=NOSUCH&interval=1m', -1121, 'Invalid symbol.'],
    ['/api/v3/klines?symbol=btcusdt&interval=1m', -1100, symbols],
    ['/api/v3/klines?symbol=BTC%2FUSDT&interval=1m', -1100, symbols],
    ['/api/v3/klines?symbol=..%2F..%2Fetc&interval=1m', -1100, symbols],
    ['/api/v3/klines?symbol=BTCUSDT', -1102, mandatory('interval')],
    ['/api/v3/klines?symbol=BTCUSDT&interval=7m', -1120, 'Invalid interval.'],
    ['/api/v3/klines?symbol=BTCUSDT&interval=1mo', -1120, 'Invalid interval.'],
    ['/api/v3/klines?symbol=BTCUSDT&interval=1D', -1120, 'Invalid interval.'],
    ['/fapi/v1/klines?symbol=BTCUSDT&interval=1s', -1120, 'Invalid interval.'],
    ['/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime=yesterday', -1100, digits('startTime')],
    ['/api/v3/klines?symbol=BTCUSDT&interval=1m&endTime=-5', -1100, digits('endTime')],
    ['/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime=', -1105, "Parameter 'startTime' was empty."],
    ['/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=1.5', -1100, digits('limit')],
    [
      '/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=0',
      -1130,
      "Data sent for parameter 'limit' is not valid.",
    ],
    [
      '/api/v3/klines?symbol=BTCUSDT&interval=1m&since=5',
      -1104,
      "Not all sent parameters were read; read '2' parameter(s) but was sent '3'.",
    ],
    [
      '/api/v3/klines?symbol=BTCUSDT&symbol=ETHBTC&interval=1m',
      -1101,
      'Duplicate values for a parameter detected.',
    ],
    ['/api/v3/klines?symbol=BTCUSDT&interval=1m&timeZone=5', -1020, 'This operation is not supported.'],
    ['/api/v3/exchangeInfo?symbol=NOSUCH', -1121, 'Invalid symbol.'],
    ['/api/v3/exchangeInfo?symbols=%5B%22BTCUSDT%22,%22NOSUCH%22%5D', -1121, 'Invalid symbol.'],
    ['/fapi/v1/exchangeInfo?symbol=NOSUCH', -1121, 'Invalid symbol.'],
    [
      '/api/v3/aggTrades?symbol=BTCUSDT&fromId=1&startTime=1',
      -1128,
      'Combination of optional parameters invalid.',
    ],
    [
      `/fapi/v1/aggTrades?symbol=BTCUSDT&startTime=${START}&endTime=${START + 3_600_000}`,
      -1127,
      'More than 1 hours between startTime and endTime.',
    ],
  ])('%s → %d', async (path, code, msg) => {
    const answer = await ask(path)
    expect(answer.status).toBe(400)
    expect(answer.json).toEqual({ code, msg })
  })

  test('an unknown path is 404: a page for browsers, nothing for programs', async () => {
    for (const path of ['/api/v1/klines', '/api/v3/klines/', '/', '/%2e%2e/etc/passwd']) {
      const program = await ask(path)
      expect([program.status, program.text]).toEqual([404, ''])
    }
    const browser = await fetch(`${venue.url}/api/v9/klines`, { headers: { Accept: 'text/html' } })
    expect(browser.status).toBe(404)
    expect(await browser.text()).toContain('<html>')
  })

  test('only GET', async () => {
    expect((await ask('/api/v3/klines', { method: 'POST', body: 'x'.repeat(100_000) })).status).toBe(405)
  })
})

describe('the venue tells of itself', () => {
  test('time and ping', async () => {
    expect((await ask('/api/v3/time')).json).toEqual({ serverTime: NOW })
    expect((await ask('/fapi/v1/time')).json).toEqual({ serverTime: NOW })
    expect((await ask('/api/v3/ping')).json).toEqual({})
  })

  test('the Date header follows its clock', async () => {
    expect((await ask('/api/v3/ping')).headers.get('date')).toBe('Wed, 31 Jan 2024 12:00:20 GMT')
  })

  test('spot exchangeInfo: limits, clock, symbols with status', async () => {
    const { json } = await ask('/api/v3/exchangeInfo')
    expect(json.serverTime).toBe(NOW)
    expect(json.rateLimits).toContainEqual({
      rateLimitType: 'REQUEST_WEIGHT',
      interval: 'MINUTE',
      intervalNum: 1,
      limit: 6000,
    })
    expect(json.rateLimits).toContainEqual({
      rateLimitType: 'RAW_REQUESTS',
      interval: 'MINUTE',
      intervalNum: 5,
      limit: 300_000,
    })
    const seen = json.symbols.map((s: Record<string, unknown>) => [
      s.symbol,
      s.status,
      s.baseAsset,
      s.quoteAsset,
    ])
    expect(seen).toEqual([
      ['BTCUSDT', 'TRADING', 'BTC', 'USDT'],
      ['OLDFDUSD', 'BREAK', 'OLD', 'FDUSD'],
      ['ETHBTC', 'HALT', 'ETH', 'BTC'],
    ])
  })

  test('exchangeInfo of one symbol, or of some', async () => {
    const named = async (query: string) =>
      (await ask(`/api/v3/exchangeInfo?${query}`)).json.symbols.map((s: { symbol: string }) => s.symbol)
    expect(await named('symbol=ETHBTC')).toEqual(['ETHBTC'])
    expect(await named('symbols=%5B%22ETHBTC%22%2C%22BTCUSDT%22%5D')).toEqual(['ETHBTC', 'BTCUSDT'])
  })

  test('um exchangeInfo: dates of listing and delisting', async () => {
    const { json } = await ask('/fapi/v1/exchangeInfo')
    expect(json.rateLimits).toContainEqual({
      rateLimitType: 'REQUEST_WEIGHT',
      interval: 'MINUTE',
      intervalNum: 1,
      limit: 2400,
    })
    const seen = json.symbols.map((s: Record<string, unknown>) => [
      s.symbol,
      s.status,
      s.contractType,
      s.onboardDate,
      s.deliveryDate,
    ])
    expect(seen.slice(0, 2)).toEqual([
      ['BTCUSDT', 'TRADING', 'PERPETUAL', Date.UTC(2024, 0, 1), 4_133_404_800_000],
      ['OLDFDUSD', 'SETTLING', 'PERPETUAL', Date.UTC(2024, 0, 1), DELISTED],
    ])
  })

  test('gzip only where it is switched on and asked for', async () => {
    const zipped = await startSimulator({ gzip: true, nowMs: NOW })
    const coding = async (url: string, accept: string) =>
      (
        await fetch(`${url}/api/v3/klines?symbol=BTCUSDT&interval=1m`, {
          headers: { 'Accept-Encoding': accept },
        })
      ).headers.get('content-encoding')
    expect(await coding(zipped.url, 'gzip, deflate')).toBe('gzip')
    expect(await coding(zipped.url, 'identity')).toBeNull()
    expect(await coding(zipped.url, 'gzip;q=0')).toBeNull()
    expect(await coding(venue.url, 'gzip')).toBeNull()
    await zipped.close()
  })
})

describe('weights', () => {
  test.each([
    ['/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=1', 2],
    ['/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=1000', 2],
    ['/api/v3/klines?symbol=NOSUCH&interval=1m', 2],
    ['/api/v3/exchangeInfo', 20],
    ['/api/v3/aggTrades?symbol=BTCUSDT&limit=1', 4],
    ['/api/v3/time', 1],
    ['/api/v3/ping', 1],
    ['/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=99', 1],
    ['/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=100', 2],
    ['/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=499', 2],
    ['/fapi/v1/klines?symbol=BTCUSDT&interval=1m', 5],
    ['/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=1000', 5],
    ['/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=1001', 10],
    ['/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=1500', 10],
    ['/fapi/v1/exchangeInfo', 1],
    ['/fapi/v1/aggTrades?symbol=BTCUSDT&limit=1', 20],
  ])('%s costs %d', async (path, weight) => {
    const base = path.slice(0, path.startsWith('/api') ? 7 : 8)
    const used = async (of: string) => Number((await ask(of)).headers.get('x-mbx-used-weight-1m'))
    const before = await used(`${base}/ping`)
    expect((await used(path)) - before).toBe(weight)
  })

  test('the header has the window’s name too, and spot the bare one', async () => {
    const short = await startSimulator({ windowMs: 6000, weightLimit: 600, nowMs: NOW })
    const names = async (path: string) =>
      [...(await fetch(short.url + path)).headers.keys()].filter((name) => name.startsWith('x-mbx')).sort()
    expect(await names('/api/v3/ping')).toEqual([
      'x-mbx-used-weight',
      'x-mbx-used-weight-1m',
      'x-mbx-used-weight-6s',
    ])
    expect(await names('/fapi/v1/ping')).toEqual(['x-mbx-used-weight-1m', 'x-mbx-used-weight-6s'])
    const answer = await fetch(`${short.url}/api/v3/exchangeInfo`)
    const info = (await answer.json()) as { rateLimits: unknown[] }
    expect(info.rateLimits[0]).toEqual({
      rateLimitType: 'REQUEST_WEIGHT',
      interval: 'SECOND',
      intervalNum: 6,
      limit: 600,
    })
    await short.close()
  })
})

describe('aggTrades', () => {
  interface Trade {
    a: number
    p: string
    q: string
    f: number
    l: number
    T: number
  }
  const trades = async (query: string) =>
    (await ask(`/api/v3/aggTrades?symbol=BTCUSDT&${query}`)).json as Trade[]

  test('make exactly the bars they belong to', async () => {
    const bars = (await ask(`/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime=${START}&limit=100`)).json
    for (const [open, ...bar] of bars as [number, ...(string | number)[]][]) {
      const made = await trades(`startTime=${open}&endTime=${bar[5]}`)
      const units = made.reduce((sum, { q }) => sum + BigInt(q.replace('.', '')), 0n)
      expect(units).toBe(BigInt(String(bar[4]).replace('.', '')))
      expect(made.reduce((sum, { f, l }) => sum + l - f + 1, 0)).toBe(bar[7])
      if (made.length === 0) continue
      const prices = made.map(({ p }) => Number(p))
      expect([made[0]!.p, Math.max(...prices), Math.min(...prices), made.at(-1)!.p]).toEqual([
        bar[0],
        Number(bar[1]),
        Number(bar[2]),
        bar[3],
      ])
    }
  })

  test('a cursor over fromId sees each number once, across blocks, and ends at the present', async () => {
    const newest = (await trades('limit=1'))[0]!
    let next = newest.a - 7_000
    const seen: Trade[] = []
    for (;;) {
      const page = await trades(`fromId=${next}&limit=1000`)
      if (page.length === 0) break
      seen.push(...page)
      next = page.at(-1)!.a + 1
    }
    expect(seen.map(({ a }) => a)).toEqual(Array.from({ length: 7_001 }, (_, i) => newest.a - 7_000 + i))
    expect(seen.every(({ f }, i) => i === 0 || f === seen[i - 1]!.l + 1)).toBe(true)
    expect(seen.every(({ T }, i) => i === 0 || T >= seen[i - 1]!.T)).toBe(true)
    expect(seen.at(-1)).toEqual(newest)
  })

  test('the first has number 0; bounds are inclusive; without bounds the newest', async () => {
    const [first] = await trades('fromId=0&limit=1')
    expect(first!.a).toBe(0)
    const [one, two] = await trades(`startTime=${START}&limit=2`)
    expect(await trades(`startTime=${one!.T}&endTime=${two!.T}`)).toEqual([one, two])
    expect(await trades(`endTime=${two!.T}&limit=2`)).toEqual([one, two])
    expect((await trades('limit=3')).at(-1)!.T).toBeLessThanOrEqual(NOW)
  })
})
