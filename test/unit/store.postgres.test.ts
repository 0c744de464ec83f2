import { describe, expect, test } from 'vitest'
import { parseSeries } from '../../src/model/series.ts'
import { parseTimeframe } from '../../src/model/timeframe.ts'
import { redactor, storeFailure } from '../../src/store/postgres/failures.ts'
import { barsLayout, layoutOf } from '../../src/store/postgres/layout.ts'
import { type PostgresStoreOptions, settingsOf } from '../../src/store/postgres/options.ts'
import { type FoundTable, planTable, planText, type ServerFacts } from '../../src/store/postgres/schema.ts'
import { ofSeries, quoteText } from '../../src/store/postgres/sql.ts'
import { refreshAggregate } from '../../src/store/postgres/timescale.ts'

const plain: ServerFacts = { version: 160_002, timescaleAvailable: false }
const timescale = (version: string): ServerFacts => ({
  version: 160_002,
  timescale: version,
  timescaleAvailable: true,
})

const kite = { name: 'kite_ohlcv_historic', venues: ['kite'] }
const series = { bars: parseSeries('binance:spot:BTCUSDT:1m'), kite: parseSeries('kite:nse:408065:1d') }

function sql(
  layout: 'bars' | 'kite',
  facts: ServerFacts,
  options: Partial<PostgresStoreOptions> = {},
): string {
  const settings = settingsOf({ name: 'pg', tokenTable: kite, ...options })
  return planText(planTable(layoutOf(series[layout], settings), settings, facts, undefined))
}

describe('the SQL of the tables', () => {
  test('bars on a plain server', () => expect(sql('bars', plain)).toMatchSnapshot())
  test('bars, partitioned', () => expect(sql('bars', plain, { partitions: 'month' })).toMatchSnapshot())
  test('Kite on a plain server', () => expect(sql('kite', plain)).toMatchSnapshot())
  test('bars on TimescaleDB 2.20', () => expect(sql('bars', timescale('2.20.1'))).toMatchSnapshot())
  test('bars on TimescaleDB 2.15', () => expect(sql('bars', timescale('2.15.3'))).toMatchSnapshot())
  test('bars on TimescaleDB 2.9', () => expect(sql('bars', timescale('2.9.0'))).toMatchSnapshot())
  test('Kite on TimescaleDB', () => expect(sql('kite', timescale('2.20.1'))).toMatchSnapshot())
  test('with an aggregate, other names, no columnstore', () => {
    const aggregates = [{ name: 'bars_1h', base: parseTimeframe('1m'), width: '1 hour' }]
    const options = { schema: 'Markt', table: 'my "bars"', columnstoreAfterDays: 0, aggregates }
    expect(sql('bars', timescale('2.20.1'), options)).toMatchSnapshot()
    expect(refreshAggregate('Markt', aggregates[0]!, { startMs: 0, endMs: 1e12 })).toMatchSnapshot()
  })
  test('an aggregate that is not there yet is added to a hypertable that is, and only there', () => {
    const settings = settingsOf({
      name: 'pg',
      aggregates: ['bars_1h', 'bars_1d'].map((name) => ({
        name,
        base: parseTimeframe('1m'),
        width: '1 hour',
      })),
    })
    const layout = barsLayout(settings)
    const columns = [
      ...layout.key.map(({ name }) => [name, 'text']),
      ...layout.values.map(({ name, type }) => [
        name,
        { float8: 'double precision', int8: 'bigint', timestamptz: 'timestamp with time zone' }[type],
      ]),
      ...[layout.timeColumn, layout.stampColumn].map((name) => [name, 'timestamp with time zone']),
    ].map(([name, type]) => ({ name: name!, type: type!, notNull: false, hasDefault: false }))
    const found = {
      relkind: 'r',
      hypertable: true,
      uniques: [layout.primaryKey],
      columns,
      aggregates: ['bars_1h'],
    }
    const whys = (given: Partial<FoundTable>) =>
      planTable(layout, settings, timescale('2.20.1'), { ...found, ...given }).statements.map(
        ({ why }) => why,
      )
    expect(whys({})).toEqual([
      'continuous aggregate bars_1d',
      'refresh of bars_1d; older ranges are refreshed by everybar when it fills them',
    ])
    expect(whys({ aggregates: ['bars_1h', 'bars_1d'] })).toEqual([])
    expect(whys({ hypertable: false })).toEqual([])
  })
  test('an extension that could be installed is mentioned, and insisted on if told so', () => {
    const could = { ...plain, timescaleAvailable: true }
    expect(sql('bars', could)).toContain('-- TimescaleDB could be installed')
    expect(sql('bars', could, { timescale: 'off' })).not.toContain('TimescaleDB')
    expect(() => sql('bars', could, { timescale: 'on' })).toThrow(/not installed/)
  })
  test('a server too old is refused', () =>
    expect(() => sql('bars', { ...plain, version: 120_001 })).toThrow(/PostgreSQL 12 is too old/))
})

describe('a table that is there', () => {
  const settings = settingsOf({ name: 'pg', tokenTable: kite })
  const layout = layoutOf(series.kite, settings)
  const column = (name: string, type: string) => ({ name, type, notNull: true, hasDefault: false })
  const found: FoundTable = {
    relkind: 'r',
    hypertable: false,
    aggregates: [],
    uniques: [['date', 'instrument_token', 'exchange', 'candle_interval']],
    columns: [
      column('instrument_token', 'character varying(50)'),
      column('exchange', 'character varying(10)'),
      column('candle_interval', 'character varying(20)'),
      column('date', 'timestamp with time zone'),
      ...['open', 'high', 'low', 'close'].map((name) => column(name, 'double precision')),
      column('volume', 'bigint'),
      { ...column('created_at', 'timestamp with time zone'), hasDefault: true },
    ],
  }
  const without = (name: string) => found.columns.filter((c) => c.name !== name)
  const plan = (changes: Partial<FoundTable>) => () =>
    planTable(layout, settings, plain, { ...found, ...changes })

  test('made by the seed’s own script is as it should be', () => expect(plan({})().statements).toEqual([]))
  test.each<[string, Partial<FoundTable>]>([
    ['volume is numeric', { columns: [...without('volume'), column('volume', 'numeric')] }],
    ['open is missing', { columns: without('open') }],
    ['no primary key', { uniques: [['date']] }],
    ['another column', { columns: [...found.columns, column('source', 'text')] }],
    ['a foreign table', { relkind: 'f' }],
  ])('%s', (_, changes) => expect(plan(changes)).toThrowErrorMatchingSnapshot())
})

describe('nothing gets out of its quotes', () => {
  test.each([
    ["o'neil", "'o''neil'"],
    ['back\\slash', " E'back\\\\slash'"],
    ["\\'", " E'\\\\'''"],
    ['', "''"],
  ])('%s', (text, quoted) => expect(quoteText(text)).toBe(quoted))
  test('in a condition', () => {
    const odd = parseSeries("binance:spot:' OR true --:1m")
    expect(ofSeries(barsLayout(settingsOf({ name: 'pg' })), odd)).toContain(`"symbol" = ''' OR true --'`)
  })
  test.each([{ table: '' }, { schema: 'x'.repeat(41) }, { table: 'a\nb' }])('%j is no name', (options) =>
    expect(() => settingsOf({ name: 'pg', ...options })).toThrow(/cannot name anything/),
  )
})

test('secrets are taken out of messages and causes, as they stand and as a URL writes them', () => {
  const redact = redactor(['p@ss', 'postgres://u:p%40ss@h/d', undefined, ''])
  const error = storeFailure(new Error('no p@ss or p%40ss at postgres://u:p%40ss@h/d'), 'pg', redact)
  expect(error.message).toBe('store pg: no *** or *** at ***')
  expect((error.cause as Error).message).toBe('no *** or *** at ***')
})
