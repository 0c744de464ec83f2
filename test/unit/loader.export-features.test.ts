import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type ExportOptions, exportDataset, exportLocked, parseFeature } from '../../src/loader/index.ts'
import { parseSeries } from '../../src/model/series.ts'
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../src/model/time.ts'
import { openLake } from '../../src/store/parquet/open-lake.ts'
import { checkLong, readParquet } from '../consumers.ts'
import { madeBar, makeLake, scratch, thrown } from '../loader-lake.ts'
import { minutes } from '../support/bars.ts'

const FROM = Date.UTC(2024, 0, 31, 22)
const BTC = 'binance:spot:BTCUSDT:1m'
const HOLE = [100, 105] as const
const at = (i: number) => FROM + i * MINUTE_MS

/** 240 bars over the end of a month, five of them missing. */
async function lake(): Promise<string> {
  const root = scratch()
  await makeLake(root, BTC, FROM, 240, (i) => i >= HOLE[0] && i < HOLE[1])
  return root
}
const shared = lake()
const middle = { startMs: at(50), endMs: at(200) }

type Change = Partial<Omit<ExportOptions, 'series'>> & { readonly series?: string }

async function make(features: readonly string[], change: Change = {}) {
  const out = join(scratch(), 'out')
  const { series = BTC, ...rest } = change
  const manifest = await exportDataset({
    ...{ root: await shared, range: middle, format: 'long', require: 'any', ...rest },
    ...{ out, series: [parseSeries(series)], features: features.map(parseFeature) },
  })
  return { out, manifest, file: (name: string) => join(out, name) }
}

const ln = (i: number, before = i - 1) => Math.log(madeBar(i).close / madeBar(before).close)
const deviation = (values: readonly number[]) => {
  const mean = values.reduce((a, b) => a + b) / values.length
  return Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (values.length - 1))
}

describe('features as columns', () => {
  test('stand beside the target, look back to before the range and over a month’s end, and know no missing bar', async () => {
    const { file } = await make([
      'log-return',
      'volatility:close:3',
      'range=spread:high:low',
      'mean:volume:4',
      'lag:close:60',
    ])
    const names = ['close_log_return_1', 'close_volatility_3', 'range', 'volume_mean_4', 'close_lag_60']
    const { items } = await checkLong(file('long.parquet'), ['target', ...names])
    const rows = items.get(BTC)!
    expect(rows).toHaveLength(150)
    for (const [row, cells] of rows.entries()) {
      const i = 50 + row
      const known = (back: number) =>
        Array.from({ length: back + 1 }, (_, k) => i - k).every(
          (b) => b >= 0 && (b < HOLE[0] || b >= HOLE[1]),
        )
      const there = (bar: number) => bar >= 0 && (bar < HOLE[0] || bar >= HOLE[1])
      const volumes = [0, 1, 2, 3].map((k) => madeBar(i - k).volume)
      const expected = [
        there(i) ? madeBar(i).close : Number.NaN,
        known(1) ? ln(i) : Number.NaN,
        known(3) ? deviation([ln(i), ln(i - 1), ln(i - 2)]) : Number.NaN,
        there(i) ? 3 : Number.NaN,
        known(3) ? volumes.reduce((a, b) => a + b) / 4 : Number.NaN,
        there(i) && there(i - 60) ? madeBar(i - 60).close : Number.NaN,
      ]
      for (const [n, name] of ['target', ...names].entries())
        expect([i, name, cells[name]]).toEqual([
          i,
          name,
          Number.isNaN(expected[n]) ? Number.NaN : expect.closeTo(expected[n]!, 9),
        ])
    }
  })

  test('are made of stored values, never of filled ones, and are not filled', async () => {
    const { file, manifest } = await make(['log-return', 'mean:volume:2'], { fill: { policy: 'previous' } })
    const { items } = await checkLong(file('long.parquet'), ['target', 'close_log_return_1', 'volume_mean_2'])
    const hole = items.get(BTC)!.slice(HOLE[0] - 50, HOLE[1] - 50 + 1)
    expect(hole.map((row) => row.target)).toEqual([200, 200, 200, 200, 200, madeBar(105).close])
    expect(hole.map((row) => row.close_log_return_1)).toEqual(Array(6).fill(Number.NaN))
    expect(hole.map((row) => row.volume_mean_2)).toEqual(Array(6).fill(Number.NaN))
    expect(manifest.series[0]!.filled).toEqual({ close: 5 })
  })

  test('a target looks ahead: it is for csv, and knows nothing from the end of the range on', async () => {
    const { file } = await make(['target:close:3:log-return', 'close_now=lag:close:1'], { format: 'csv' })
    const lines = readFileSync(file('long.csv'), 'utf8').trim().split('\n')
    expect(lines[0]).toBe('item_id,timestamp,target,target_close_h3,close_now')
    const ahead = lines.slice(1).map((line) => line.split(',')[3]!)
    expect(Number(ahead[0])).toBeCloseTo(ln(53, 50), 9)
    expect(ahead.slice(-4).map((cell) => cell === '')).toEqual([false, true, true, true])
    const fault = await thrown(() => make(['target:close:3']))
    expect([fault.name, fault.code]).toEqual(['ConfigError', 'loader.bad-export'])
    expect(fault.message).toContain('target looks ahead')
    expect((await make(['target:close:3'], { layout: 'monthly' })).manifest.outputs).toHaveLength(2)
  })

  test.each([
    ['gluonts', {}],
    ['windows', { windows: { context_length: 5, prediction_length: 2 } }],
    ['future', { future: { prediction_length: 2 } }],
  ] as const)('%s has no room for them', async (format, more) => {
    const fault = await thrown(() => make(['log-return'], { format, ...more }))
    expect([fault.code, fault.message]).toEqual([
      'loader.bad-export',
      `features: ${format} has no room for columns beside the one to learn`,
    ])
  })

  test.each([
    ['log-return,log-return', 'two columns would have one name'],
    ['target=lag:close:1', 'two columns would have one name'],
    ['volume=lag:close:1', 'two columns would have one name'],
    ['lag:close:0', 'features.0.bars'],
    ['volatility:close:1', 'windows, lags and horizons are whole numbers from 2'],
    ['mean:price:3', 'features.0.column'],
  ])('%s is refused before anything is written', async (list, message) => {
    const fault = await thrown(() => make(list.split(',')))
    expect(fault.name).toBe('ConfigError')
    expect(fault.message).toContain(message)
  })

  test('are part of the definition, and the lock makes them again', async () => {
    const { manifest, file } = await make(['log-return'])
    expect(manifest.definition.features).toEqual([{ kind: 'log-return', column: 'close' }])
    expect((await make([])).manifest.definition).not.toHaveProperty('features')
    const out = join(scratch(), 'again')
    const again = await exportLocked({ root: await shared, out, lock: file('dataset.json') })
    expect(again.outputs).toEqual(manifest.outputs)
  })
})

describe('a feature as text', () => {
  test.each([
    ['return', { kind: 'return', column: 'close' }],
    ['log_returns', { kind: 'log-return', column: 'close' }],
    ['log_return:open:5', { kind: 'log-return', column: 'open', bars: 5 }],
    ['lag:close:3', { kind: 'lag', column: 'close', bars: 3 }],
    [' range = spread:high:low', { kind: 'spread', column: 'high', minus: 'low', name: 'range' }],
    ['std:volume:20', { kind: 'rolling', column: 'volume', statistic: 'std', window: 20 }],
    ['target:close:15', { kind: 'target', column: 'close', horizon: 15, of: 'value' }],
    ['target:close:15:return', { kind: 'target', column: 'close', horizon: 15, of: 'return' }],
  ])('%s', (text, feature) => {
    expect(parseFeature(text)).toEqual(feature)
  })

  test.each([
    '',
    'profit',
    'lag',
    'lag:close',
    'volatility:',
    'spread:high',
    'log-return:close:1:2',
    '=lag:close:1',
    'target:close:5:price',
  ])('"%s" is none', async (text) => {
    const fault = await thrown(() => parseFeature(text))
    expect([fault.code, fault.hint]).toEqual([
      'loader.bad-feature',
      expect.stringContaining('volatility:COLUMN:WINDOW'),
    ])
  })
})

describe('features of a market that closes', () => {
  const id = 'kite:nse:ABC:1m'
  const open = Date.UTC(2024, 0, 31, 3, 45)
  const session = (d: number) => ({ startMs: open + d * DAY_MS, endMs: open + d * DAY_MS + 6 * HOUR_MS })
  /** Of three days, the last one in another month. */
  const sessions = (_: unknown, range: { startMs: number; endMs: number }) =>
    [0, 1, 2].map(session).filter((one) => one.startMs < range.endMs && one.endMs > range.startMs)
  const days = { startMs: open + DAY_MS, endMs: open + 3 * DAY_MS }

  test('with the grid compact the bar before the opening bell is the last one of the session before', async () => {
    const root = scratch()
    await makeLake(root, id, open, 3 * 1440, (i) => i % 1440 >= 360 || i === 1445)
    const { file } = await make(['log-return', 'mean:volume:3'], {
      root,
      series: id,
      range: days,
      grid: 'compact',
      sessions,
    })
    const { items } = await checkLong(file('long.parquet'), ['target', 'close_log_return_1', 'volume_mean_3'])
    const rows = items.get(id)!
    expect(rows).toHaveLength(720)
    // The numbers of the bars by slot: 359 is the last one before the range.
    const bars = [0, 1, 2].flatMap((d) => Array.from({ length: 360 }, (_, i) => d * 1440 + i))
    const volume = (slot: number) => madeBar(bars[slot]!).volume
    for (const slot of [360, 361, 364, 368, 400, 719, 720, 721]) {
      const cells = rows[slot - 360]!
      const means = [slot, slot - 1, slot - 2].map(volume)
      expect([slot, cells.close_log_return_1]).toEqual([
        slot,
        expect.closeTo(ln(bars[slot]!, bars[slot - 1]!), 9),
      ])
      expect([slot, cells.volume_mean_3]).toEqual([
        slot,
        expect.closeTo(means.reduce((a, b) => a + b) / 3, 9),
      ])
    }
    // Bar 1445 is missing: nothing that needs it is known.
    expect([365, 366].map((slot) => rows[slot - 360]!.close_log_return_1)).toEqual([Number.NaN, Number.NaN])
    const { rows: map } = await readParquet(file('mapping.parquet'))
    expect(map[360]).toMatchObject({ open_time: new Date(open + 2 * DAY_MS) })
  })

  test('with the grid calendar the night is a hole', async () => {
    const root = scratch()
    await makeLake(root, id, open, 3 * 1440, (i) => i % 1440 >= 360)
    const { file } = await make(['log-return'], { root, series: id, range: days })
    const { items } = await checkLong(file('long.parquet'), ['target', 'close_log_return_1'])
    expect(
      items
        .get(id)!
        .slice(0, 2)
        .map((row) => row.close_log_return_1),
    ).toEqual([Number.NaN, expect.closeTo(ln(1441), 9)])
  })
})

describe('bars that no month file has yet', () => {
  test('are exported, and folding them changes neither files nor id', async () => {
    const root = scratch()
    const store = await openLake({ root })
    const series = parseSeries(BTC)
    await store.commit(series, minutes(100, { fromMs: FROM }))
    for (let i = 100; i < 130; i += 10)
      await store.append([{ series, batch: minutes(10, { fromMs: at(i) }) }])
    const range = { startMs: FROM, endMs: at(130) }
    const folded = store.foldedCopies.bind(store)
    const before = await make(['log-return'], { root, range, require: 'complete', folded })
    expect(before.manifest.series[0]).toMatchObject({ rows: 130, missing: 0, complete: true })
    // Without knowing of them they are missing, and said to be.
    expect((await thrown(() => make([], { root, range, require: 'complete' }))).code).toBe(
      'loader.incomplete',
    )
    expect((await store.deltaState()).rows).toBe(30)
    await store.compact()
    const after = await make(['log-return'], { root, range, require: 'complete', folded })
    await store[Symbol.asyncDispose]()
    expect(after.manifest).toEqual(before.manifest)
    const again = await exportLocked({
      root,
      out: join(scratch(), 'again'),
      lock: before.file('dataset.json'),
    })
    expect(again.outputs).toEqual(before.manifest.outputs)
  })
})
