import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readLoaderConfig } from '../../src/loader/config.ts'
import { FileDiscovery, type FileQuery } from '../../src/loader/discovery.ts'
import { fileKey, readFileName } from '../../src/loader/files.ts'
import { scratch, thrown, writeConfig } from '../loader-lake.ts'

const HASH = '769b531dbb2ff3cb'
const name = (symbol: string, frame: string, year: number, month: number, rest = `h0_Y_M_${HASH}.parquet`) =>
  `${year}/${String(month).padStart(2, '0')}/${symbol}_${frame}_${rest.replace('Y', String(year)).replace('M', String(month).padStart(2, '0'))}`

function rootWith(...paths: string[]): string {
  const root = scratch()
  for (const path of paths) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), '')
  }
  return root
}

const discover = (root: string, query: FileQuery) =>
  new FileDiscovery(readLoaderConfig(writeConfig(root))).discover(query)

/** 2013-11 … 2016-02 of BTCUSDT 1m, without 2014-03 and without any folder of 2015-05. */
const months = [2013, 2014, 2015, 2016].flatMap((year) =>
  Array.from({ length: 12 }, (_, i) => [year, i + 1] as const).filter(
    ([y, m]) =>
      !(y === 2013 && m < 11) &&
      !(y === 2016 && m > 2) &&
      !(y === 2014 && m === 3) &&
      !(y === 2015 && m === 5),
  ),
)
const root = rootWith(
  ...months.map(([year, month]) => name('BTCUSDT', '1min', year, month)),
  name('ETHUSDT', '1min', 2014, 1),
  name('BTCUSDT', '1h', 2014, 1),
  name('BTC-2fUSD', '1h', 2014, 1),
)
mkdirSync(join(root, '2014', '03'), { recursive: true })
writeFileSync(join(root, '2014', '01', 'readme.txt'), '')
writeFileSync(join(root, '2014', '01', '.hidden.parquet'), '')

describe('file discovery', () => {
  const cases: [string, Omit<FileQuery, 'symbol'>, string][] = [
    ['one year', { year: 2013 }, '2013-11 2013-12'],
    ['a year range holds both ends', { yearRange: [2013, 2014], month: 12 }, '2013-12 2014-12'],
    ['one month', { year: 2014, month: 2 }, '2014-2'],
    [
      'a month range holds both ends',
      { year: 2014, monthRange: [1, 6] },
      '2014-1 2014-2 2014-4 2014-5 2014-6',
    ],
    [
      'months are of every year',
      { yearRange: [2014, 2016], monthRange: [2, 3] },
      '2014-2 2015-2 2015-3 2016-2',
    ],
    ['a missing year is nothing', { year: 1999 }, ''],
    ['a missing month is nothing', { year: 2015, month: 5 }, ''],
    ['an empty month is nothing', { year: 2014, month: 3 }, ''],
    ['from and to are half-open', { from: '2015-11', to: '2016-02' }, '2015-11 2015-12 2016-1'],
    [
      'from within a month takes it',
      { from: '2015-12-31T23:59Z', to: '2016-01-01T00:01Z' },
      '2015-12 2016-1',
    ],
    ['from alone', { from: '2016' }, '2016-1 2016-2'],
    ['to alone', { to: '2013-12' }, '2013-11'],
  ]
  test.each(cases)('%s', async (_name, query, expected) => {
    const files = await discover(root, { symbol: 'BTCUSDT', timeframes: ['1m'], ...query })
    expect(files.map(({ year, month }) => `${year}-${month}`).join(' ')).toBe(expected)
  })

  const filters: [string, FileQuery, string[]][] = [
    ['a symbol', { symbol: 'ETHUSDT', year: 2014 }, ['ETHUSDT 1min']],
    ['an escaped symbol', { symbol: 'BTC/USD', year: 2014 }, ['BTC/USD 1h']],
    ['no such symbol', { symbol: 'XRPUSDT', year: 2014 }, []],
    ['every timeframe', { symbol: 'BTCUSDT', year: 2014, month: 1 }, ['BTCUSDT 1h', 'BTCUSDT 1min']],
    [
      'a token as written',
      { symbol: 'BTCUSDT', year: 2014, month: 1, timeframes: ['1min'] },
      ['BTCUSDT 1min'],
    ],
    ['another horizon', { symbol: 'BTCUSDT', year: 2014, month: 1, horizon: 15 }, []],
    ['another hash', { symbol: 'BTCUSDT', year: 2014, month: 1, hash: 'f'.repeat(16) }, []],
  ]
  test.each(filters)('%s is told from the rest', async (_name, query, expected) => {
    const files = await discover(root, query)
    expect(files.map((file) => `${file.symbol} ${file.timeframeToken}`)).toEqual(expected)
  })

  const faults: [string, Omit<FileQuery, 'symbol'>, string][] = [
    ['no months', {}, 'name the months either by year'],
    ['both ways', { year: 2014, from: '2014' }, 'name the months either by year'],
    ['year and range', { year: 2014, yearRange: [2014, 2015] }, 'not both'],
    ['month and range', { year: 2014, month: 1, monthRange: [1, 2] }, 'not both'],
    ['a reversed year range', { yearRange: [2016, 2014] }, 'yearRange is reversed (found [2016,2014])'],
    ['a reversed month range', { year: 2014, monthRange: [6, 1] }, 'monthRange is reversed'],
    ['month 13', { year: 2014, month: 13 }, 'monthRange has to lie in 1 … 12 (found [13,13])'],
    ['month 0', { year: 2014, month: 0 }, 'monthRange has to lie'],
    ['half a year', { year: 2014.5 }, 'yearRange has to lie'],
    ['a reversed range', { from: '2015', to: '2014' }, 'to has to come after from'],
    ['an empty range', { from: '2015', to: '2015' }, 'to has to come after from'],
    ['a day that is none', { from: '2015-02-30' }, 'from is not an absolute time'],
    ['a relative time', { from: '-30d' }, 'from is not an absolute time'],
    ['a month with from', { from: '2015', month: 2 }, 'month does not go with from and to'],
    ['no timeframes', { year: 2014, timeframes: [] }, 'timeframes is empty'],
  ]
  test.each(faults)('%s is refused', async (_name, query, message) => {
    const fault = await thrown(() => discover(root, { symbol: 'BTCUSDT', ...query }))
    expect([fault.name, fault.code]).toEqual(['ConfigError', 'loader.bad-range'])
    expect(fault.message).toContain(message)
  })

  test.each([
    ['no pattern', `2014/01/BTCUSDT.parquet`],
    ['two dots', `2014/01/BTCUSDT_1min_h0_2014_01_${HASH}.old.parquet`],
    ['month 13', `2014/01/BTCUSDT_1min_h0_2014_13_${HASH}.parquet`],
    ['another folder', `2014/01/BTCUSDT_1min_h0_2014_02_${HASH}.parquet`],
    ['a JSON twin too', `2014/01/BTCUSDT.json`],
  ])('a misnamed file is refused: %s', async (_name, path) => {
    const bad = rootWith(path)
    const fault = await thrown(() => discover(bad, { symbol: 'BTCUSDT', year: 2014 }))
    expect([fault.name, fault.code]).toEqual(['InvalidFilenameError', 'loader.bad-filename'])
    expect(fault.message).toContain(join(bad, path))
  })

  test('a twin stands for its month only where there is no Parquet file', async () => {
    const both = name('EURUSD', '1min', 2014, 1, `h15_Y_M_${HASH}.parquet`)
    const alone = name('EURUSD', '1min', 2014, 2, `h15_Y_M_${HASH}.json`)
    const folder = rootWith(both, both.replace('.parquet', '.json'), alone)
    const files = await discover(folder, { symbol: 'EURUSD', year: 2014 })
    expect(files.map((file) => [file.extension, file.twin !== undefined])).toEqual([
      ['parquet', true],
      ['json', false],
    ])
  })
})

describe('file names', () => {
  const naming = readLoaderConfig(writeConfig(scratch())).naming

  test('every part is read', () => {
    const file = readFileName(`/x/SYMBOL_1min_h15_2014_03_${HASH}.parquet`, naming)
    expect(file).toEqual({
      path: `/x/SYMBOL_1min_h15_2014_03_${HASH}.parquet`,
      symbol: 'SYMBOL',
      timeframe: '1m',
      timeframeToken: '1min',
      horizon: 15,
      year: 2014,
      month: 3,
      hash: HASH,
      extension: 'parquet',
    })
  })

  test('the foreign pattern, without names, is read as well', () => {
    const foreign = /([A-Z]+)_([0-9]+min)_h([0-9]+)_([0-9]{4})_([0-9]{2})_([a-f0-9]+)\.(parquet|json)$/
    expect(readFileName(`SYMBOL_1min_h15_2014_03_${HASH}.json`, foreign)).toMatchObject({
      horizon: 15,
      extension: 'json',
    })
  })

  test('keys differ where anything differs', () => {
    const names = [
      `A_1min_h0_2014_03_${HASH}.parquet`,
      `A_1h_h0_2014_03_${HASH}.parquet`,
      `A_1min_h15_2014_03_${HASH}.parquet`,
      `A_1min_h0_2014_04_${HASH}.parquet`,
      `A_1min_h0_2015_03_${HASH}.parquet`,
      `A_1min_h0_2014_03_${'0'.repeat(16)}.parquet`,
      `A-5f1min_1min_h0_2014_03_${HASH}.parquet`,
    ]
    const keys = names.map((file) => fileKey(readFileName(file, naming)))
    expect(new Set(keys).size).toBe(names.length)
    expect(keys[0]).toBe(`A_1min_h0_2014_03_${HASH}`)
  })
})
