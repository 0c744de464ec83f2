import ccxt from 'ccxt'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'

const START = Date.UTC(2024, 0, 10)
const NOW = Date.UTC(2024, 0, 31, 12, 0, 20)

let venue: Simulator
beforeAll(async () => {
  venue = await startSimulator({ fromMs: Date.UTC(2024, 0, 1), nowMs: NOW, symbols: ['BTCUSDT', 'ETHUSDT'] })
})
afterAll(() => venue.close())

type Row = [number, ...string[]]

/** ccxt's own client, its base URL changed and nothing else; numbers as the venue wrote them. */
async function client(type: 'spot' | 'linear') {
  const exchange = new ccxt.binance({
    enableRateLimit: false,
    timeout: 10_000,
    options: { fetchMarkets: { types: [type] }, fetchCurrencies: false, fetchMargins: false },
    urls: { api: { public: `${venue.url}/api/v3`, fapiPublic: `${venue.url}/fapi/v1` } },
  })
  Object.assign(exchange, { number: String })
  await exchange.loadMarkets()
  return exchange
}

async function rows(path: string): Promise<Row[]> {
  return (await (await fetch(venue.url + path)).json()) as Row[]
}

describe('ccxt’s real client', () => {
  test.each([
    ['spot', 'BTC/USDT', '/api/v3', 1000],
    ['spot', 'ETH/USDT', '/api/v3', 7],
    ['linear', 'BTC/USDT:USDT', '/fapi/v1', 1000],
  ] as const)('%s %s gets the same bars', async (type, symbol, base, limit) => {
    const exchange = await client(type)
    const bars = await exchange.fetchOHLCV(symbol, '1m', START, limit)
    const id = symbol.slice(0, 8).replace('/', '')
    const raw = await rows(`${base}/klines?symbol=${id}&interval=1m&startTime=${START}&limit=${limit}`)
    expect(raw).toHaveLength(limit)
    expect(bars).toEqual(raw.map((row) => row.slice(0, 6)))
  })

  test('pages through a range to the forming bar, and asks what we think it asks', async () => {
    const exchange = await client('spot')
    venue.resetStats()
    const from = NOW - 2_500 * 60_000
    const seen: unknown[] = []
    for (let since = from; ; ) {
      const page = await exchange.fetchOHLCV('BTC/USDT', '1m', since, 1000)
      seen.push(...page)
      if (page.length < 1000) break
      since = Number(page.at(-1)![0]) + 60_000
    }
    const raw = [
      ...(await rows(`/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime=${from}&limit=1000`)),
      ...(await rows(
        `/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime=${from + 1000 * 60_000}&limit=1000`,
      )),
      ...(await rows(
        `/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime=${from + 2000 * 60_000}&limit=1000`,
      )),
    ]
    expect(seen.slice(0, -1)).toEqual(raw.slice(0, -1).map((row) => row.slice(0, 6)))
    expect(seen).toHaveLength(2_500)
    expect(venue.log()[0]!.parameters).toEqual({
      interval: '1m',
      limit: '1000',
      symbol: 'BTCUSDT',
      startTime: String(from),
    })
  })

  test('sees the used weight, the venue’s errors and its refusals', async () => {
    const exchange = await client('spot')
    await exchange.fetchTime()
    const headers = exchange.last_response_headers as Record<string, string>
    expect(Number(headers['X-Mbx-Used-Weight-1m'])).toBeGreaterThan(20)
    const raw = exchange as unknown as { publicGetKlines: (query: object) => Promise<unknown> }
    const thrown = (promise: Promise<unknown>) =>
      promise.then(
        () => 'nothing',
        (error: Error) => error.constructor.name,
      )
    expect(await thrown(raw.publicGetKlines({ symbol: 'NOSUCH', interval: '1m' }))).toBe('BadSymbol')
    expect(await thrown(raw.publicGetKlines({ symbol: 'BTCUSDT', interval: '7m' }))).toBe('BadRequest')
    venue.setFaults('429@1')
    expect(await thrown(exchange.fetchOHLCV('BTC/USDT', '1m', START, 5))).toBe('DDoSProtection')
    venue.setFaults('')
  })
})
