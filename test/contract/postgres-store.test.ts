import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type BarBatch, barsOf, concatBatches } from '../../src/model/bar.ts'
import { parseSeries, type Series } from '../../src/model/series.ts'
import { MINUTE_MS, type TimeRange, timeRange } from '../../src/model/time.ts'
import type { PostgresStoreOptions } from '../../src/store/postgres/options.ts'
import { openPostgresStore, type PostgresStore } from '../../src/store/postgres/postgres-store.ts'
import { storeContract } from '../../src/testing/store-contract.ts'
import { minutes, startMs } from '../support/bars.ts'
import { type PostgresServer, startPostgres } from '../support/postgres-server.ts'
import { databaseOf, onServer } from '../support/postgres-store.ts'

let server: PostgresServer
beforeAll(async () => {
  server = await startPostgres()
})
afterAll(() => server.stop())

const btc = parseSeries('binance:spot:BTCUSDT:1m')
const always = timeRange(0, 4e12)

const withStore = (
  options: Partial<PostgresStoreOptions>,
  use: Parameters<typeof onServer>[2],
): Promise<void> => onServer(server, options, use)

async function read(store: PostgresStore, series: Series, range: TimeRange = always): Promise<BarBatch> {
  const batches: BarBatch[] = []
  for await (const batch of store.scan(series, range)) batches.push(batch)
  return concatBatches(batches)
}

for (const partitions of ['none', 'month'] as const) {
  storeContract(`postgres, partitions: ${partitions}`, async () => {
    const url = await server.freshDatabase()
    return { open: () => openPostgresStore({ name: 'pg', url, partitions }) }
  })
}

/** A database that has the extension and may be written to; every run makes a schema of its own. */
const timescaleUrl = process.env.EVERYBAR_TEST_TIMESCALE_URL
const notSet = timescaleUrl === undefined ? ' (skipped: EVERYBAR_TEST_TIMESCALE_URL is not set)' : ''
describe.skipIf(timescaleUrl === undefined)(`TimescaleDB${notSet}`, () => {
  storeContract('postgres, hypertable', async () => {
    const schema = `everybar_test_${Date.now()}`
    const client = new pg.Client({ connectionString: timescaleUrl })
    await client.connect()
    await client.query(`CREATE SCHEMA ${schema}`)
    const options = { name: 'pg', url: timescaleUrl!, schema, timescale: 'on' } as const
    return {
      open: () => openPostgresStore(options),
      async remove() {
        await client.query(`DROP SCHEMA ${schema} CASCADE`)
        await client.end()
      },
    }
  })
})

describe.each(['none', 'month'] as const)('partitions: %s', (partitions) => {
  test('what is committed is read back, and a repeat changes nothing', () =>
    withStore({ partitions }, async (store) => {
      const batch = minutes(2_000, { native: ['closeTimeMs', 'quoteVolume', 'trades', 'openInterest'] })
      batch.native.openInterest![7] = Number.NaN
      const none = { inserted: 0, revised: 0, unchanged: 0, revisedAtMs: [] }
      expect(await store.commit(btc, batch)).toEqual({ ...none, inserted: 2_000 })
      expect(barsOf(await read(store, btc))).toEqual(barsOf(batch))
      expect(await store.commit(btc, batch)).toEqual({ ...none, unchanged: 2_000 })
      const lastMs = startMs + 1_999 * MINUTE_MS
      expect(await store.extent(btc)).toEqual({ rows: 2_000, firstMs: startMs, lastMs })
    }))

  test.each([20, 1_500])('inserted, revised and unchanged are counted apart, %i bars', (count) =>
    withStore({ partitions }, async (store) => {
      const longer = minutes(count + 10)
      await store.commit(btc, minutes(count))
      const next = concatBatches([longer])
      next.close[13] = 1
      expect(await store.commit(btc, next)).toEqual({
        inserted: 10,
        revised: 1,
        unchanged: count - 1,
        revisedAtMs: [startMs + 13 * MINUTE_MS],
      })
    }),
  )

  test('replace removes what the batch lacks, and only within its range', () =>
    withStore({ partitions }, async (store) => {
      await store.commit(btc, minutes(100))
      const range = timeRange(startMs + 10 * MINUTE_MS, startMs + 20 * MINUTE_MS)
      const one = minutes(1, { fromMs: startMs + 12 * MINUTE_MS, shift: 5 })
      expect(await store.replace(btc, range, one)).toMatchObject({ inserted: 0, revised: 1, unchanged: 0 })
      expect((await store.extent(btc))!.rows).toBe(91)
      await store.replace(btc, range, minutes(0))
      expect((await store.extent(btc))!.rows).toBe(90)
    }))
})

test('series do not mix, whatever their names', () =>
  withStore({}, async (store) => {
    const symbols = [
      "x'; DROP TABLE bars; --",
      'a"b',
      '１２３４５６',
      'back\\slash',
      'BTC/USD:BTC',
      'btcusdt',
    ]
    const odd = symbols.map((symbol) => parseSeries(`binance:spot:${symbol}:1m`))
    const alike = ['binance:um:BTCUSDT:1m', 'binance:spot:BTCUSDT:1M', 'binance:spot:BTCUSDT:1m@mark']
    const all = [btc, ...odd, ...alike.map(parseSeries)]
    for (const [i, series] of all.entries()) await store.commit(series, minutes(496 + i, { shift: i }))
    for (const [i, series] of all.entries()) {
      expect(barsOf(await read(store, series))).toEqual(barsOf(minutes(496 + i, { shift: i })))
    }
  }))

test('a series never written reads as nothing, also before there is a table', () =>
  withStore({}, async (store) => {
    expect(await store.extent(btc)).toBeUndefined()
    expect(await read(store, btc)).toHaveLength(0)
  }))

test('a month ends a run, and a caller may stop half way', () =>
  withStore({}, async (store) => {
    await store.commit(btc, minutes(70_000))
    const lengths: number[] = []
    for await (const batch of store.scan(btc, always)) {
      lengths.push(batch.length)
      if (lengths.length === 2) break
    }
    expect(lengths).toEqual([10, 16_374])
    expect(await read(store, btc)).toHaveLength(70_000)
  }))

test('Kite candles go to the table their users have', () =>
  withStore({ tokenTable: { name: 'kite_ohlcv_historic', venues: ['kite'] } }, async (store, url) => {
    const infy = parseSeries('kite:nse:408065:1d')
    const day = minutes(3, { fromMs: Date.UTC(1995, 0, 2) })
    expect(await store.commit(infy, day)).toMatchObject({ inserted: 3 })
    expect(barsOf(await read(store, infy))).toEqual(barsOf(day))
    const sql =
      'SELECT instrument_token, exchange, candle_interval, volume FROM kite_ohlcv_historic ORDER BY date'
    const key = { instrument_token: '408065', exchange: 'NSE', candle_interval: 'day' }
    expect(await server.query(sql, databaseOf(url))).toEqual(
      ['0', '1', '2'].map((volume) => ({ ...key, volume })),
    )
  }))

test('a bar the table refuses is set aside with its reason, the others are kept', () =>
  withStore({}, async (store, url, events) => {
    await store.applySchema()
    await server.query('ALTER TABLE bars ADD CHECK (close <> 1)', databaseOf(url))
    const batch = minutes(3_000)
    batch.close[1_234] = 1
    const result = await store.commit(btc, batch)
    expect(result).toMatchObject({ inserted: 2_999, unchanged: 0 })
    expect(result.setAside).toEqual([
      { openTimeMs: batch.openTimeMs[1_234], reason: expect.stringContaining('check constraint') },
    ])
    expect(events).toContainEqual(expect.objectContaining({ event: 'store_bars_set_aside', bars: 1 }))
    const half = minutes(2, { native: ['trades'] })
    half.native.trades![1] = 0.5
    expect((await store.commit(parseSeries('binance:spot:ETHUSDT:1m'), half)).setAside).toEqual([
      { openTimeMs: half.openTimeMs[1], reason: expect.stringContaining('whole number') },
    ])
  }))

test('an older table gains the columns it lacks and keeps its rows', () =>
  withStore({}, async (store, url) => {
    await store.commit(btc, minutes(5))
    await server.query('ALTER TABLE bars DROP COLUMN open_interest, DROP COLUMN ingested_at', databaseOf(url))
    await withStore({ url }, async (reopened) => {
      expect((await reopened.planSchema()).statements.map(({ why }) => why)).toEqual([
        'column bars.open_interest',
        'column bars.ingested_at',
      ])
      expect(await reopened.commit(btc, minutes(6))).toMatchObject({ inserted: 1, unchanged: 5 })
      expect((await reopened.planSchema()).statements).toEqual([])
    })
  }))

test.each([
  ['CREATE TABLE bars (open_time timestamp)', 'column venue is missing'],
  ['CREATE VIEW bars AS SELECT 1 AS venue', 'it is not a table'],
])('another shape is reported, not changed: %s', (sql, difference) =>
  withStore({}, async (store, url) => {
    await server.query(sql, databaseOf(url))
    const refused = { code: 'store.schema', recovery: 'abort', message: expect.stringContaining(difference) }
    await expect(store.planSchema()).rejects.toMatchObject(refused)
    await expect(store.commit(btc, minutes(5))).rejects.toMatchObject(refused)
  }),
)

test('only looks, where it may not make tables', () =>
  withStore({ schemaMode: 'check' }, async (store) => {
    await expect(store.commit(btc, minutes(5))).rejects.toMatchObject({ code: 'store.schema' })
    await store.applySchema()
    expect(await store.commit(btc, minutes(5))).toMatchObject({ inserted: 5 })
  }))

test('many writers of one new database', () =>
  withStore({}, (first, url) =>
    withStore({ url }, async (second) => {
      const from = (i: number) => startMs + i * 500 * MINUTE_MS
      const writers = [first, second, first, second]
      const results = await Promise.all(
        writers.map((store, i) => store.commit(btc, minutes(1_000, { fromMs: from(i) }))),
      )
      expect(results.reduce((sum, { inserted }) => sum + inserted, 0)).toBe(2_500)
      expect((await first.extent(btc))!.rows).toBe(2_500)
    }),
  ))
