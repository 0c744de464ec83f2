import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parseSeries } from '../../src/model/series.ts'
import {
  aggTradeKey,
  aggTradesRequest,
  aggTradesSpec,
  checkAggTrades,
  readAggTrades,
} from '../../src/source/binance/agg-trades.ts'
import { binanceSources } from '../../src/source/binance/sources.ts'

const [spot, um] = binanceSources({ baseUrl: 'http://localhost:1/venue/' })
const bytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))
const at = 1_640_995_200_000

describe('requests', () => {
  const window = (selector: string, bars: number, widthMs: number) => ({
    series: parseSeries(selector),
    range: { startMs: at, endMs: at + bars * widthMs },
    limit: bars,
  })
  test.each([
    [
      'a window ends a millisecond early, both bounds being inclusive',
      spot!.request(window('binance:spot:BTCUSDT:1m', 1_000, 60_000)),
      'http://localhost:1/venue/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime=1640995200000&endTime=1641055199999&limit=1000',
      2,
    ],
    [
      'a symbol is percent-encoded as UTF-8',
      spot!.request(window('binance:spot:币/&=:1h', 1, 3_600_000)),
      'http://localhost:1/venue/api/v3/klines?symbol=%E5%B8%81%2F%26%3D&interval=1h&startTime=1640995200000&endTime=1640998799999&limit=1',
      2,
    ],
    [
      'futures at 499 cost 2',
      um!.request(window('binance:um:BTCUSDT:1m', 499, 60_000)),
      'http://localhost:1/venue/fapi/v1/klines?symbol=BTCUSDT&interval=1m&startTime=1640995200000&endTime=1641025139999&limit=499',
      2,
    ],
    [
      'the first bar is asked for from the epoch',
      spot!.firstBar!.request(parseSeries('binance:spot:BTCUSDT:1d')),
      'http://localhost:1/venue/api/v3/klines?symbol=BTCUSDT&interval=1d&startTime=1&limit=1',
      2,
    ],
    [
      'exchangeInfo of one symbol on spot',
      spot!.venueInfo!.request(parseSeries('binance:spot:BTCUSDT:1d')),
      'http://localhost:1/venue/api/v3/exchangeInfo?symbol=BTCUSDT',
      20,
    ],
    [
      'exchangeInfo of all on futures',
      um!.venueInfo!.request(parseSeries('binance:um:BTCUSDT:1d')),
      'http://localhost:1/venue/fapi/v1/exchangeInfo',
      1,
    ],
  ])('%s', (_name, request, url, weight) => {
    expect([request.url, request.weight]).toEqual([url, weight])
  })

  test.each([
    [{}, 'https://api.binance.com', 'https://fapi.binance.com'],
    [{ baseUrl: 'http://a' }, 'http://a', 'http://a'],
    [{ futuresBaseUrl: 'http://b' }, 'https://api.binance.com', 'http://b'],
    [{ baseUrl: 'http://a', futuresBaseUrl: 'http://b' }, 'http://a', 'http://b'],
  ])('hosts of %j', (options, spotUrl, umUrl) => {
    const sources = binanceSources(options)
    const hosts = sources.map((source, i) =>
      source
        .venueInfo!.request(parseSeries(i === 0 ? 'binance:spot:A:1d' : 'binance:um:A:1d'))
        .url.split('/', 3),
    )
    expect(hosts).toEqual([spotUrl.split('/', 3), umUrl.split('/', 3)])
  })

  test('1s exists on spot only', () => {
    const request = () => um!.request(window('binance:um:BTCUSDT:1s', 1, 1_000))
    expect(request).toThrow(expect.objectContaining({ code: 'source.unknown-timeframe', recovery: 'abort' }))
    expect(spot!.request(window('binance:spot:BTCUSDT:1s', 1, 1_000)).url).toContain('interval=1s')
  })

  test('months and days without a known grid are counted too', () => {
    const months = {
      series: parseSeries('binance:spot:BTCUSDT:1M'),
      range: { startMs: 0, endMs: at },
      limit: 624,
    }
    expect(spot!.request(months).url).toContain('interval=1M')
    expect(() => spot!.request({ ...months, limit: 623 })).toThrow('624 bars')
    expect(() => spot!.request(window('binance:spot:BTCUSDT:3d', 10, 3 * 86_400_000))).not.toThrow()
  })
})

describe('rows', () => {
  const row = [at, '1', '2', '0.5', '1.5', '10', at + 59_999, '15', 3, '5', '7.5', '0']
  const window = {
    series: parseSeries('binance:spot:BTCUSDT:1m'),
    range: { startMs: at, endMs: at + 1 },
    limit: 10,
  }
  const detail = (cells: unknown) =>
    spot!.decode(bytes([cells]), window).badRows.map((finding) => finding.detail)
  const change = (cell: number, value: unknown) => row.map((old, i) => (i === cell ? value : old))

  test.each<[string, unknown, string]>([
    [
      'microseconds',
      change(0, at * 1_000),
      'row 0: open time 1640995200000000 is in microseconds, milliseconds expected',
    ],
    ['a missing close time', change(6, null), 'row 0: close time null is not a time in epoch milliseconds'],
    ['a column too few', row.slice(0, 11), 'row 0: 11 columns, 12 expected'],
    ['no row', { a: 1 }, 'row 0: {"a":1} is no row'],
    ['null trades', change(8, null), 'row 0: trades null is no number'],
    ['a null price', change(2, null), 'row 0: high null is no number'],
  ])('%s: the finding says what and where', (_name, cells, text) => expect(detail(cells)).toEqual([text]))

  test('numbers may come as JSON numbers, with exponents and as text of a time', () => {
    const cells = [String(at), 1, 2, '5e-1', '1.5E0', 10, at + 59_999, 15, '3', 5, 7.5, 0]
    const { rows, badRows } = spot!.decode(bytes([cells]), window)
    expect(badRows).toEqual([])
    expect([rows.openTimeMs[0], rows.open[0], rows.low[0], rows.close[0], rows.native.trades![0]]).toEqual([
      at,
      1,
      0.5,
      1.5,
      3,
    ])
  })
})

describe('exchangeInfo', () => {
  const info = readFileSync(new URL('../fixtures/binance/klines/exchange-info.json', import.meta.url))
  test('limits on weight and on the number of requests, not on orders', () => {
    expect(spot!.venueInfo!.decode(info, parseSeries('binance:spot:A:1d'))).toEqual({
      venueTimeMs: 1_565_246_363_776,
      limits: [
        { bucket: 'binance.spot', capacity: 6_000, windowMs: 60_000, counts: 'weight' },
        { bucket: 'binance.spot', capacity: 300_000, windowMs: 300_000, counts: 'requests' },
      ],
    })
  })

  test('a limit that cannot be read is left out', () => {
    const limits = [
      { rateLimitType: 'REQUEST_WEIGHT', interval: 'FORTNIGHT', intervalNum: 1, limit: 1 },
      { rateLimitType: 'REQUEST_WEIGHT', interval: 'MINUTE', intervalNum: 1, limit: null },
      { rateLimitType: 'REQUEST_WEIGHT', interval: 'SECOND', intervalNum: 6, limit: 600 },
      null,
    ]
    const body = bytes({ serverTime: at, rateLimits: limits })
    expect(spot!.venueInfo!.decode(body, parseSeries('binance:spot:A:1d')).limits).toEqual([
      { bucket: 'binance.spot', capacity: 600, windowMs: 6_000, counts: 'weight' },
    ])
  })
})

describe('aggTrades', () => {
  const body = readFileSync(new URL('../fixtures/binance/agg-trades/page.json', import.meta.url))
  const params = { limit: 2, fromId: 26_129 }
  const request = aggTradesRequest('http://localhost:1', 'ETHBTC', params)

  test('a request carries the cursor', () => {
    expect(request).toEqual({
      url: 'http://localhost:1/api/v3/aggTrades?symbol=ETHBTC&limit=2&fromId=26129',
      bucket: 'binance.spot',
      weight: aggTradesSpec.weightPolicy.staticWeight,
    })
  })

  test('a full page names the next id, a shorter one is the last', () => {
    checkAggTrades({ url: request.url, status: 200, headers: {}, body })
    const page = readAggTrades(body, 2)
    expect(page.nextCursor).toBe(26_131)
    expect(page.points.map(aggTradeKey)).toEqual([26_129, 26_130])
    expect(page.points[0]).toMatchObject({
      price: '0.01633102',
      timeMs: 1_498_793_709_153,
      buyerIsMaker: true,
    })
    expect(readAggTrades(body, 3)).not.toHaveProperty('nextCursor')
    expect(readAggTrades(bytes([]), 3)).toEqual({ points: [] })
  })

  const good = JSON.parse(body.toString()) as Record<string, unknown>[]
  test.each<[string, unknown]>([
    ['an object', {}],
    ['a trade without an id', [{ ...good[0], a: undefined }]],
    ['a null price', [{ ...good[0], p: null }]],
    ['a time in microseconds', [{ ...good[0], T: 1_498_793_709_153_000 }]],
    ['a side that is none', [{ ...good[0], m: 'yes' }]],
    ['null', [null]],
  ])('%s makes the page unreadable', (_name, value) => {
    expect(() => readAggTrades(bytes(value), 10)).toThrow(
      expect.objectContaining({ code: 'source.unreadable', recovery: 'quarantine' }),
    )
  })
})
