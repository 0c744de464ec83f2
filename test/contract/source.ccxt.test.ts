import { readFileSync } from 'node:fs'
import type { Bar } from '../../src/model/bar.ts'
import { parseSeries } from '../../src/model/series.ts'
import { ccxtSources } from '../../src/source/ccxt/ccxt-source.ts'
import type { KnownVenue } from '../../src/source/ccxt/known-venue.ts'
import { type AnswerCase, type SourceSubject, sourceContract } from '../../src/testing/source-contract.ts'

type Rows = readonly (readonly unknown[])[]

interface Shape {
  readonly market: readonly [id: string, symbol: string]
  readonly rowsMax: number
  readonly rateLimitMs: number
  readonly cost: number
  readonly until?: boolean
  /** Cells of a row as the venue has them, times in its unit. */
  readonly rowOf: (bar: Bar) => readonly unknown[]
  readonly bodyOf: (rows: Rows) => unknown
  readonly cells: SourceSubject['cells']
  readonly clock: readonly [body: unknown, timeMs: number]
  /** Status, body, code. */
  readonly refusals: readonly (readonly [status: number, body: unknown, code: string])[]
}

const text = ({ open, high, low, close, volume }: Bar) => [open, high, low, close, volume].map(String)
const plain = { openTimeMs: 0, open: 1, high: 2, low: 3, close: 4, volume: 5 }
/** Seconds, as text; what is no number stays what it is, so that the reader meets it. */
const seconds = (bar: Bar) => String(bar.openTimeMs / 1_000)

const shapes: Readonly<Record<string, Shape>> = {
  binance: {
    market: ['BTCUSDT', 'BTC/USDT'],
    rowsMax: 1_000,
    rateLimitMs: 50,
    cost: 0.4,
    rowOf: (bar) => [bar.openTimeMs, ...text(bar)],
    bodyOf: (rows) => rows,
    cells: plain,
    clock: [{ serverTime: 1_640_995_200_123 }, 1_640_995_200_123],
    refusals: [
      [400, { code: -1121, msg: 'Invalid symbol.' }, 'source.unknown-symbol'],
      [400, { code: -1120, msg: 'Invalid interval.' }, 'source.refused'],
      [429, { code: -1003, msg: 'Too many requests.' }, 'source.rate-limited'],
    ],
  },
  bybit: {
    market: ['BTCUSDT', 'BTC/USDT'],
    rowsMax: 1_000,
    rateLimitMs: 20,
    cost: 5,
    rowOf: (bar) => [String(bar.openTimeMs), ...text(bar), '1'],
    bodyOf: (list) => ({ retCode: 0, retMsg: 'OK', result: { category: 'spot', symbol: 'BTCUSDT', list } }),
    cells: plain,
    clock: [
      {
        retCode: 0,
        result: { timeSecond: '1640995200', timeNano: '1640995200123000000' },
        time: 1_640_995_200_123,
      },
      1_640_995_200_123,
    ],
    refusals: [
      [200, { retCode: 10001, retMsg: 'params error: symbol invalid', result: {} }, 'source.unknown-symbol'],
      [200, { retCode: 10006, retMsg: 'Too many visits!', result: {} }, 'source.rate-limited'],
      [200, { retCode: 10016, retMsg: 'Server error.', result: {} }, 'source.venue-error'],
    ],
  },
  okx: {
    market: ['BTC-USDT', 'BTC/USDT'],
    rowsMax: 300,
    rateLimitMs: 110,
    cost: 1,
    rowOf: (bar) => [String(bar.openTimeMs), ...text(bar), '1', '1', '1'],
    bodyOf: (data) => ({ code: '0', msg: '', data }),
    cells: plain,
    clock: [{ code: '0', data: [{ ts: '1640995200123' }], msg: '' }, 1_640_995_200_123],
    refusals: [
      [200, { code: '51001', data: [], msg: 'Instrument ID does not exist' }, 'source.unknown-symbol'],
      [200, { code: '50011', data: [], msg: 'Too Many Requests' }, 'source.rate-limited'],
      [200, { code: '50001', data: [], msg: 'Service temporarily unavailable' }, 'source.venue-error'],
    ],
  },
  kraken: {
    market: ['XXBTZUSD', 'BTC/USD'],
    rowsMax: 720,
    rateLimitMs: 1_000,
    cost: 1.2,
    until: false,
    rowOf: (bar) => {
      const [open, high, low, close, volume] = text(bar)
      return [bar.openTimeMs / 1_000, open, high, low, close, '0.0', volume, 3]
    },
    bodyOf: (rows) => ({ error: [], result: { XXBTZUSD: rows, last: 0 } }),
    cells: { ...plain, volume: 6 },
    clock: [{ error: [], result: { unixtime: 1_640_995_200, rfc1123: '' } }, 1_640_995_200_000],
    refusals: [
      [200, { error: ['EQuery:Unknown asset pair'] }, 'source.unknown-symbol'],
      [200, { error: ['EAPI:Rate limit exceeded'] }, 'source.rate-limited'],
      [200, { error: ['EService:Unavailable'] }, 'source.venue-error'],
      [200, { error: ['EGeneral:Something new'] }, 'source.venue-error'],
    ],
  },
  coinbase: {
    market: ['BTC-USD', 'BTC/USD'],
    rowsMax: 300,
    rateLimitMs: 34,
    cost: 3,
    rowOf: (bar) => [seconds(bar), ...text(bar)],
    bodyOf: (rows) => ({
      candles: rows.map(([start, open, high, low, close, volume]) => ({
        start,
        low,
        high,
        open,
        close,
        volume,
      })),
    }),
    cells: plain,
    clock: [{ data: { iso: '2022-01-01T00:00:00Z', epoch: 1_640_995_200 } }, 1_640_995_200_000],
    refusals: [
      [
        404,
        { error: 'NOT_FOUND', error_details: 'valid product_id is required', message: '' },
        'source.unknown-symbol',
      ],
      [429, { errors: [{ id: 'rate_limit_exceeded', message: 'Too many requests' }] }, 'source.rate-limited'],
    ],
  },
  kucoin: {
    market: ['BTC-USDT', 'BTC/USDT'],
    rowsMax: 1_500,
    rateLimitMs: 7.5,
    cost: 3,
    until: false,
    rowOf: (bar) => {
      const [open, high, low, close, volume] = text(bar)
      return [seconds(bar), open, close, high, low, volume, '1']
    },
    bodyOf: (data) => ({ code: '200000', data }),
    cells: { openTimeMs: 0, open: 1, close: 2, high: 3, low: 4, volume: 5 },
    clock: [{ code: '200000', data: 1_640_995_200_123 }, 1_640_995_200_123],
    refusals: [
      [200, { code: '400100', msg: 'symbol not exists' }, 'source.unknown-symbol'],
      [429, { code: '429000', msg: 'Too Many Requests' }, 'source.rate-limited'],
      [200, { code: '500000', msg: 'Internal Server Error' }, 'source.venue-error'],
    ],
  },
}

function knownVenue(venue: string, { market, rowsMax, rateLimitMs, cost, until = true }: Shape): KnownVenue {
  const [id, symbol] = market
  const [base, quote] = symbol.split('/')
  return {
    venue,
    ccxt: '4.5.84',
    learnedAtMs: 0,
    rateLimitMs,
    timeframes: ['1m', '1h', '1d'],
    clock: true,
    until,
    pages: { spot: { rowsMax, cost } },
    markets: [{ id, symbol, base, quote, type: 'spot', spot: true, active: true, precision: {}, limits: {} }],
  }
}

for (const [venue, shape] of Object.entries(shapes)) {
  const [source] = ccxtSources(knownVenue(venue, shape))
  const body = readFileSync(new URL(`../fixtures/ccxt/${venue}.json`, import.meta.url), 'utf8')
  const retried = new Set(['source.rate-limited', 'source.venue-error'])
  sourceContract(`${venue}, by ccxt`, {
    source: source!,
    series: parseSeries(`${venue}:spot:${shape.market[0]}:1m`),
    openTimeMs: 1_640_995_200_000,
    rowOf: shape.rowOf,
    bodyOf: (rows) => JSON.stringify(shape.bodyOf(rows)),
    cells: shape.cells,
    native: [],
    refusals: shape.refusals.map(
      ([status, refusal, code]): AnswerCase => ({
        name: `status ${status}, ${JSON.stringify(refusal).slice(0, 60)}`,
        status,
        body: JSON.stringify(refusal),
        code,
        recovery: retried.has(code) ? 'retry' : 'abort',
      }),
    ),
    fixtures: { [`${venue}.json`]: { body, bars: 3 } },
    venueInfo: { body: JSON.stringify(shape.clock[0]), venueTimeMs: shape.clock[1], limits: 0 },
  })
}
