import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { calendarOfMarket } from '../../src/coverage/calendars.ts'
import { type ExportOptions, exportDataset } from '../../src/loader/index.ts'
import { parseSeries, type Series } from '../../src/model/series.ts'
import { DAY_MS, type TimeRange } from '../../src/model/time.ts'
import { fixedWidthMs, floorToBar, parseTimeframe } from '../../src/model/timeframe.ts'
import { kiteAnchorOf } from '../../src/source/kite/intervals.ts'
import { readParquet } from '../consumers.ts'
import { makeLake, scratch } from '../loader-lake.ts'

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
