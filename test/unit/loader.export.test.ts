import { execFile } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { type ExportOptions, exportDataset, exportLocked, ParquetDataLoader } from '../../src/loader/index.ts'
import { ArrowSink } from '../../src/loader/write/arrow-sink.ts'
import type { EverybarEvent } from '../../src/model/events.ts'
import { parseSeries } from '../../src/model/series.ts'
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../../src/model/time.ts'
import { checkFuture, checkLong, readGluonts, readParquet } from '../consumers.ts'
import { madeBar, makeLake, scratch, thrown, writeConfig } from '../loader-lake.ts'
import { inPython, noPython } from '../python.ts'

const FROM = Date.UTC(2024, 0, 31, 22)
const BTC = 'binance:spot:BTCUSDT:1m'
const ETH = 'binance:spot:ETHUSDT:1m'
const HOURS = 'binance:spot:BTCUSDT:1h'
const BARS = 240
const range = { startMs: FROM, endMs: FROM + BARS * MINUTE_MS }
const HOLE = [100, 105] as const

/** BTC with five bars missing, ETH whole but listed an hour later. */
async function lake(): Promise<string> {
  const root = scratch()
  await makeLake(root, BTC, FROM, BARS, (i) => i >= HOLE[0] && i < HOLE[1])
  await makeLake(root, ETH, FROM + HOUR_MS, BARS - 60)
  return root
}
const shared = lake()

type Change = Partial<Omit<ExportOptions, 'series'>> & { readonly series?: readonly string[] }

async function make(change: Change = {}, root?: string) {
  const out = change.out ?? join(scratch(), 'out')
  const series = (change.series ?? [BTC, ETH]).map(parseSeries)
  const manifest = await exportDataset({
    ...{ root: root ?? (await shared), range, format: 'long', require: 'any', ...change },
    ...{ out, series },
  })
  return { out, manifest, file: (name: string) => join(out, name) }
}

const at = (i: number) => new Date(FROM + i * MINUTE_MS)

describe('long frames', () => {
  test('are the whole grid, sorted, with NaN for what is missing and nothing before the listing', async () => {
    const { file, manifest } = await make()
    const { items, frequency } = await checkLong(file('long.parquet'))
    expect(frequency).toBe(MINUTE_MS)
    const btc = items.get(BTC)!
    expect(btc).toHaveLength(BARS)
    btc.forEach((row, i) => {
      const target = i >= HOLE[0] && i < HOLE[1] ? Number.NaN : madeBar(i).close
      expect(row).toEqual({ item_id: BTC, timestamp: at(i), target })
    })
    expect([items.get(ETH)!.length, items.get(ETH)![0]!.timestamp]).toEqual([BARS - 60, at(60)])
    expect(
      manifest.series.map(({ rows, missing, gaps, complete }) => ({ rows, missing, gaps, complete })),
    ).toEqual([
      { rows: BARS, missing: 5, gaps: { unknown: 5 }, complete: false },
      { rows: BARS - 60, missing: 0, gaps: { unknown: 60 }, complete: false },
    ])
  })

  test('several columns keep their names', async () => {
    const columns = ['open', 'high', 'low', 'close', 'volume']
    const { file } = await make({ columns })
    const { items } = await checkLong(file('long.parquet'), columns)
    expect(items.get(BTC)![7]).toEqual({ item_id: BTC, timestamp: at(7), ...madeBar(7) })
  })

  test('rows before the listing are kept where asked for', async () => {
    const { file } = await make({ leading: 'keep' })
    const { items } = await checkLong(file('long.parquet'))
    expect(
      items
        .get(ETH)!
        .slice(59, 61)
        .map((row) => row.target),
    ).toEqual([Number.NaN, madeBar(0).close])
  })

  test('a monthly layout has the names of the loader, which loads it', async () => {
    const { out, manifest } = await make({ layout: 'monthly', series: [BTC] })
    expect(manifest.outputs.map((file) => file.path.replace(manifest.definition_hash, 'HASH'))).toEqual([
      '2024/01/BTCUSDT_1min_h0_2024_01_HASH.parquet',
      '2024/02/BTCUSDT_1min_h0_2024_02_HASH.parquet',
    ])
    for (const { path } of manifest.outputs) await checkLong(join(out, path))
    const config = writeConfig(out, (s) => {
      s.schema = {
        datetime_column: 'timestamp',
        target_columns: ['target'],
        feature_columns: {},
        timestamp_columns: [],
      }
    })
    const loader = new ParquetDataLoader(config)
    const { train, findings } = await loader.loadTrainingData({ symbol: 'BTCUSDT', year: 2024 })
    await loader.close()
    expect([train.length, train.columns.target![1]]).toEqual([192, madeBar(1).close])
    expect(findings.map(({ kind, count }) => [kind, count])).toEqual([['null', HOLE[1] - HOLE[0]]])
  })

  test('a monthly layout has files of their own for bars of two widths', async () => {
    const root = await lake()
    await makeLake(root, HOURS, FROM, 4)
    const { manifest } = await make({ layout: 'monthly', series: [BTC, HOURS] }, root)
    expect(manifest.outputs.map(({ path, rows }) => [path.split('_h0')[0], rows])).toEqual([
      ['2024/01/BTCUSDT_1h', 2],
      ['2024/01/BTCUSDT_1min', 120],
      ['2024/02/BTCUSDT_1h', 2],
      ['2024/02/BTCUSDT_1min', 120],
    ])
  })

  test('two markets of one symbol do not share a month file', async () => {
    const root = await lake()
    await makeLake(root, 'binance:um:BTCUSDT:1m', FROM, BARS)
    const fault = await thrown(() =>
      make({ layout: 'monthly', series: [BTC, 'binance:um:BTCUSDT:1m'] }, root),
    )
    expect(fault.code).toBe('loader.bad-export')
  })
})

describe('fill policies', () => {
  const hole = async (file: string, columns: string[]) =>
    (await checkLong(file, columns)).items.get(BTC)!.slice(HOLE[0] - 1, HOLE[1] + 1)

  test('previous: the close before, no volume, each run in the sidecar, the lake untouched', async () => {
    const root = await lake()
    const before = readFileSync((await make({ series: [BTC] }, root)).file('dataset.json'), 'utf8')
    const columns = ['open', 'close', 'volume']
    const { file, manifest } = await make({ columns, fill: { policy: 'previous' } }, root)
    const rows = await hole(file('long.parquet'), columns)
    const last = madeBar(HOLE[0] - 1)
    expect(rows[0]).toMatchObject({ open: last.open, close: last.close, volume: last.volume })
    for (const row of rows.slice(1, 6))
      expect(row).toMatchObject({ open: last.close, close: last.close, volume: 0 })
    expect(rows[6]).toMatchObject(madeBarOf(HOLE[1], columns))
    const { rows: fills } = await readParquet(file('fills.parquet'))
    const run = { item_id: BTC, start: at(HOLE[0]), last: at(HOLE[1] - 1), bars: 5n, policy: 'previous' }
    expect(fills).toEqual(columns.map((column) => ({ ...run, column })))
    expect(manifest.series[0]!.filled).toEqual({ open: 5, close: 5, volume: 5 })
    expect(readFileSync((await make({ series: [BTC] }, root)).file('dataset.json'), 'utf8')).toBe(before)
  })

  test('linear: on the line, up to a run', async () => {
    const { file } = await make({ columns: ['close', 'volume'], fill: { policy: 'linear', run_max: 5 } })
    const rows = await hole(file('long.parquet'), ['close', 'volume'])
    rows.slice(1, 6).forEach((row, i) => {
      expect(row.close).toBeCloseTo(madeBar(HOLE[0] + i).close, 9)
      expect(row.volume).toBe(0)
    })
  })

  test('linear leaves a longer run whole', async () => {
    const { file, manifest } = await make({ fill: { policy: 'linear', run_max: 4 } })
    expect((await hole(file('long.parquet'), ['target'])).slice(1, 6).map((row) => row.target)).toEqual(
      Array.from({ length: 5 }, () => Number.NaN),
    )
    expect(existsSync(file('fills.parquet'))).toBe(false)
    expect(manifest.series[0]!.filled).toEqual({})
  })

  test('none refuses a hole where it is, and leaves nothing', async () => {
    const out = join(scratch(), 'out')
    const fault = await thrown(() => make({ out, fill: { policy: 'none' } }))
    expect([fault.name, fault.code]).toEqual(['DataQualityError', 'loader.irregular'])
    expect(fault.message).toContain(`${BTC} has no bar at 2024-01-31T23:40:00Z`)
    expect(readdirSync(out).filter((name) => !name.startsWith('.everybar-export'))).toEqual([])
  })
})

const madeBarOf = (i: number, columns: readonly string[]) =>
  Object.fromEntries(Object.entries(madeBar(i)).filter(([name]) => columns.includes(name)))

describe('CSV', () => {
  test.each([
    ['nan', BARS, '2024-01-31 23:40:00,\n'],
    ['none', BARS - 5, '2024-01-31 23:45:00,206.0\n'],
  ] as const)('with %s has a row a bar and empty cells', async (policy, rows, line) => {
    const { file } = await make({ format: 'csv', series: [BTC], fill: { policy } })
    const text = readFileSync(file('long.csv'), 'utf8')
    expect(text.startsWith(`item_id,timestamp,target\n${BTC},2024-01-31 22:00:00,101.0\n`)).toBe(true)
    expect(text).toContain(`${BTC},${line}`)
    expect(text.trimEnd().split('\n')).toHaveLength(rows + 1)
  })
})

describe('GluonTS shards', () => {
  const gluonts = { min_past: 5, prediction_length: 10, context_length: 5 }

  test('one row a series, NaN for what is missing, types as Arrow numbers them', async () => {
    const { file, manifest } = await make({ format: 'gluonts', gluonts })
    const { schema, rows } = readGluonts(file('shard-0.arrow'))
    expect(schema).toEqual(['start:10', 'target:12', 'item_id:5'])
    expect(rows.map((row) => [row.item_id, row.start, row.target.length])).toEqual([
      [BTC, FROM, BARS],
      [ETH, FROM + HOUR_MS, BARS - 60],
    ])
    expect([...rows[0]!.target.slice(99, 106)]).toEqual([
      200,
      ...Array.from({ length: 5 }, () => Number.NaN),
      206,
    ])
    expect(manifest.outputs.map((output) => output.path)).toEqual(['shard-0.arrow', 'train.yaml'])
  })

  test('shards hold about as many bars each, and train.yaml lists every one', async () => {
    const { file } = await make({ format: 'gluonts', gluonts: { ...gluonts, shards: 3 } })
    const settings = parse(readFileSync(file('train.yaml'), 'utf8')) as Record<string, unknown>
    expect(settings.training_data_paths).toEqual(['shard-0.arrow', 'shard-1.arrow', 'shard-2.arrow'])
    expect(settings).toMatchObject({ context_length: 5, prediction_length: 10, min_past: 5 })
    const shards = (settings.training_data_paths as string[]).map((name) => readGluonts(file(name)).rows)
    const bars = shards.map((rows) => rows.reduce((sum, row) => sum + row.target.length, 0))
    expect(bars.reduce((a, b) => a + b)).toBe(BARS + BARS - 60)
    expect(Math.max(...bars) - Math.min(...bars)).toBeLessThanOrEqual(35)
    const share = settings.probability as number[]
    expect(share.reduce((a, b) => a + b)).toBeCloseTo(1, 12)
    expect(share[0]! * (BARS + BARS - 60)).toBeCloseTo(bars[0]!, 6)
    const all = shards
      .flat()
      .filter((row) => row.item_id === ETH)
      .sort((a, b) => a.start - b.start)
    expect(all.flatMap((row) => [...row.target])).toEqual(
      Array.from({ length: 180 }, (_, i) => madeBar(i).close),
    )
  })

  test('contiguous rows end where a value is missing', async () => {
    const { file } = await make({
      format: 'gluonts',
      series: [BTC],
      gluonts: { ...gluonts, segments: 'contiguous' },
    })
    const { rows } = readGluonts(file('shard-0.arrow'))
    expect(rows.map((row) => [row.start, row.target.length])).toEqual([
      [FROM, 100],
      [FROM + 105 * MINUTE_MS, 135],
    ])
  })

  test('rows the trainer would pass over are said, and none but such is an error', async () => {
    const { manifest } = await make({ format: 'gluonts', gluonts: { min_past: 170, prediction_length: 20 } })
    expect(manifest.warnings).toEqual(['1 rows are shorter than 190 bars; the trainer passes over them'])
    const fault = await thrown(() => make({ format: 'gluonts', gluonts: { min_past: 300 } }))
    expect([fault.name, fault.code]).toEqual(['DataQualityError', 'loader.too-short'])
  })
})

describe('windows', () => {
  const windows = {
    context_length: 100,
    prediction_length: 10,
    embargo_bars: 5,
    validation_from: '2024-02-01T00:30:00Z',
  }

  test('are an index with what is missing, and parts that share nothing predicted', async () => {
    const { file } = await make({ format: 'windows', series: [BTC], windows })
    const { rows } = await readParquet(file('windows.parquet'))
    expect(rows).toHaveLength(BARS - 109)
    expect(rows[0]).toEqual({
      ...{ item_id: BTC, cutoff: at(100), context_start: at(0), context_complete: true },
      ...{ n_missing: 0n, n_missing_ahead: 5n, split: 'train' },
    })
    expect(rows[50]).toMatchObject({
      cutoff: at(150),
      context_complete: false,
      n_missing: 5n,
      n_missing_ahead: 0n,
    })
    const border = Date.parse(windows.validation_from)
    for (const { cutoff, split } of rows) {
      const first = (cutoff as Date).getTime()
      const last = first + 9 * MINUTE_MS
      const expected = last < border ? 'train' : first >= border + 5 * MINUTE_MS ? 'validation' : 'embargo'
      expect(split).toBe(expected)
    }
  })

  test('a stride and a third part', async () => {
    const test_from = '2024-02-01T01:00:00Z'
    const { file } = await make({
      format: 'windows',
      series: [BTC],
      windows: { ...windows, stride: 7, test_from },
    })
    const { rows } = await readParquet(file('windows.parquet'))
    expect(rows.map((row) => row.cutoff)).toEqual(Array.from({ length: 19 }, (_, i) => at(100 + 7 * i)))
    expect(new Set(rows.map((row) => row.split))).toEqual(new Set(['train', 'embargo', 'validation', 'test']))
  })
})

describe('future frames', () => {
  test.each(['calendar', 'business-days'] as const)('go on where the long frame ends: %s', async (grid) => {
    const root = scratch()
    const id = 'kite:nse:ABC:1d'
    const monday = Date.UTC(2024, 0, 1)
    await makeLake(root, id, monday, 28, (i) => [5, 6].includes(i % 7) || i === 9)
    const change = { grid, series: [id], range: { startMs: monday, endMs: monday + 26 * DAY_MS } }
    const long = await checkLong((await make(change, root)).file('long.parquet'))
    expect(long.frequency).toBe(grid === 'calendar' ? DAY_MS : 'B')
    const holiday = long.items
      .get(id)!
      .find((row) => (row.timestamp as Date).getTime() === monday + 9 * DAY_MS)
    expect(holiday?.target).toBeNaN()
    const { file } = await make({ ...change, format: 'future', future: { prediction_length: 5 } }, root)
    await checkFuture(file('future.parquet'), long, 5)
  })
})

describe('markets that close', () => {
  const id = 'kite:nse:ABC:1m'
  const open = Date.UTC(2024, 0, 2, 3, 45)
  const sessions = () =>
    [0, 1, 2].map((d) => ({ startMs: open + d * DAY_MS, endMs: open + d * DAY_MS + 6 * HOUR_MS }))
  const days = { startMs: Date.UTC(2024, 0, 2), endMs: Date.UTC(2024, 0, 5) }

  async function sessionLake() {
    const root = scratch()
    await makeLake(root, id, open, 3 * 1440, (i) => i % 1440 >= 360 || i === 1445)
    return root
  }

  test('compact: session bars only, on regular times, with a mapping back', async () => {
    const root = await sessionLake()
    const { file, manifest } = await make({ grid: 'compact', sessions, series: [id], range: days }, root)
    const { items } = await checkLong(file('long.parquet'))
    const rows = items.get(id)!
    expect(rows).toHaveLength(3 * 360)
    const { rows: map } = await readParquet(file('mapping.parquet'))
    expect(map.map((row) => (row.timestamp as Date).getTime())).toEqual(
      rows.map((row) => (row.timestamp as Date).getTime()),
    )
    expect(map[360]).toMatchObject({ item_id: id, open_time: new Date(open + DAY_MS) })
    expect([rows[359]!.target, rows[360]!.target, rows[365]!.target]).toEqual([
      madeBar(359).close,
      madeBar(1440).close,
      Number.NaN,
    ])
    expect(manifest.series[0]).toMatchObject({ missing: 1, gaps: { unknown: 1 } })
  })

  test('compact without a calendar is refused', async () => {
    const root = await sessionLake()
    const fault = await thrown(() => make({ grid: 'compact', series: [id], range: days }, root))
    expect([fault.name, fault.code]).toEqual(['ConfigError', 'loader.bad-grid'])
  })

  test('other sessions are another data set', async () => {
    const root = await sessionLake()
    const change = { grid: 'compact' as const, series: [id], range: days }
    const shorter = () => sessions().map(({ startMs }) => ({ startMs, endMs: startMs + HOUR_MS }))
    const first = await make({ ...change, sessions }, root)
    const second = await make({ ...change, sessions: shorter }, root)
    expect(second.manifest.id).not.toBe(first.manifest.id)
  })
})

describe('completeness', () => {
  test('is demanded unless told otherwise', async () => {
    const fault = await thrown(() => make({ require: 'complete', series: [BTC] }))
    expect([fault.name, fault.code]).toEqual(['DataQualityError', 'loader.incomplete'])
    expect(fault.message).toContain('5 unknown; first from 2024-01-31T23:40:00Z to 2024-01-31T23:45:00Z')
  })

  test('is what the coverage says, whose classes stand in the manifest', async () => {
    const run = {
      class: 'venue_outage',
      range: { startMs: FROM + 100 * MINUTE_MS, endMs: FROM + 105 * MINUTE_MS },
      bars: 5,
    }
    const { manifest } = await make({ require: 'complete', series: [BTC], coverage: async () => [run] })
    expect(manifest.series[0]).toMatchObject({ missing: 5, gaps: { venue_outage: 5 }, complete: true })
  })
})

describe('the data set’s lock', () => {
  const files = (out: string) =>
    Object.fromEntries(
      readdirSync(out, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile() && !entry.name.startsWith('.'))
        .map((entry) => [entry.name, readFileSync(join(entry.parentPath, entry.name)).toString('base64')]),
    )

  const formats: [string, Change][] = [
    ['long', { columns: ['close', 'volume'], fill: { policy: 'previous' } }],
    [
      'gluonts',
      { format: 'gluonts', gluonts: { shards: 2, prediction_length: 4, context_length: 10, min_past: 4 } },
    ],
    ['windows', { format: 'windows', windows: { context_length: 20, prediction_length: 4 } }],
    ['csv', { format: 'csv' }],
  ]
  test.each(formats)('the same definition gives the same bytes and id: %s', async (_name, change) => {
    const root = await lake()
    const first = await make(change, root)
    const second = await make({ ...change, series: [ETH, BTC, ETH] }, root)
    expect(files(second.out)).toEqual(files(first.out))
    const out = join(scratch(), 'again')
    const locked = await exportLocked({ root, out, lock: first.file('dataset.json') })
    expect(locked.id).toBe(first.manifest.id)
    expect(files(out)).toEqual(files(first.out))
  })

  test('what has changed since is named, and nothing is left', async () => {
    const root = await lake()
    const { file } = await make({ series: [BTC] }, root)
    await makeLake(root, BTC, FROM, BARS)
    const out = join(scratch(), 'again')
    const fault = await thrown(() => exportLocked({ root, out, lock: file('dataset.json') }))
    expect([fault.name, fault.code]).toEqual(['DataQualityError', 'loader.lock-changed'])
    expect(fault.message).toMatch(/input lake\/binance\/2024\/01\/BTCUSDT_\S+ has changed/)
    expect(fault.message).toContain('output long.parquet has changed')
    expect(readdirSync(out).filter((name) => !name.startsWith('.'))).toEqual([])
  })

  test.each([
    ['no file', undefined],
    ['no JSON', '{'],
    ['another JSON', '{"everybar": 2}'],
  ])('%s is no lock', async (_name, text) => {
    const lock = join(scratch(), 'dataset.json')
    if (text) writeFileSync(lock, text)
    const fault = await thrown(async () =>
      exportLocked({ root: await shared, out: join(scratch(), 'x'), lock }),
    )
    expect([fault.name, fault.code]).toEqual(['ConfigError', 'loader.bad-lock'])
  })
})

describe('when it goes wrong', () => {
  const visible = (out: string) => readdirSync(out).filter((name) => !name.startsWith('.'))

  const bad: [string, Change, string][] = [
    ['an unknown column', { columns: ['mid'] }, 'columns.0'],
    ['no columns', { columns: [] }, 'columns'],
    ['windows without lengths', { format: 'windows' }, 'windows: needs context_length'],
    ['future without a length', { format: 'future' }, 'future: needs prediction_length'],
    ['two columns for GluonTS', { format: 'gluonts', columns: ['open', 'close'] }, 'gluonts takes one'],
    ['linear without a run', { fill: { policy: 'linear' } }, 'fill.run_max: linear needs one'],
    ['a run of nothing', { fill: { policy: 'nan', run_max: 3 } }, 'fill.run_max: means nothing with nan'],
    ['monthly CSV', { format: 'csv', layout: 'monthly' }, 'layout: monthly'],
    ['no shards', { format: 'gluonts', gluonts: { shards: 0 } }, 'gluonts.shards'],
    ['no series', { series: [] }, 'series'],
    ['two widths in a long frame', { series: [BTC, HOURS] }, 'these are of 1h, 1m'],
    ['two widths in CSV', { series: [BTC, HOURS], format: 'csv' }, 'bars of one width in a csv frame'],
    [
      'two widths in a future frame',
      { series: [BTC, HOURS], format: 'future', future: { prediction_length: 2 } },
      'bars of one width in a future frame',
    ],
    [
      'a test part before the validation part',
      {
        format: 'windows',
        windows: {
          ...{ context_length: 5, prediction_length: 1 },
          ...{ validation_from: '2024-02-01T01:00:00Z', test_from: '2024-02-01T00:00:00Z' },
        },
      },
      'windows.test_from: lies before validation_from',
    ],
  ]
  test.each(bad)('%s is refused before anything is written', async (_name, change, message) => {
    const out = join(scratch(), 'out')
    const fault = await thrown(() => make({ out, ...change }))
    expect([fault.name, fault.code]).toEqual(['ConfigError', 'loader.bad-export'])
    expect(fault.message).toContain(message)
    expect(existsSync(out)).toBe(false)
  })

  test('a series that is not stored is named', async () => {
    const fault = await thrown(() => make({ series: ['binance:spot:NOPE:1m'] }))
    expect([fault.name, fault.code]).toEqual(['DataNotFoundError', 'loader.no-data'])
    expect(fault.message).toContain('binance:spot:NOPE:1m')
  })

  test.each([0, 500])('a lake file cut to %i bytes is named', async (bytes) => {
    const root = scratch()
    const [path] = await makeLake(root, BTC, FROM, BARS)
    truncateSync(path!, bytes)
    const fault = await thrown(() => make({ series: [BTC] }, root))
    expect([fault.name, fault.code]).toEqual(['DataQualityError', 'loader.unreadable-file'])
    expect(fault.message).toContain(path)
  })

  test('a folder with other files is left alone', async () => {
    const out = scratch()
    writeFileSync(join(out, 'thesis.txt'), 'x')
    expect((await thrown(() => make({ out }))).code).toBe('loader.out-not-empty')
    expect(readdirSync(out)).toEqual(['thesis.txt'])
  })

  test('an export that fails leaves the one before as it was; one that works removes what it no longer makes', async () => {
    const out = join(scratch(), 'out')
    const first = await make({ out, format: 'gluonts', gluonts: { prediction_length: 4 } })
    const before = visible(out)
    await thrown(() => make({ out, format: 'gluonts', gluonts: { min_past: 10_000 } }))
    expect(visible(out)).toEqual(before)
    expect(JSON.parse(readFileSync(first.file('dataset.json'), 'utf8'))).toEqual(first.manifest)
    writeFileSync(join(out, 'notes.txt'), 'mine')
    await make({ out })
    expect(visible(out).sort()).toEqual(['dataset.json', 'long.parquet', 'notes.txt'])
  })

  test('one that ends while it is put in place leaves nothing that the next one does not remove', async () => {
    const out = join(scratch(), 'out')
    const shards = (count: number) =>
      make({
        out,
        format: 'gluonts',
        gluonts: { shards: count, prediction_length: 2, min_past: 2, context_length: 4 },
      })
    await shards(4)
    // It comes as far as this shard, with the manifest of the one before gone and a file of its own in place.
    rmSync(join(out, 'shard-1.arrow'))
    mkdirSync(join(out, 'shard-1.arrow', 'in the way'), { recursive: true })
    expect((await thrown(() => shards(3))).code).toBe('loader.not-writable')
    expect(visible(out)).not.toContain('dataset.json')
    rmSync(join(out, 'shard-1.arrow'), { recursive: true })
    await thrown(() => make({ out, format: 'gluonts', gluonts: { min_past: 10_000 } }))
    await make({ out })
    expect(readdirSync(out).sort()).toEqual(['.everybar-export', 'dataset.json', 'long.parquet'])
  })

  test('one that is stopped leaves nothing', async () => {
    const out = join(scratch(), 'out')
    const stop = new AbortController()
    const onEvent = (event: EverybarEvent) => event.event === 'progress' && stop.abort(new Error('stopped'))
    expect((await thrown(() => make({ out, onEvent, signal: stop.signal }))).message).toBe('stopped')
    expect(visible(out)).toEqual([])
  })

  test('one that is killed leaves nothing under a final name, and the next one cleans up', async () => {
    const root = await lake()
    const out = join(scratch(), 'out')
    const script = `
      const { exportDataset } = await import(${JSON.stringify(join(import.meta.dirname, '../../src/loader/export.ts'))})
      const { parseSeries } = await import(${JSON.stringify(join(import.meta.dirname, '../../src/model/series.ts'))})
      await exportDataset({ root: ${JSON.stringify(root)}, out: ${JSON.stringify(out)}, format: 'gluonts', gluonts: { prediction_length: 4 },
        series: [parseSeries('${BTC}')], range: ${JSON.stringify(range)}, require: 'any',
        onEvent: (event) => event.event === 'progress' && process.kill(process.pid, 'SIGKILL') })`
    await new Promise((done) => execFile(process.execPath, ['--input-type=module', '-e', script], done))
    expect(visible(out)).toEqual([])
    expect(readdirSync(out).some((name) => name.startsWith('.everybar-export-'))).toBe(true)
    await make({ out }, root)
    expect(readdirSync(out).sort()).toEqual(['.everybar-export', 'dataset.json', 'long.parquet'])
  })

  test('a full disk is an error that says so', async () => {
    const sink = new ArrowSink('/dev/full', [{ name: 'item_id', type: 'utf8' }])
    const fault = await thrown(() => sink.append([{ name: 'item_id', type: 'utf8', values: ['x'] }], 1))
    expect(fault.code).toBe('loader.disk-full')
    await sink.abandon()
  })

  test('an output folder that cannot be made is an error that says so', async () => {
    const file = join(scratch(), 'file')
    writeFileSync(file, '')
    expect((await thrown(() => make({ out: join(file, 'out') }))).code).toBe('loader.not-writable')
  })
})

describe.skipIf(noPython !== undefined)(
  `by pandas and pyarrow${noPython ? `: skipped, ${noPython}` : ''}`,
  () => {
    test('a long frame has naive times, a frequency for every item and float targets', async () => {
      const { file } = await make()
      const script = `
import json, sys, pandas as pd
d = pd.read_parquet(sys.argv[1])
f = {k: pd.infer_freq(g.timestamp) for k, g in d.groupby('item_id')}
print(json.dumps([str(d.timestamp.dtype), str(d.target.dtype), f, int(d.target.isna().sum()), list(d.columns)]))`
      expect(inPython(script, file('long.parquet'))).toEqual([
        'datetime64[us]',
        'float64',
        { [BTC]: 'min', [ETH]: 'min' },
        5,
        ['item_id', 'timestamp', 'target'],
      ])
    })

    test('an Arrow shard is a valid IPC file of the types GluonTS reads', async () => {
      const { file } = await make({ format: 'gluonts', gluonts: { prediction_length: 4 } })
      const script = `
import json, sys, pyarrow as pa, numpy as np
t = pa.ipc.open_file(sys.argv[1]).read_all()
t.validate(full=True)
v = np.array(t.column('target')[0].values)
print(json.dumps([str(t.schema.field('start').type), str(t.schema.field('target').type), t.num_rows, str(v.dtype), int(np.isnan(v).sum())]))`
      expect(inPython(script, file('shard-0.arrow'))).toEqual([
        'timestamp[us]',
        'list<item: float>',
        2,
        'float32',
        5,
      ])
    })
  },
)
