import { readdirSync, readFileSync } from 'node:fs'
import type { Bar } from '../../src/model/bar.ts'
import { parseSeries } from '../../src/model/series.ts'
import { binanceSources } from '../../src/source/binance/sources.ts'
import { type AnswerCase, type SourceSubject, sourceContract } from '../../src/testing/source-contract.ts'

const [spot, um] = binanceSources()

const rowOf = ({ openTimeMs, open, high, low, close, volume, native = {} }: Bar): readonly unknown[] => [
  openTimeMs,
  ...[open, high, low, close, volume].map((value) => value.toFixed(8)),
  native.closeTimeMs,
  (native.quoteVolume ?? 0).toFixed(8),
  native.trades,
  (native.takerBuyBaseVolume ?? 0).toFixed(8),
  (native.takerBuyQuoteVolume ?? 0).toFixed(8),
  '0',
]

const error = (code: number, msg: string): string => JSON.stringify({ code, msg })
const refusals: readonly AnswerCase[] = [
  [400, -1121, 'Invalid symbol.', 'source.unknown-symbol', 'abort'],
  [200, -1121, 'Invalid symbol.', 'source.unknown-symbol', 'abort'],
  [400, -1120, 'Invalid interval.', 'source.unknown-timeframe', 'abort'],
  [400, -1100, 'Illegal characters found in a parameter.', 'source.refused', 'abort'],
  [400, -1102, "Mandatory parameter 'symbol' was not sent.", 'source.refused', 'abort'],
  [429, -1003, 'Too many requests.', 'source.rate-limited', 'retry'],
  [418, -1003, 'Way too many requests; IP banned until 1565246363776.', 'source.rate-limited', 'retry'],
  [200, -1003, 'Too much request weight used.', 'source.rate-limited', 'retry'],
  [500, -1000, 'An unknown error occurred while processing the request.', 'source.venue-error', 'retry'],
  [503, -1008, 'Server is currently overloaded.', 'source.venue-error', 'retry'],
  [408, -1007, 'Timeout waiting for response from backend server.', 'source.venue-error', 'retry'],
  [400, -1001, 'Internal error; unable to process your request.', 'source.venue-error', 'retry'],
  [451, 0, 'Service unavailable from a restricted location.', 'source.geo-blocked', 'abort'],
].map(([status, code, msg, name, recovery]) => ({
  name: `status ${status}, code ${code}`,
  status: status as number,
  body: error(code as number, msg as string),
  code: name as string,
  recovery: recovery as AnswerCase['recovery'],
}))

function subject(source: typeof spot, selector: string, folder: string): SourceSubject {
  const at = new URL(`../fixtures/binance/${folder}/`, import.meta.url)
  const files = readdirSync(at).filter((file) => !/metadata|exchange-info/.test(file))
  const info = readFileSync(new URL('exchange-info.json', at), 'utf8')
  return {
    source: source!,
    series: parseSeries(selector),
    openTimeMs: 1_640_995_200_000,
    rowOf,
    bodyOf: (rows) => JSON.stringify(rows),
    cells: { openTimeMs: 0, open: 1, high: 2, low: 3, close: 4, volume: 5 },
    native: ['closeTimeMs', 'quoteVolume', 'trades', 'takerBuyBaseVolume', 'takerBuyQuoteVolume'],
    refusals,
    fixtures: Object.fromEntries(
      files.map((file) => {
        const body = readFileSync(new URL(file, at), 'utf8')
        return [file, { body, bars: (JSON.parse(body) as unknown[]).length }]
      }),
    ),
    venueInfo: {
      body: info,
      venueTimeMs: folder === 'klines' ? 1_565_246_363_776 : 1_565_613_908_500,
      limits: folder === 'klines' ? 2 : 1,
    },
    instruments: { body: info, symbols: folder === 'klines' ? ['ETHBTC', 'BCCBTC'] : ['BTCUSDT'] },
  }
}

sourceContract('binance.klines', subject(spot, 'binance:spot:BTCUSDT:1m', 'klines'))
sourceContract('binance.um-klines', subject(um, 'binance:um:BTCUSDT:1h', 'um-klines'))
