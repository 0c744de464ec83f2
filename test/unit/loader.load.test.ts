import { appendFileSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type LoaderOptions, type LoadQuery, ParquetDataLoader } from '../../src/loader/index.ts'
import { datasetHash } from '../../src/model/lake.ts'
import { DAY_MS, MINUTE_MS } from '../../src/model/time.ts'
import {
  type ConfigChange,
  collect,
  lakeTypes,
  madeBar,
  makeLake,
  scratch,
  thrown,
  writeConfig,
  writeParquet,
} from '../loader-lake.ts'

const FROM = Date.UTC(2024, 0, 31, 22)
const SERIES = 'binance:spot:BTCUSDT:1m'
const HASH = datasetHash('binance', 'spot', 'trade')

/** Four hours around the end of January 2024: 120 bars in each month. */
async function lake(skip?: (i: number) => boolean) {
  const root = scratch()
  const files = await makeLake(root, SERIES, FROM, 240, skip)
  return { root, files, dir: join(root, 'lake', 'binance') }
}

async function withLoader<T>(
  dir: string,
  deed: (loader: ParquetDataLoader) => Promise<T>,
  change?: ConfigChange,
  options?: LoaderOptions,
): Promise<T> {
  const loader = new ParquetDataLoader(writeConfig(dir, change), options)
  try {
    return await deed(loader)
  } finally {
    await loader.close()
  }
}

/** Nothing is kept back for validation. */
const whole: ConfigChange = (s) => (s.processing!.validation_split = 0)
const ahead = { kind: 'target', column: 'close', horizon: 5 } as const
const unknown = (count: number): number[] => Array.from({ length: count }, () => Number.NaN)
const btc: LoadQuery = { symbol: 'BTCUSDT', from: '2024-01', to: '2024-03' }
const audit = (dir: string, id: string) =>
  JSON.parse(readFileSync(join(dir, 'audit_logs', `${id}.json`), 'utf8')) as Record<string, unknown>
const audits = (dir: string) =>
  readdirSync(join(dir, 'audit_logs')).map((name) => audit(dir, name.replace('.json', '')))
const text = (ms: number) => new Date(ms).toISOString().replace('T', ' ').replace('Z', '')

describe('training data', () => {
  test('is every row, split by time, with an embargo between', async () => {
    const { dir } = await lake()
    const load = (loader: ParquetDataLoader) => loader.loadTrainingData(btc)
    const data = await withLoader(dir, load, (s) => (s.processing!.embargo_bars = 10))
    expect([data.train.length, data.validation.length]).toEqual([192, 38])
    expect(data.cutoffMs).toBe(FROM + 192 * MINUTE_MS)
    expect(data.validation.timeMs[0]).toBe(FROM + 202 * MINUTE_MS)
    expect(data.train.columns.close![5]).toBe(madeBar(5).close)
    expect(data.validation.columns.volume!.at(-1)).toBe(madeBar(239).volume)
    expect(Object.keys(data.train.columns)).toEqual(['close', 'volume'])
    expect(data.findings).toEqual([])
    expect(audit(dir, data.sessionId)).toMatchObject({
      ...{ status: 'completed', files_discovered: 2, files_processed: 2, files_failed: 0, rows: 240 },
    })
  })

  test.each([
    [0.9, 1],
    [0.8, 2],
    [0.3, 7],
    [0.01, 10],
  ])('validation_split %s of ten rows leaves %i to train on', async (validation_split, rows) => {
    const root = scratch()
    await makeLake(root, SERIES, FROM, 10)
    const load = (loader: ParquetDataLoader) => loader.loadTrainingData(btc)
    const change: ConfigChange = (s) => Object.assign(s.processing!, { validation_split })
    expect((await withLoader(join(root, 'lake', 'binance'), load, change)).train.length).toBe(rows)
  })

  test('the embargo is of rows at least: a night does not pass for one', async () => {
    const root = scratch()
    const rows = [15, 16].flatMap((day) =>
      Array.from({ length: 375 }, (_, i) => ({
        ...{ open_time: text(Date.UTC(2024, 0, day, 3, 45) + i * MINUTE_MS), ...madeBar(i) },
      })),
    )
    const path = join(root, '2024', '01', 'NIFTY_1min_h15_2024_01_0123456789abcdef.parquet')
    await writeParquet(path, lakeTypes, rows)
    // Five minutes before the close of the first day.
    const change: ConfigChange = (s) => Object.assign(s.processing!, { validation_split: 380 / 750 })
    const load = (loader: ParquetDataLoader) => loader.loadTrainingData({ symbol: 'NIFTY', year: 2024 })
    const { train, validation } = await withLoader(root, load, change)
    expect([train.length, validation.length]).toEqual([370, 750 - 370 - 15])
  })

  test('interpolated values of the training part know nothing of the validation part', async () => {
    const load = async (last: number) => {
      const { dir, files } = await lake()
      const close = (i: number) => (i < 60 ? 101 + i : i < 62 ? null : i < 70 ? 200 : i < 74 ? null : last)
      const rows = Array.from({ length: 120 }, (_, i) => ({
        ...{ open_time: text(FROM + (120 + i) * MINUTE_MS), ...madeBar(i), close: close(i) },
      }))
      await writeParquet(files[1]!, lakeTypes, rows)
      const change: ConfigChange = (s) => (s.processing!.null_handling = 'interpolate')
      return withLoader(dir, (loader) => loader.loadTrainingData(btc), change)
    }
    const [low, high] = [await load(300), await load(900)]
    expect(low.train.columns.close).toEqual(high.train.columns.close)
    // Bars 190 and 191 are unknown, and so are 192 and 193, which the line to bar 194 still fills.
    expect([...low.train.columns.close!.slice(179)]).toEqual([
      ...[160, 520 / 3, 560 / 3].map((x) => expect.closeTo(x, 9) as number),
      ...[200, 200, 200, 200, 200, 200, 200, 200],
      ...unknown(2),
    ])
    expect([...low.train.filled.close!.slice(179)]).toEqual([0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    expect([...low.validation.columns.close!.slice(0, 3)]).toEqual([260, 280, 300])
  })

  test('loading twice gives the same twice', async () => {
    const { dir } = await lake()
    await withLoader(dir, async (loader) => {
      const [first, second] = [await loader.loadTrainingData(btc), await loader.loadTrainingData(btc)]
      expect(second.train).toEqual(first.train)
      expect(second.sessionId).not.toBe(first.sessionId)
    })
  })

  test('from and to cut within a month, columns are chosen, and frames have a size', async () => {
    const { dir } = await lake()
    const query = {
      ...btc,
      from: '2024-01-31T22:30Z',
      to: '2024-02-01T00:30Z',
      targetColumns: ['high'],
      featureColumns: [],
    }
    const frames = await withLoader(
      dir,
      (loader) => collect(loader.trainingFrames(query)),
      (s) => (s.processing!.chunk_size = 50),
    )
    expect(frames.map((frame) => frame.length)).toEqual([50, 40, 30])
    expect(frames.flatMap((frame) => [...frame.columns.high!])).toEqual(
      Array.from({ length: 120 }, (_, i) => madeBar(i + 30).high),
    )
  })

  test('targets do not look past the end of the range', async () => {
    const { dir } = await lake()
    const load = (loader: ParquetDataLoader) =>
      loader.loadTrainingData({ ...btc, from: FROM, to: FROM + 60 * MINUTE_MS, features: [ahead] })
    const { train } = await withLoader(dir, load, whole)
    expect([...train.columns.target_close_h5!].slice(-6)).toEqual([madeBar(59).close, ...unknown(5)])
  })

  test('a loop that is left early has failed in the audit', async () => {
    const { dir } = await lake()
    await withLoader(dir, async (loader) => {
      for await (const frame of loader.trainingFrames(btc)) if (frame.length > 0) break
    })
    const [log] = readdirSync(join(dir, 'audit_logs'))
    expect(audit(dir, log!.replace('.json', ''))).toMatchObject({ status: 'failed' })
  })

  const faults: [string, LoadQuery, string, string][] = [
    ['an unknown symbol', { ...btc, symbol: 'NOPE' }, 'DataNotFoundError', 'loader.no-data'],
    ['months without files', { symbol: 'BTCUSDT', year: 2020 }, 'DataNotFoundError', 'loader.no-data'],
    ['no months', { symbol: 'BTCUSDT' }, 'ConfigError', 'loader.bad-range'],
    [
      'a column that is not there',
      { ...btc, targetColumns: ['mid'] },
      'SchemaValidationError',
      'loader.schema',
    ],
    [
      'a window of nothing',
      { ...btc, features: [{ kind: 'volatility', column: 'close', window: 0 }] },
      'ConfigError',
      'loader.bad-feature',
    ],
  ]
  test.each(faults)('%s is refused, and the session has failed', async (_name, query, name, code) => {
    const { dir } = await lake()
    const fault = await thrown(() => withLoader(dir, (loader) => loader.loadTrainingData(query)))
    expect([fault.name, fault.code]).toEqual([name, code])
    const [log] = readdirSync(join(dir, 'audit_logs'))
    expect(audit(dir, log!.replace('.json', ''))).toMatchObject({ status: 'failed', error: { code } })
  })

  const damage: [string, (path: string) => void][] = [
    ['empty', (path) => truncateSync(path, 0)],
    ['truncated', (path) => truncateSync(path, 300)],
    ['not Parquet', (path) => writeFileSync(path, '<html>'.repeat(100))],
  ]
  test.each(damage)('a file that is %s is refused by name', async (_name, spoil) => {
    const { dir, files } = await lake()
    spoil(files[1]!)
    const fault = await thrown(() => withLoader(dir, (loader) => loader.loadTrainingData(btc)))
    expect([fault.name, fault.code]).toEqual(['DataQualityError', 'loader.unreadable-file'])
    expect(fault.message).toContain(files[1])
  })

  test('a schema that drifts between months is refused by the file that differs', async () => {
    const { dir, files } = await lake()
    const row = { open_time: '2024-02-01 00:00:00', open: 1, high: 1, low: 1, close: 'high', volume: 1 }
    await writeParquet(files[1]!, { ...lakeTypes, close: 'VARCHAR' }, [row])
    const fault = await thrown(() => withLoader(dir, (loader) => loader.loadTrainingData(btc)))
    expect([fault.name, fault.code]).toEqual(['SchemaValidationError', 'loader.schema'])
    expect(fault.message).toContain('column "close" is VARCHAR, not a number')
    expect(fault.message).toContain(files[1])
  })

  test('another column more or another kind of number is no drift', async () => {
    const { dir, files } = await lake()
    const row = { open_time: '2024-02-01 00:00:00', open: 1, high: 1, low: 1, close: 7, volume: 2, trades: 9 }
    await writeParquet(
      files[1]!,
      { ...lakeTypes, close: 'DECIMAL(18,4)', volume: 'INTEGER', trades: 'BIGINT' },
      [row],
    )
    const data = await withLoader(
      dir,
      (loader) => loader.loadTrainingData(btc),
      (s) => (s.processing!.validation_split = 0),
    )
    expect([data.train.length, data.train.columns.close!.at(-1), data.train.columns.volume!.at(-1)]).toEqual([
      121, 7, 2,
    ])
  })

  test('two datasets of one name are not mixed', async () => {
    const { root, dir } = await lake()
    await makeLake(root, 'binance:um:BTCUSDT:1m', FROM, 10)
    const fault = await thrown(() => withLoader(dir, (loader) => loader.loadTrainingData(btc)))
    expect(fault.code).toBe('loader.ambiguous')
    const load = (loader: ParquetDataLoader) => loader.loadTrainingData({ ...btc, hash: HASH })
    expect((await withLoader(dir, load)).files).toHaveLength(2)
  })
})

describe('quality', () => {
  const untidy = [
    ['2024-01-31 22:01:00', 2],
    ['2024-01-31 22:00:00', 1],
    ['2024-01-31 22:02:00', null],
    ['2024-01-31 22:03:30', 4],
    ['2024-01-31 22:05:00', 5],
    ['2024-01-31 22:05:00', 6],
    ['2024-01-31 22:06:00', 1000],
    ...Array.from({ length: 20 }, (_, i) => [
      `2024-01-31 22:${String(i + 7).padStart(2, '0')}:00`,
      5 + (i % 3),
    ]),
  ].map(([open_time, close]) => ({ open_time: open_time as string, close: close as number | null }))

  test('faults are found and counted, rows are sorted, the last of a time is kept', async () => {
    const { dir, files } = await lake()
    await writeParquet(files[0]!, { open_time: 'TIMESTAMP', close: 'DOUBLE' }, untidy)
    const query = { ...btc, to: '2024-02', featureColumns: [] }
    const outliers: ConfigChange = (s) => {
      s.processing!.outlier_detection = true
      s.processing!.validation_split = 0
    }
    const data = await withLoader(dir, (loader) => loader.loadTrainingData(query), outliers)
    expect(data.findings.map(({ kind, column, count }) => [kind, column, count])).toEqual([
      ['out-of-order', undefined, 1],
      ['duplicate', undefined, 1],
      ['off-grid', undefined, 1],
      ['missing', undefined, 2],
      ['null', 'close', 1],
      ['outlier', 'close', 1],
    ])
    expect([...data.train.columns.close!.slice(0, 6)]).toEqual([1, 2, Number.NaN, 4, 6, 1000])
    expect(data.train.length).toBe(26)
  })

  test.each([[[]], [[{ kind: 'lag', column: 'close', bars: 1 } as const]]])(
    'rows of a month beside it are left out and counted, so that no time comes twice (features %j)',
    async (features) => {
      const { dir, files } = await lake()
      const rows = Array.from({ length: 125 }, (_, i) => ({
        ...{ open_time: text(FROM + i * MINUTE_MS), ...madeBar(i) },
      }))
      await writeParquet(files[0]!, lakeTypes, rows)
      const load = (loader: ParquetDataLoader) => loader.loadTrainingData({ ...btc, features })
      const { train, findings } = await withLoader(dir, load, whole)
      expect([...train.timeMs]).toEqual(Array.from({ length: 240 }, (_, i) => FROM + i * MINUTE_MS))
      if (features.length > 0) {
        const lags = Array.from({ length: 239 }, (_, i) => madeBar(i).close)
        expect([...train.columns.close_lag_1!]).toEqual([Number.NaN, ...lags])
      }
      expect(findings).toMatchObject([
        { kind: 'other-month', count: 5, firstMs: FROM + 120 * MINUTE_MS, path: files[0] },
      ])
    },
  )

  test('a bar that is there twice before the range enters no window twice', async () => {
    const { dir, files } = await lake()
    const rows = Array.from({ length: 60 }, (_, i) => ({
      ...{ open_time: text(FROM + i * MINUTE_MS), ...madeBar(i) },
    }))
    rows.splice(29, 0, { ...rows[28]!, close: 9999 }) // bar 28 twice …
    rows.splice(27, 1) // … and bar 27 missing: five rows in a window that lacks a bar
    await writeParquet(files[0]!, lakeTypes, rows)
    const features = [
      { kind: 'rolling', column: 'close', statistic: 'mean', window: 5 } as const,
      { kind: 'lag', column: 'close', bars: 2 } as const,
    ]
    const load = (from: number) => (loader: ParquetDataLoader) =>
      loader.loadTrainingData({ ...btc, from, to: '2024-02', features })
    const { train } = await withLoader(dir, load(FROM + 30 * MINUTE_MS), whole)
    expect([...train.columns.close_mean_5!.slice(0, 3)]).toEqual([Number.NaN, Number.NaN, 2105])
    expect([...train.columns.close_lag_2!.slice(0, 2)]).toEqual([9999, madeBar(29).close])
  })

  const nulls: [string, (number | string)[], number[] | undefined][] = [
    ['none', [1, 2, Number.NaN, 4, 6, 1000], undefined],
    ['forward_fill', [1, 2, 2, 4, 6, 1000], [0, 0, 1, 0, 0, 0]],
    ['interpolate', [1, 2, 2.8, 4, 6, 1000], [0, 0, 1, 0, 0, 0]],
    ['drop', [1, 2, 4, 6, 1000, 5], undefined],
  ]
  test.each(nulls)('null_handling %s', async (handling, values, marks) => {
    const { dir, files } = await lake()
    await writeParquet(files[0]!, { open_time: 'TIMESTAMP', close: 'DOUBLE' }, untidy)
    const query = { ...btc, to: '2024-02', featureColumns: [] }
    const { train } = await withLoader(
      dir,
      (loader) => loader.loadTrainingData(query),
      (s) => {
        s.processing!.null_handling = handling
        s.processing!.validation_split = 0
      },
    )
    expect([...train.columns.close!.slice(0, 6)]).toEqual(values)
    expect(train.filled.close && [...train.filled.close.slice(0, 6)]).toEqual(marks)
  })

  test('require: complete counts what is missing and says where', async () => {
    const { dir } = await lake((i) => i >= 100 && i < 130)
    const query = { ...btc, from: '2024-01-31T22:00Z', to: '2024-02-01T02:00Z', require: 'complete' as const }
    const fault = await thrown(() => withLoader(dir, (loader) => loader.loadTrainingData(query)))
    expect([fault.name, fault.code]).toEqual(['DataQualityError', 'loader.incomplete'])
    expect(fault.message).toContain('30 unknown; first from 2024-01-31T23:40:00Z to 2024-02-01T00:10:00Z')
    const whole = await lake()
    expect((await withLoader(whole.dir, (loader) => loader.loadTrainingData(query))).files).toHaveLength(2)
  })

  const settled: [string, boolean][] = [
    ['venue_outage', true],
    ['no_trade', true],
    ['closed_session', true],
    ['never_fetched', false],
    ['quarantined', false],
    ['not_yet_final', false],
    ['fetch_failed', false],
  ]
  test.each(settled)('require: complete with %s, as the coverage says', async (name, accepted) => {
    const { dir } = await lake((i) => i === 100)
    const options: LoaderOptions = { coverage: (_file, range) => [{ class: name, range, bars: 1 }] }
    const load = (loader: ParquetDataLoader) => loader.loadTrainingData({ ...btc, require: 'complete' })
    const outcome = await withLoader(dir, load, undefined, options).then(
      () => true,
      () => false,
    )
    expect(outcome).toBe(accepted)
  })
})

describe('prediction data', () => {
  const predict = (dir: string, query: object) =>
    withLoader(dir, (loader) =>
      loader.loadPredictionData({ symbol: 'BTCUSDT', contextLength: 150, ...query }),
    )

  test('is the last bars, over as many months as it takes', async () => {
    const { dir } = await lake()
    const { context, startMs, files } = await predict(dir, {})
    expect([context.length, context.timeMs[0], startMs]).toEqual([
      150,
      FROM + 90 * MINUTE_MS,
      FROM + 240 * MINUTE_MS,
    ])
    expect(files).toHaveLength(2)
    expect((await predict(dir, { contextLength: 100 })).files).toHaveLength(1)
  })

  test('ends with the bar before the one asked for', async () => {
    const { dir } = await lake()
    const { context, startMs } = await predict(dir, { at: '2024-02-01T00:10Z', contextLength: 20 })
    expect([context.timeMs.at(-1), startMs]).toEqual([FROM + 129 * MINUTE_MS, FROM + 130 * MINUTE_MS])
  })

  test('knows nothing of what comes after: targets of the last bars are not known', async () => {
    const { dir } = await lake()
    const { context } = await predict(dir, { at: '2024-01-31T23:00Z', contextLength: 10, features: [ahead] })
    expect([...context.columns.target_close_h5!].slice(-6)).toEqual([madeBar(59).close, ...unknown(5)])
  })

  test.each(['grid', 'stored'])('within a bar, ends with the one that has closed: rows %s', async (rows) => {
    const { dir } = await lake()
    const { context, startMs } = await predict(dir, { at: FROM + 60.5 * MINUTE_MS, contextLength: 10, rows })
    expect([context.timeMs.at(-1), context.length, startMs]).toEqual([
      FROM + 59 * MINUTE_MS,
      10,
      FROM + 60 * MINUTE_MS,
    ])
  })

  test('at the very first bar has no context, and says so', async () => {
    const root = scratch()
    await makeLake(root, SERIES, Date.UTC(2024, 1, 1), 10)
    const dir = join(root, 'lake', 'binance')
    const fault = await thrown(() => predict(dir, { at: Date.UTC(2024, 1, 1) + 30_000, contextLength: 5 }))
    expect(fault.message).toContain('5 of the 5 bars before 2024-02-01T00:00:00Z are missing: 5 from')
  })

  test('counts days from where the market does, not from midnight UTC', async () => {
    const root = scratch()
    const midnight = Date.parse('2024-01-01T00:00+05:30')
    await makeLake(root, 'kite:nse:RELIANCE:1d', midnight, 20)
    const dir = join(root, 'lake', 'kite')
    const query = { symbol: 'RELIANCE', contextLength: 5, at: '2024-01-16' }
    const { context, startMs } = await predict(dir, query)
    expect([context.timeMs.at(-1), startMs]).toEqual([midnight + 14 * DAY_MS, midnight + 15 * DAY_MS])
  })

  const gaps: [string, object, string, number][] = [
    ['before the first bar', { contextLength: 250 }, '10 of the 250 bars', 10],
    ['after the last bar', { at: '2024-02-01T02:05Z', contextLength: 10 }, '5 from 2024-02-01T02:00:00Z', 5],
    ['far after the last bar', { at: '2024-06', contextLength: 10 }, '10 of the 10 bars', 10],
    ['rows, when rows are asked for', { contextLength: 241, rows: 'stored' }, '1 of the 241 rows', 1],
  ]
  test.each(gaps)('missing bars are counted and placed: %s', async (_name, query, message, missing) => {
    const { dir } = await lake()
    const fault = await thrown(() => predict(dir, query))
    expect([fault.name, fault.code]).toEqual(['IncompleteContextError', 'loader.incomplete-context'])
    expect(fault.message).toContain(message)
    expect(fault).toMatchObject({ missing })
  })

  test('a hole is a fault on the grid and none among stored rows', async () => {
    const { dir } = await lake((i) => i >= 110 && i < 125)
    const fault = await thrown(() => predict(dir, {}))
    expect(fault.message).toContain(
      '15 of the 150 bars before 2024-02-01T02:00:00Z are missing: 15 from 2024-01-31T23:50:00Z',
    )
    const { context } = await predict(dir, { rows: 'stored' })
    expect([context.length, context.timeMs[0]]).toEqual([150, FROM + 75 * MINUTE_MS])
  })

  test('goes on to the months before where dropped rows leave too few', async () => {
    const { dir, files } = await lake()
    const rows = Array.from({ length: 120 }, (_, i) => ({
      ...{ open_time: text(FROM + (120 + i) * MINUTE_MS), ...madeBar(120 + i) },
      ...(i % 2 ? { close: null } : {}),
    }))
    await writeParquet(files[1]!, lakeTypes, rows)
    const load = (loader: ParquetDataLoader) =>
      loader.loadPredictionData({ symbol: 'BTCUSDT', contextLength: 100, rows: 'stored' })
    const drop: ConfigChange = (s) => (s.processing!.null_handling = 'drop')
    const { context } = await withLoader(dir, load, drop)
    expect([context.length, context.timeMs[0]]).toEqual([100, FROM + 80 * MINUTE_MS])
  })

  test.each([{}, { at: '2024-02-01T01:00Z' }])('a damaged file counts as failed (%j)', async (when) => {
    const { dir, files } = await lake()
    truncateSync(files[1]!, 100)
    const fault = await thrown(() => predict(dir, { contextLength: 10, ...when }))
    expect(fault.code).toBe('loader.unreadable-file')
    expect(audits(dir)).toMatchObject([{ status: 'failed', files_discovered: 2, files_failed: 1 }])
  })

  test.each([0, -1, 1.5])('a context of %s bars is refused', async (contextLength) => {
    const { dir } = await lake()
    expect((await thrown(() => predict(dir, { contextLength }))).code).toBe('loader.bad-range')
  })
})

describe('incremental data', () => {
  const since = '2024-01-31T23:00Z'
  const query = { symbol: 'BTCUSDT', consumer: 'trainer', since }

  test('comes once for each consumer, and again when a file has changed', async () => {
    const { dir, root } = await lake()
    await withLoader(dir, async (loader) => {
      const first = await loader.loadIncrementalData(query)
      expect([first.data.length, first.data.timeMs[0], first.filesSkipped]).toEqual([
        179,
        FROM + 61 * MINUTE_MS,
        0,
      ])
      const second = await loader.loadIncrementalData(query)
      expect([second.data.length, second.filesSkipped]).toEqual([0, 2])
      expect(Object.keys(second.data.columns)).toEqual(['close', 'volume'])
      expect((await loader.loadIncrementalData({ ...query, consumer: 'other' })).data.length).toBe(179)
      await makeLake(root, SERIES, FROM, 250)
      const third = await loader.loadIncrementalData({ ...query, since: FROM + 239 * MINUTE_MS })
      expect([third.data.length, third.filesSkipped]).toEqual([10, 0])
    })
  })

  test('a file counts when the loop asks for the next, not when its consumer throws', async () => {
    const { dir } = await lake()
    await withLoader(dir, async (loader) => {
      const seen: number[] = []
      const fault = await thrown(async () => {
        for await (const { file } of loader.incremental(query)) {
          seen.push(file.month)
          if (file.month === 2) throw new Error('the consumer failed')
        }
      })
      expect(fault.message).toBe('the consumer failed')
      for await (const { file } of loader.incremental(query)) seen.push(file.month)
      expect(seen).toEqual([1, 2, 2])
    })
  })

  test('a load that fails has given nothing: every file comes again, and the one at fault is counted', async () => {
    const { dir, files } = await lake()
    const bytes = readFileSync(files[1]!)
    truncateSync(files[1]!, 100)
    await withLoader(dir, async (loader) => {
      expect((await thrown(() => loader.loadIncrementalData(query))).code).toBe('loader.unreadable-file')
      expect(audits(dir)).toMatchObject([{ status: 'failed', files_failed: 1 }])
      writeFileSync(files[1]!, bytes)
      const { data, filesSkipped } = await loader.loadIncrementalData(query)
      expect([data.length, filesSkipped]).toEqual([179, 0])
      expect((await loader.loadIncrementalData(query)).filesSkipped).toBe(2)
    })
  })

  test('of a loop that fails at a file only the ones before it count', async () => {
    const { dir, files } = await lake()
    const bytes = readFileSync(files[1]!)
    truncateSync(files[1]!, 100)
    await withLoader(dir, async (loader) => {
      expect((await thrown(() => collect(loader.incremental(query)))).code).toBe('loader.unreadable-file')
      writeFileSync(files[1]!, bytes)
      expect((await collect(loader.incremental(query))).map(({ file }) => file.month)).toEqual([2])
    })
  })

  test('an earlier since gives the rows that a later one left out, a later one nothing new', async () => {
    const { dir } = await lake()
    await withLoader(dir, async (loader) => {
      const rows = async (since: number | string) =>
        (await loader.loadIncrementalData({ ...query, since })).data.length
      expect(await rows(since)).toBe(179)
      expect(await rows(since)).toBe(0)
      expect(await rows('2024-01-31T22:30Z')).toBe(89) // of January; February was given whole
      expect(await rows(since)).toBe(0)
      expect(await rows(0)).toBe(120)
      expect(await rows(0)).toBe(0)
    })
  })

  test('targets at the end of a month come once they are known, and not again', async () => {
    const { dir, files } = await lake()
    const bytes = readFileSync(files[1]!)
    rmSync(files[1]!)
    await withLoader(dir, async (loader) => {
      const load = async () =>
        (await loader.loadIncrementalData({ ...query, since: 0, features: [ahead] })).data
      const first = await load()
      expect([...first.columns.target_close_h5!].slice(-6)).toEqual([madeBar(119).close, ...unknown(5)])
      expect((await load()).length).toBe(0)
      writeFileSync(files[1]!, bytes)
      const second = await load()
      expect([...second.columns.target_close_h5!]).toEqual([
        ...Array.from({ length: 235 }, (_, i) => madeBar(i + 5).close),
        ...unknown(5),
      ])
      expect((await load()).length).toBe(0)
    })
  })

  test.each([0, '2024-02', since])('is filled as training data is, wherever it begins: %s', async (since) => {
    const { dir, files } = await lake()
    const rows = Array.from({ length: 120 }, (_, i) => ({
      ...{ open_time: text(FROM + (120 + i) * MINUTE_MS), ...madeBar(120 + i) },
      ...(i < 3 ? { close: null } : {}),
    }))
    await writeParquet(files[1]!, lakeTypes, rows)
    for (const null_handling of ['forward_fill', 'interpolate']) {
      const change: ConfigChange = (s) => Object.assign(s.processing!, { null_handling, validation_split: 0 })
      await withLoader(
        dir,
        async (loader) => {
          const { train } = await loader.loadTrainingData(btc)
          const consumer = null_handling
          const { data } = await loader.loadIncrementalData({ symbol: 'BTCUSDT', consumer, since })
          expect([...data.columns.close!]).toEqual([...train.columns.close!.slice(-data.length)])
          expect([...data.filled.close!]).toEqual([...train.filled.close!.slice(-data.length)])
        },
        change,
      )
    }
  })

  test('nothing after the last timestamp is nothing, and no error', async () => {
    const { dir } = await lake()
    const load = (loader: ParquetDataLoader) => loader.loadIncrementalData({ ...query, since: '2025' })
    expect((await withLoader(dir, load)).data.length).toBe(0)
  })
})

describe('the foreign schema', () => {
  const types = { ds: 'VARCHAR', target_close: 'DOUBLE', target_spread: 'DOUBLE', spread_date: 'TIMESTAMP' }
  const rows = Array.from({ length: 30 }, (_, i) => ({
    ds: `2014-03-03 00:${String(i).padStart(2, '0')}:00`,
    target_close: i,
    target_spread: i / 10,
    spread_date: '2014-03-01 00:00:00',
  }))
  const foreign: ConfigChange = (s) => {
    s.file_patterns!.naming_regex =
      '([A-Z]+)_([0-9]+min)_h([0-9]+)_([0-9]{4})_([0-9]{2})_([a-f0-9]+)\\.(parquet|json)$'
    s.schema = {
      datetime_column: 'ds',
      target_columns: ['target_close', 'target_spread'],
      feature_columns: { dates: ['spread_date'] },
      timestamp_columns: ['spread_date'],
    }
  }
  const load = (root: string) =>
    withLoader(
      root,
      (loader) => loader.loadTrainingData({ symbol: 'SYMBOL', year: 2014, timeframes: ['1min'] }),
      foreign,
    )
  const file = (root: string, extension: string) =>
    join(root, '2014', '03', `SYMBOL_1min_h15_2014_03_769b531dbb2ff3cb.${extension}`)

  test.each(['parquet', 'json'])('loads from %s', async (extension) => {
    const root = scratch()
    await writeParquet(file(root, 'parquet'), types, rows)
    if (extension === 'json') {
      rmSync(file(root, 'parquet'))
      writeFileSync(file(root, 'json'), JSON.stringify(rows))
    }
    const data = await load(root)
    expect(data.train.length).toBe(24)
    expect(data.train.timeMs[1]).toBe(Date.UTC(2014, 2, 3, 0, 1))
    expect(data.train.columns.target_spread![3]).toBe(0.3)
    expect(data.train.columns.spread_date![0]).toBe(Date.UTC(2014, 2, 1))
    expect([data.embargoBars, data.validation.length]).toEqual([15, 0])
  })

  test('JSON of another shape is refused', async () => {
    const root = scratch()
    await writeParquet(file(root, 'parquet'), types, rows)
    rmSync(file(root, 'parquet'))
    writeFileSync(file(root, 'json'), '{"ds": {"0": "2014-03-03"}}')
    appendFileSync(file(root, 'json'), '\n')
    expect((await thrown(() => load(root))).code).toBe('loader.schema')
  })
})
