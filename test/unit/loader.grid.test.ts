import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { calendarOfMarket } from '../../src/coverage/calendars.ts'
import { type ExportOptions, exportDataset, ParquetDataLoader } from '../../src/loader/index.ts'
import { intersect, subtract } from '../../src/model/range-set.ts'
import { parseSeries, type Series } from '../../src/model/series.ts'
import { DAY_MS, type TimeRange } from '../../src/model/time.ts'
import { fixedWidthMs, floorToBar, parseTimeframe } from '../../src/model/timeframe.ts'
import { kiteAnchorOf } from '../../src/source/kite/intervals.ts'
import { checkFuture, checkLong, readParquet } from '../consumers.ts'
import { makeLake, scratch, thrown, writeConfig } from '../loader-lake.ts'

type Change = Partial<Omit<ExportOptions, 'series'>> & { readonly root: string; readonly id: string }

async function make({ id, ...change }: Change) {
  const out = join(scratch(), 'out')
  const manifest = await exportDataset({
    ...{ range: between('2024-01-01', '2024-02-01'), format: 'long', require: 'any', ...change },
    ...{ out, series: [parseSeries(id)] },
  } as ExportOptions)
  return { manifest, file: (name: string) => join(out, name) }
}

const between = (from: string, to: string): TimeRange => ({
  startMs: Date.parse(from),
  endMs: Date.parse(to),
})
/** Midnight in India. */
const ist = (day: string) => Date.parse(`${day}T00:00:00+05:30`)
const millis = (value: unknown) => (value as Date).getTime()

/** The sessions of the Indian stock exchanges, as the command line hands them to an export. */
const sessions = ({ timeframe }: Series, range: TimeRange) =>
  calendarOfMarket('nse')!.openSlots({ timeframe, anchorMs: kiteAnchorOf(timeframe) }, range)

/** A lake as Kite fills it, of January 2024 unless said: a bar in every slot in which the exchange is open. */
async function kiteLake(timeframe: string, from = '2024-01-01', to = '2024-02-01') {
  const root = scratch()
  const id = `kite:nse:RELIANCE:${timeframe}`
  const series = parseSeries(id)
  const width = fixedWidthMs(parseTimeframe(timeframe))!
  const firstMs = floorToBar(series.timeframe, ist(from), kiteAnchorOf(timeframe))
  const open = sessions(series, { startMs: ist(from), endMs: ist(to) })
  const isOpen = (ms: number) => open.some(({ startMs, endMs }) => ms >= startMs && ms < endMs)
  await makeLake(root, id, firstMs, (ist(to) - firstMs) / width, (i) => !isOpen(firstMs + i * width))
  return { root, id, sessions }
}

describe('the parts of windows over nights, weekends and holidays', () => {
  test('on the grid compact are told by the real times, though the ones written are made up', async () => {
    const { file } = await make({
      ...(await kiteLake('15m')),
      format: 'windows',
      grid: 'compact',
      windows: {
        ...{ context_length: 20, prediction_length: 5, embargo_bars: 30 },
        ...{ validation_from: '2024-01-15T00:00:00Z', test_from: '2024-01-22T00:00:00Z' },
      },
    })
    const { rows: map } = await readParquet(file('mapping.parquet'))
    const opens = map.map((row) => millis(row.open_time))
    const places = new Map(map.map((row, i) => [millis(row.timestamp), i]))
    const { rows } = await readParquet(file('windows.parquet'))
    expect(rows).toHaveLength(map.length - 24)
    // Bars are counted from the first one of a part, whatever nights lie between.
    const [validation, part] = ['2024-01-15', '2024-01-22'].map((day) =>
      opens.findIndex((ms) => ms >= Date.parse(day)),
    ) as [number, number]
    for (const row of rows) {
      const cutoff = places.get(millis(row.cutoff))!
      const last = cutoff + 4
      const expected =
        last < validation
          ? 'train'
          : cutoff >= part + 30
            ? 'test'
            : cutoff >= validation + 30 && last < part
              ? 'validation'
              : 'embargo'
      expect([cutoff, row.split]).toEqual([cutoff, expected])
    }
  })

  test('on business days the embargo counts days of the grid', async () => {
    const root = scratch()
    const id = 'binance:spot:BTCUSDT:1d'
    await makeLake(root, id, Date.UTC(2024, 0, 1), 60, (i) => [5, 6].includes(i % 7))
    const { file } = await make({
      ...{ root, id, format: 'windows', grid: 'business-days', range: between('2024-01-01', '2024-03-01') },
      windows: {
        ...{ context_length: 5, prediction_length: 1 },
        ...{ validation_from: '2024-02-01T00:00:00Z', embargo_bars: 5 },
      },
    })
    const { rows } = await readParquet(file('windows.parquet'))
    const days = (split: string) =>
      rows.filter((row) => row.split === split).map((row) => (row.cutoff as Date).toISOString().slice(5, 10))
    expect(days('embargo')).toEqual(['02-01', '02-02', '02-05', '02-06', '02-07'])
    expect([days('train').at(-1), days('validation')[0]]).toEqual(['01-31', '02-08'])
  })

  test('a series listed after the start of a part waits for what is left of the embargo only', async () => {
    const root = scratch()
    const id = 'binance:spot:BTCUSDT:1d'
    await makeLake(root, id, Date.UTC(2024, 0, 10), 20)
    const { file } = await make({
      ...{ root, id, format: 'windows', range: between('2024-01-01', '2024-01-30') },
      windows: {
        ...{ context_length: 1, prediction_length: 1 },
        ...{ validation_from: '2024-01-08T00:00:00Z', embargo_bars: 5 },
      },
    })
    const { rows } = await readParquet(file('windows.parquet'))
    expect(rows.map((row) => [millis(row.cutoff), row.split])).toEqual(
      Array.from({ length: 19 }, (_, i) => {
        const ms = Date.UTC(2024, 0, 11) + i * DAY_MS
        return [ms, ms < Date.UTC(2024, 0, 13) ? 'embargo' : 'validation']
      }),
    )
  })
})

describe('grids of a market whose bars are not counted from midnight UTC', () => {
  /** 22 days of trading, one of them a Saturday, which has no row among business days. */
  const january = { range: { startMs: ist('2024-01-01'), endMs: ist('2024-02-01') } }

  test.each([
    ['1d', 'calendar', { rows: 31, missing: 9, off_grid: 0 }],
    ['1d', 'business-days', { rows: 23, missing: 2, off_grid: 1 }],
    ['1h', 'calendar', undefined],
    ['30m', 'calendar', undefined],
  ] as const)('%s bars on %s are all there', async (timeframe, grid, expected) => {
    const { root, id } = await kiteLake(timeframe)
    const { manifest, file } = await make({ root, id, grid, ...january })
    const { items, frequency } = await checkLong(file('long.parquet'))
    const known = items.get(id)!.filter((row) => !Number.isNaN(row.target))
    const perDay = { '1d': 1, '1h': 7, '30m': 13 }[timeframe]
    const [{ rows, missing, off_grid }] = manifest.series as [(typeof manifest.series)[0]]
    expect([rows - missing, known.length % perDay]).toEqual([known.length, 0])
    expect({ rows, missing, off_grid }).toEqual(expected ?? { rows, missing, off_grid: 0 })
    expect(frequency).toBe(grid === 'calendar' ? fixedWidthMs(parseTimeframe(timeframe)) : 'B')
  })

  test('rows of business days have the dates of the market, mapped back to the real times', async () => {
    const { root, id } = await kiteLake('1d')
    const change = { root, id, grid: 'business-days' as const, ...january }
    const { manifest, file } = await make(change)
    const long = await checkLong(file('long.parquet'))
    const rows = long.items.get(id)!
    const { rows: map } = await readParquet(file('mapping.parquet'))
    expect(map[0]).toEqual({
      ...{ item_id: id, timestamp: new Date('2024-01-01'), open_time: new Date('2023-12-31T18:30:00Z') },
    })
    expect(map.map((row) => millis(row.timestamp))).toEqual(rows.map((row) => millis(row.timestamp)))
    expect(
      map.every((row) => ist((row.timestamp as Date).toISOString().slice(0, 10)) === millis(row.open_time)),
    ).toBe(true)
    // Republic Day, a Friday.
    expect(rows.find((row) => millis(row.timestamp) === Date.UTC(2024, 0, 26))!.target).toBeNaN()
    expect(manifest.series[0]).toMatchObject({ first: '2024-01-01T00:00:00Z', last: '2024-01-31T00:00:00Z' })
    const future = await make({ ...change, format: 'future', future: { prediction_length: 3 } })
    const items = await checkFuture(future.file('future.parquet'), long, 3)
    expect(items.get(id)!.map((row) => millis(row.timestamp))).toEqual(
      [1, 2, 5].map((day) => Date.UTC(2024, 1, day)),
    )
  })

  test('is the one of most bars, so that a first bar off the grid is the only one left out', async () => {
    const root = scratch()
    const id = 'binance:spot:BTCUSDT:1h'
    await makeLake(root, id, Date.UTC(2023, 11, 31, 23, 53), 1)
    await makeLake(root, id, Date.UTC(2024, 0, 1), 48)
    const { manifest } = await make({ root, id, range: between('2023-12-31', '2024-01-03') })
    expect(manifest.series[0]).toMatchObject({ rows: 48, missing: 0, off_grid: 1 })
  })

  const load = async (root: string, query: { from: string; to: string; require?: 'complete' }) => {
    const loader = new ParquetDataLoader(writeConfig(join(root, 'lake', 'kite')))
    try {
      return await loader.loadTrainingData({ symbol: 'RELIANCE', ...query })
    } finally {
      await loader.close()
    }
  }

  test('the quality of its files is judged by the same grid', async () => {
    const { root } = await kiteLake('1d')
    const { findings } = await load(root, { from: '2024-01', to: '2024-02' })
    expect(findings.map(({ kind, count }) => [kind, count])).toEqual([['missing', 9]])
  })

  test('nothing is missing where every hour is there, and what is missing is told', async () => {
    const whole = scratch()
    const firstMs = Date.parse('2024-01-01T00:15+05:30')
    await makeLake(whole, 'kite:nse:RELIANCE:1h', firstMs, 48)
    const query = { from: '2023-12-31T18:30Z', to: '2024-01-02T18:30Z', require: 'complete' as const }
    expect((await load(whole, query)).files).toHaveLength(2)
    const holed = scratch()
    await makeLake(holed, 'kite:nse:RELIANCE:1h', firstMs, 48, (i) => i === 30)
    const fault = await thrown(() => load(holed, query))
    expect(fault.message).toContain('1 unknown; first from 2024-01-02T00:45:00Z to 2024-01-02T01:45:00Z')
  })
})

describe('a range that begins within a session of the grid compact', () => {
  const cut: typeof sessions = (series, range) => {
    const early = { startMs: range.startMs - 3 * DAY_MS, endMs: range.endMs }
    return intersect([range], sessions(series, early))
  }
  test.each([
    ['a day, from midnight UTC', '1d', sessions, '2024-01-02T00:00Z', 20, '2024-01-02T18:30Z'],
    ['an hour', '1h', sessions, '2024-01-30T09:30+05:30', 13, '2024-01-30T10:15+05:30'],
    [
      'an hour, by sessions cut to the range',
      '1h',
      cut,
      '2024-01-30T09:30+05:30',
      13,
      '2024-01-30T10:15+05:30',
    ],
  ] as const)('keeps every bar after it: %s', async (_name, timeframe, open, from, rows, first) => {
    const { root, id } = await kiteLake(timeframe)
    const range = between(from, '2024-01-31T18:30Z')
    const features = [{ kind: 'lag', column: 'close', bars: 2 } as const]
    for (const more of [{}, { features }]) {
      const { manifest, file } = await make({ root, id, range, grid: 'compact', sessions: open, ...more })
      expect(manifest.series[0]).toMatchObject({ rows, missing: 0, off_grid: 0 })
      const { rows: map } = await readParquet(file('mapping.parquet'))
      expect(map[0]!.open_time).toEqual(new Date(first))
      if (!('features' in more)) continue
      const long = (await readParquet(file('long.parquet'))).rows
      expect(long.slice(2).map((row) => row.close_lag_2)).toEqual(long.slice(0, -2).map((row) => row.target))
      expect(long[0]!.close_lag_2).not.toBeNaN()
    }
  })

  test('so does one within a bar of a market that never closes', async () => {
    const root = scratch()
    const id = 'binance:spot:BTCUSDT:1h'
    await makeLake(root, id, Date.UTC(2024, 0, 1), 48)
    const range = between('2024-01-01T09:30Z', '2024-01-02T09:30Z')
    const { manifest } = await make({ root, id, range, grid: 'compact', sessions: (_, asked) => [asked] })
    expect(manifest.series[0]).toMatchObject({
      rows: 24,
      missing: 0,
      off_grid: 0,
      first: '2024-01-01T10:00:00Z',
    })
  })
})

describe('features over the sessions of the grid compact', () => {
  test('a target is known up to the end of the range, at the end of a month and over a holiday too', async () => {
    const { root, id } = await kiteLake('15m', '2024-01-22', '2024-02-10')
    const { file } = await make({
      ...{ root, id, sessions, format: 'csv', grid: 'compact', range: between('2024-01-22', '2024-02-10') },
      features: [{ kind: 'target', column: 'close', horizon: 3 }],
    })
    const cells = readFileSync(file('long.csv'), 'utf8')
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => line.split(','))
    expect(cells.slice(0, -3).map((line) => line[3])).toEqual(cells.slice(3).map((line) => line[2]))
    expect(cells.slice(-3).map((line) => line[3])).toEqual(['', '', ''])
  })

  test('sessions that they look back over are part of the data set’s id', async () => {
    const { root, id } = await kiteLake('15m', '2024-01-15', '2024-01-20')
    const range = { startMs: ist('2024-01-17'), endMs: ist('2024-01-19') }
    const common = { root, id, grid: 'compact' as const, range }
    const features = [{ kind: 'lag', column: 'close', bars: 3 } as const]
    // As corrected calendars have them, which close a day before the range.
    const closing =
      (day: string): typeof sessions =>
      (series, asked) =>
        subtract(sessions(series, asked), [{ startMs: ist(day), endMs: ist(day) + DAY_MS }])
    const idOf = async (change: Partial<Change>) => (await make({ ...common, ...change })).manifest.id
    const one = await idOf({ sessions, features })
    expect(await idOf({ sessions: closing('2024-01-16'), features })).not.toBe(one)
    expect(await idOf({ sessions: closing('2024-01-12'), features })).toBe(one)
    expect(await idOf({ sessions: closing('2024-01-16') })).toBe(await idOf({ sessions }))
  })
})
