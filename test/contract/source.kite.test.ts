import { readdirSync, readFileSync } from 'node:fs'
import type { Bar } from '../../src/model/bar.ts'
import { parseSeries } from '../../src/model/series.ts'
import { istStamp } from '../../src/source/kite/intervals.ts'
import { kiteSources } from '../../src/source/kite/sources.ts'
import { type AnswerCase, type SourceSubject, sourceContract } from '../../src/testing/source-contract.ts'

const sources = kiteSources({
  authorization: () => 'token key:secret',
  tokenOf: (exchange, symbol) =>
    new Map([
      ['NSE RELIANCE', '738561'],
      ['NFO NIFTY24MARFUT', '13368834'],
    ]).get(`${exchange} ${symbol}`),
})
const sourceFor = (id: string) => sources.find(({ spec }) => spec.id === id)!

const rowOf = ({ openTimeMs, open, high, low, close, volume, native = {} }: Bar): readonly unknown[] => [
  openTimeMs === null ? null : istStamp(openTimeMs),
  ...[open, high, low, close, volume, native.openInterest],
]

const error = (type: string, message: string): string =>
  JSON.stringify({ status: 'error', message, error_type: type })
const refusals: readonly AnswerCase[] = [
  [403, 'TokenException', 'Incorrect `api_key` or `access_token`.', 'source.login-expired', 'abort'],
  [200, 'TokenException', 'Token is invalid or has expired.', 'source.login-expired', 'abort'],
  [401, 'GeneralException', 'Unauthorised', 'source.login-expired', 'abort'],
  [403, 'PermissionException', 'Insufficient permission for that call.', 'source.no-permission', 'abort'],
  [400, 'InputException', 'invalid token', 'source.unknown-symbol', 'abort'],
  [400, 'InputException', 'invalid interval', 'source.unknown-timeframe', 'abort'],
  [400, 'InputException', 'interval exceeds max limit: 60 days', 'source.refused', 'abort'],
  [404, 'GeneralException', 'Route not found', 'source.refused', 'abort'],
  [429, 'NetworkException', 'Too many requests', 'source.rate-limited', 'retry'],
  [503, 'NetworkException', 'OMS is down', 'source.venue-error', 'retry'],
  [500, 'GeneralException', 'Something went wrong', 'source.venue-error', 'retry'],
  [200, 'DataException', 'Unknown content', 'source.venue-error', 'retry'],
  [200, 'NewException', 'a type not known', 'source.not-an-answer', 'retry'],
].map(([status, type, message, code, recovery]) => ({
  name: `status ${status}, ${type}: ${message}`,
  status: status as number,
  body: error(type as string, message as string),
  code: code as string,
  recovery: recovery as AnswerCase['recovery'],
}))

const at = new URL('../fixtures/kite/historical/', import.meta.url)
const fixtures = Object.fromEntries(
  readdirSync(at)
    .filter((file) => file !== 'metadata.json')
    .map((file) => {
      const body = readFileSync(new URL(file, at), 'utf8')
      const { data } = JSON.parse(body) as { data: { candles: unknown[] } }
      return [file, { body, bars: data.candles.length }]
    }),
)

const csv = `instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,segment,exchange
738561,2885,RELIANCE,RELIANCE INDUSTRIES,0.0,,0.0,0.05,1,EQ,NSE,NSE
2953217,11536,TCS,"TATA CONSULTANCY, SERV LT",0.0,,0.0,0.05,1,EQ,NSE,NSE
`

const subject = (id: string, selector: string, openTimeMs: number): SourceSubject => ({
  source: sourceFor(id),
  series: parseSeries(selector),
  openTimeMs,
  rowOf,
  bodyOf: (candles) => JSON.stringify({ status: 'success', data: { candles } }),
  cells: { openTimeMs: 0, open: 1, high: 2, low: 3, close: 4, volume: 5 },
  native: ['openInterest'],
  refusals,
  fixtures,
  venueInfo: {
    body: '{"status":"success","data":{"user_id":"AB1234"}}',
    headers: { date: 'Tue, 05 Mar 2024 03:45:00 GMT' },
    venueTimeMs: Date.UTC(2024, 2, 5, 3, 45),
    limits: 0,
  },
  instruments: { body: csv, symbols: ['RELIANCE', 'TCS'] },
})

// 09:15 and midnight of 2024-03-05, Indian time.
sourceContract(
  'kite.nse-intraday',
  subject('kite.nse-intraday', 'kite:nse:RELIANCE:1m', Date.UTC(2024, 2, 5, 3, 45)),
)
sourceContract(
  'kite.nfo-day',
  subject('kite.nfo-day', 'kite:nfo:NIFTY24MARFUT:1d', Date.UTC(2024, 2, 4, 18, 30)),
)
