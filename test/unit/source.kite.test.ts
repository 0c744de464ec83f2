import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { EverybarError } from '../../src/model/errors.ts'
import { parseSeries } from '../../src/model/series.ts'
import { sliceRanges } from '../../src/model/slice.ts'
import { jobOf } from '../../src/pipeline/house.ts'
import { candleTime, readCandles } from '../../src/source/kite/candles.ts'
import { checkKite } from '../../src/source/kite/check.ts'
import { readInstruments } from '../../src/source/kite/instruments.ts'
import { istMidnight, istStamp, istText } from '../../src/source/kite/intervals.ts'
import { kiteSources } from '../../src/source/kite/sources.ts'
import { sharedData } from '../shared-data.ts'

const sources = kiteSources({ authorization: () => 'token key:secret', tokenOf: () => '738561' })
const jobFor = (selector: string) => jobOf({ sources }, parseSeries(selector))
const bytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))
const page = (candles: unknown[]) => readCandles(bytes({ status: 'success', data: { candles } }))

function codeOf(run: () => unknown): string | undefined {
  try {
    run()
    return undefined
  } catch (error) {
    return error instanceof EverybarError ? error.code : String(error)
  }
}

describe('requests', () => {
  const urlOf = (selector: string, from: string, to: string) => {
    const { series, slices } = jobFor(selector)
    const source = sources.find(({ spec }) => spec.id === jobFor(selector).source.spec.id)!
    const range = { startMs: istMidnight(from), endMs: istMidnight(to) }
    return source.request({ series, range, limit: slices.limit })
  }

  test('Indian time, both ends inclusive, the login in a header', () => {
    const { url, headers } = urlOf('kite:nse:RELIANCE:1d', '2024-03-01', '2024-03-06')
    expect(decodeURIComponent(url)).toBe(
      'https://api.kite.trade/instruments/historical/738561/day?from=2024-03-01 00:00:00&to=2024-03-05 23:59:59&continuous=0&oi=0',
    )
    expect(headers).toEqual({ 'X-Kite-Version': '3', Authorization: 'token key:secret' })
  })

  test.each([
    ['open interest of derivatives', 'kite:nfo:NIFTY24MARFUT:1m', 'minute?', 'continuous=0&oi=1'],
    ['days across contracts', 'kite:nfo:NIFTY24MARFUT#continuous:1d', 'day?', 'continuous=1&oi=1'],
    ['hours', 'kite:bse:RELIANCE:1h', '60minute?', 'oi=0'],
  ])('%s', (_name, selector, interval, flags) => {
    const { url } = urlOf(selector, '2024-03-01', '2024-03-06')
    expect(url).toContain(interval)
    expect(url).toContain(flags)
  })

  test.each([
    ['continuous minutes', 'kite:nfo:NIFTY24MARFUT#continuous:1m', 'source.unknown-timeframe'],
    ['a mark price', 'kite:nse:RELIANCE:1d@mark', 'source.not-served'],
  ])('%s are refused', (_name, selector, code) => {
    expect(codeOf(() => urlOf(selector, '2024-03-01', '2024-03-06'))).toBe(code)
  })

  test.each([['1w'], ['1M'], ['2h'], ['1s']])('there are no %s bars', (timeframe) => {
    expect(codeOf(() => jobFor(`kite:nse:RELIANCE:${timeframe}`))).toBe('source.unknown-timeframe')
  })

  test('an instrument that is not in the list is unknown', () => {
    const own = kiteSources({ authorization: () => 'token a:b' })
    const { source, series } = jobOf({ sources: own }, parseSeries('kite:nse:NOBODY:1d'))
    const range = { startMs: istMidnight('2024-03-01'), endMs: istMidnight('2024-03-02') }
    expect(codeOf(() => source.request({ series, range, limit: 2_000 }))).toBe('source.unknown-symbol')
  })

  test.each([
    ['1m', 60],
    ['3m', 100],
    ['5m', 100],
    ['10m', 100],
    ['15m', 200],
    ['30m', 200],
    ['1h', 400],
    ['1d', 2_000],
  ])('slices of %s are %i Indian days, and each is one request', (timeframe, cap) => {
    const job = jobFor(`kite:nse:RELIANCE:${timeframe}`)
    const range = { startMs: istMidnight('1995-01-01'), endMs: istMidnight('2024-03-06') }
    const slices = [...sliceRanges(job.slices, range)]
    expect(slices[0]!.startMs).toBeLessThanOrEqual(range.startMs)
    for (const slice of slices) {
      expect(istText(slice.startMs).slice(11)).toBe('00:00:00')
      expect((slice.endMs - slice.startMs) / 86_400_000).toBe(cap)
      expect(() =>
        job.source.request({ series: job.series, range: slice, limit: job.slices.limit }),
      ).not.toThrow()
    }
  })

  test('two exchanges keep the same symbol apart', () => {
    expect(jobFor('kite:nse:RELIANCE:1d').folder).not.toEqual(jobFor('kite:bse:RELIANCE:1d').folder)
  })
})

describe('refusals', () => {
  const body = (type: string) => bytes({ status: 'error', message: 'Forbidden', error_type: type })
  test.each([
    ...['GeneralException', 'InputException', 'DataException', 'PermissionException', 'NewException'].map(
      (type) => [403, type, 'source.no-permission'] as const,
    ),
    [403, 'TokenException', 'source.login-expired'],
    [400, 'InputException', 'source.refused'],
    [500, 'GeneralException', 'source.venue-error'],
  ] as const)('a %i of type %s: %s', (status, type, code) => {
    const url = 'https://api.kite.trade/instruments/historical/1/day'
    expect(codeOf(() => checkKite({ status, headers: {}, body: body(type), url }))).toBe(code)
  })
})

describe('candles', () => {
  test.each([
    ['2017-12-15T09:15:00+0530', '2017-12-15T03:45:00Z'],
    ['2017-12-15T09:15:00+05:30', '2017-12-15T03:45:00Z'],
    ['2017-12-15T03:45:00Z', '2017-12-15T03:45:00Z'],
    ['2017-12-15T00:00:00-0100', '2017-12-15T01:00:00Z'],
  ])('%s', (text, instant) => expect(candleTime(text)).toBe(Date.parse(instant)))

  test.each([
    ['2017-02-30T09:15:00+0530'],
    ['2017-12-15T24:15:00+0530'],
    ['2017-12-15 09:15:00'],
    ['2017-12-15'],
    [1513309500000],
    [null],
  ])('%s is no time', (value) => expect(candleTime(value)).toBeNaN())

  test('arrays and objects, with interest and without, in one answer; 0 stays 0', () => {
    const { rows, badRows } = page([
      [istStamp(0), 1, 2, 0.5, 1.5, 10],
      { date: istStamp(60_000), open: 1, high: 2, low: 0.5, close: 1.5, volume: 11, oi: 0 },
      { date: istStamp(120_000), open: 1, high: 2, low: 0.5, close: 1.5, volume: 12 },
      [istStamp(180_000), 1, 2, 0.5, 1.5, 13, 7],
    ])
    expect(badRows).toEqual([])
    expect([...rows.volume]).toEqual([10, 11, 12, 13])
    expect([...rows.native.openInterest!]).toEqual([Number.NaN, 0, Number.NaN, 7])
  })

  test('an object without a field is a bad row that names it', () => {
    const { rows, badRows } = page([{ date: istStamp(0), open: 1, high: 2, low: 0.5, volume: 1 }])
    expect([rows.length, badRows.length]).toEqual([0, 1])
    expect(badRows[0]!.detail).toContain('close')
  })

  test.skipIf(!sharedData)('the vendor’s own samples are read', async () => {
    const { readFileSync } = await import('node:fs')
    const read = (file: string) => readCandles(readFileSync(`${sharedData}/kite/${file}`))
    expect([read('historical_minute.json').rows.length, read('historical_minute.json').badRows]).toEqual([
      6,
      [],
    ])
    expect(read('historical_oi.json').rows.native.openInterest![0]).toBe(13_667_775)
  })
})

describe('the list of instruments', () => {
  const header =
    'instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,segment,exchange'
  const list = (...lines: string[]) => new TextEncoder().encode([header, ...lines, ''].join('\n'))
  const good = '738561,2885,RELIANCE,RELIANCE INDUSTRIES,0.0,,0.0,0.05,1,EQ,NSE,NSE'

  test('a line with everything', () => {
    const future = '13368834,52222,NIFTY24MARFUT,"NIFTY, 50",0,2024-03-28,0,0.05,50,FUT,NFO-FUT,NFO'
    expect(readInstruments(list(good, future)).instruments[1]).toEqual({
      ...{ token: '13368834', exchangeToken: '52222', symbol: 'NIFTY24MARFUT', name: 'NIFTY, 50' },
      ...{ expiry: '2024-03-28', strike: 0, tickSize: 0.05, lotSize: 50 },
      ...{ type: 'FUT', segment: 'NFO-FUT', exchange: 'NFO' },
    })
  })

  test.each([
    ['too short', '738561,2885'],
    ['no token', good.replace('738561', '')],
    ['a token that is none', good.replace('738561', 'abc')],
    ['no symbol', good.replace('RELIANCE,', ',')],
    ['no exchange', good.replace(/NSE$/, '')],
    ['an expiry that is no date', good.replace(',,', ',soon,')],
  ])('%s: left out and counted, the rest goes on', (_name, line) => {
    const { instruments, badLines, badCount } = readInstruments(list(line, good))
    expect([instruments.length, badCount, badLines[0]!.line]).toEqual([1, 1, 2])
  })

  test('zipped, with a carriage return, with a new column', () => {
    const zipped = gzipSync(list(good))
    expect(readInstruments(zipped).instruments).toHaveLength(1)
    const text = `${header},isin\r\n${good},INE002A01018\r\n`
    expect(readInstruments(new TextEncoder().encode(text)).instruments[0]!.exchange).toBe('NSE')
  })

  test('HTML, a damaged archive and an empty body are no list', () => {
    for (const body of ['<html>', '', 'a,b\n1,2'])
      expect(codeOf(() => readInstruments(new TextEncoder().encode(body)))).toBe('source.unreadable')
    const broken = gzipSync(list(good)).subarray(0, 40)
    expect(codeOf(() => readInstruments(broken))).toBe('source.unreadable')
  })

  test.skipIf(!sharedData)('the vendor’s own sample is read', async () => {
    const { readFileSync } = await import('node:fs')
    const { instruments, badCount } = readInstruments(readFileSync(`${sharedData}/kite/instruments_all.csv`))
    expect(badCount).toBe(0)
    expect(instruments.length).toBeGreaterThan(80)
    expect(new Set(instruments.map(({ type }) => type))).toEqual(new Set(['EQ', 'CE', 'PE']))
  })
})
