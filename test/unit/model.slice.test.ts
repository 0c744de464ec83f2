import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { escapeSymbol, parseSeries, seriesId, unescapeSymbol } from '../../src/model/series.ts'
import {
  parseCompositeKey,
  type SliceGrid,
  slice,
  sliceId,
  sliceRangeAt,
  sliceRanges,
} from '../../src/model/slice.ts'
import { parseTimeframe } from '../../src/model/timeframe.ts'

const grid = (timeframe: string, limit: number): SliceGrid => ({
  timeframe: parseTimeframe(timeframe),
  limit,
})

describe('slices', () => {
  test('the key and id of the documented example', () => {
    const range = sliceRangeAt(grid('1m', 1_000), 1_609_459_200_000)
    const one = slice(parseSeries('binance:spot:BTCUSDT:1m'), 'binance.klines', range, 1_000)
    expect(one.key).toBe('BTCUSDT:1m:1609440000000-1609499999999:1000')
    expect(one.id).toMatch(/^[0-9a-f]{32}$/)
    expect(one.id).toBe(sliceId(one.key))
  })

  test('the id is BLAKE2b-128 (reference value of the empty text)', () => {
    expect(sliceId('')).toBe('cae66941d9efbd404e4d88758ea67670')
  })

  test('slices partition time: adjoining, anchored on the epoch, whatever start is asked for', () => {
    const arbitrary = fc.record({
      timeframe: fc.constantFrom('1s', '1m', '15m', '1h', '1d', '3d', '1w', '1M'),
      limit: fc.constantFrom(1, 7, 499, 1_000),
      ms: fc.integer({ min: 0, max: 4e12 }),
      earlier: fc.integer({ min: 0, max: 1e10 }),
    })
    fc.assert(
      fc.property(arbitrary, ({ timeframe, limit, ms, earlier }) => {
        const g = grid(timeframe, limit)
        const at = sliceRangeAt(g, ms)
        expect(at.startMs <= ms && ms < at.endMs).toBe(true)
        expect(sliceRangeAt(g, at.endMs).startMs).toBe(at.endMs)
        if (at.startMs > 0) expect(sliceRangeAt(g, at.startMs - 1).endMs).toBe(at.startMs)
        const from = Math.max(0, ms - Math.min(earlier, 3 * (at.endMs - at.startMs)))
        const longer = [...sliceRanges(g, { startMs: from, endMs: ms + 1 })]
        expect(longer.at(-1)).toEqual(at)
        for (let i = 1; i < longer.length; i++) expect(longer[i]!.startMs).toBe(longer[i - 1]!.endMs)
      }),
    )
  })

  test('weeks open on Monday and months on the 1st', () => {
    expect(new Date(sliceRangeAt(grid('1w', 10), Date.UTC(2024, 0, 1)).startMs).getUTCDay()).toBe(1)
    expect(new Date(sliceRangeAt(grid('1M', 10), Date.UTC(2024, 0, 15)).startMs).getUTCDate()).toBe(1)
  })

  test('day-capped slices follow the calendar of their offset', () => {
    const offsetMs = 5.5 * 3_600_000
    const range = sliceRangeAt({ ...grid('1m', 1e6), days: { count: 60, offsetMs } }, Date.UTC(2024, 0, 15))
    expect((range.startMs + offsetMs) % 86_400_000).toBe(0)
    expect(range.endMs - range.startMs).toBe(60 * 86_400_000)
  })

  test('keys read back, also with colons in the symbol', () => {
    const series = parseSeries('bybit:swap:BTC/USDT:USDT:1h')
    const one = slice(series, 'ccxt.ohlcv', { startMs: 0, endMs: 3_600_000 }, 1)
    expect(parseCompositeKey(one.key)).toEqual({
      symbol: 'BTC/USDT:USDT',
      timeframe: '1h',
      range: one.range,
      limit: 1,
    })
    expect(parseCompositeKey('nonsense')).toBeUndefined()
  })
})

describe('series', () => {
  test.each([
    'binance:spot:BTCUSDT:1m',
    'kite:nse:M&M:1d',
    'bybit:swap:BTC/USDT:USDT:1h',
    'binance:um:BTCUSDT:1m@mark',
  ])('%s reads and writes the same', (text) => expect(seriesId(parseSeries(text))).toBe(text))

  test.each([
    '',
    'BTCUSDT',
    'binance:spot:1m',
    'binance:spot::1m',
    'Binance:spot:BTCUSDT:1m',
    'binance:spot:BTC\nUSDT:1m',
    'a:b:c:1m@last',
  ])('%j is refused with a hint', (text) => {
    expect(() => parseSeries(text)).toThrow(
      expect.objectContaining({ code: 'series.bad-selector', hint: expect.stringContaining('venue:market') }),
    )
  })

  test('a symbol as a file name reads back, and is never a path', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (symbol) => {
        const name = escapeSymbol(symbol)
        expect(name).toMatch(/^[A-Za-z0-9-]*$/)
        expect(unescapeSymbol(name)).toBe(symbol.toWellFormed())
      }),
    )
    expect(unescapeSymbol('../x')).toBeUndefined()
  })
})
