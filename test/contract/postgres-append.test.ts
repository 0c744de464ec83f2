import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type BarBatch, barsOf, concatBatches } from '../../src/model/bar.ts'
import { parseSeries, type Series } from '../../src/model/series.ts'
import { MINUTE_MS, timeRange } from '../../src/model/time.ts'
import type { PostgresStoreOptions } from '../../src/store/postgres/options.ts'
import type { PostgresStore } from '../../src/store/postgres/postgres-store.ts'
import { minutes, startMs } from '../support/bars.ts'
import { type CuttingProxy, startCuttingProxy } from '../support/cutting-proxy.ts'
import { type PostgresServer, startPostgres } from '../support/postgres-server.ts'
import { databaseOf, onServer } from '../support/postgres-store.ts'

let server: PostgresServer
let proxy: CuttingProxy
beforeAll(async () => {
  server = await startPostgres()
  proxy = await startCuttingProxy(server.port)
})
afterAll(async () => {
  await proxy.close()
  await server.stop()
})

const many = (count: number, market = 'spot'): Series[] =>
  Array.from({ length: count }, (_, i) => parseSeries(`binance:${market}:S${i}/USDT:1m`))
const entriesOf = (all: readonly Series[], batch: BarBatch) => all.map((series) => ({ series, batch }))

const withStore = (
  options: Partial<PostgresStoreOptions>,
  use: Parameters<typeof onServer>[2],
): Promise<void> => onServer(server, options, use)

async function content(store: PostgresStore, series: Series) {
  const batches: BarBatch[] = []
  for await (const batch of store.scan(series, timeRange(0, 4e12))) batches.push(batch)
  return barsOf(concatBatches(batches))
}

describe('an append', () => {
  test.each(['none', 'month'] as const)('of many series is one transaction, partitions: %s', (partitions) =>
    withStore({ partitions }, async (store, url) => {
      const all = many(300)
      await store.append(entriesOf(all, minutes(3)))
      const sql = 'SELECT count(DISTINCT xmin::text)::int AS transactions, count(*)::int AS rows FROM bars'
      expect(await server.query(sql, databaseOf(url))).toEqual([{ transactions: 1, rows: 900 }])
      // Old and new months, so that a partition is made on the way.
      const next = concatBatches([minutes(1, { fromMs: Date.UTC(2021, 4, 1) }), minutes(15)])
      const results = await store.append(entriesOf(all.slice(0, 3), next))
      expect(results).toEqual(
        [0, 1, 2].map(() => ({ inserted: 13, revised: 0, unchanged: 3, revisedAtMs: [] })),
      )
      expect(await content(store, all[2]!)).toEqual(barsOf(next))
    }),
  )

  test('goes to the table of each series', () =>
    withStore({ tokenTable: { name: 'kite_ohlcv_historic', venues: ['kite'] } }, async (store, url) => {
      const infy = parseSeries('kite:nse:408065:1m')
      const [btc] = many(1)
      const first = minutes(2, { native: ['trades'] })
      const results = await store.append([
        { series: infy, batch: first },
        { series: btc!, batch: first },
      ])
      expect(results.map(({ inserted }) => inserted)).toEqual([2, 2])
      const sql = 'SELECT instrument_token, exchange, candle_interval FROM kite_ohlcv_historic'
      const row = { instrument_token: '408065', exchange: 'NSE', candle_interval: 'minute' }
      expect(await server.query(sql, databaseOf(url))).toEqual([row, row])
      expect(await content(store, infy)).toEqual(barsOf(minutes(2)))
      expect(await content(store, btc!)).toEqual(barsOf(first))
      const changed = minutes(3, { shift: 1 })
      const [again] = await store.append([{ series: infy, batch: changed }])
      expect(again).toMatchObject({ inserted: 1, revised: 2, unchanged: 0 })
    }))

  test('sets aside the bars the table refuses, each for its series, and keeps all others', () =>
    withStore({}, async (store, url, events) => {
      await store.applySchema()
      await server.query(
        "ALTER TABLE bars ADD CHECK (NOT (symbol LIKE 'S1%' AND close > 101))",
        databaseOf(url),
      )
      const all = many(12)
      const batch = minutes(3)
      batch.close[1] = 102
      const results = await store.append(entriesOf(all, batch))
      const refused = { openTimeMs: batch.openTimeMs[1], reason: expect.stringContaining('check constraint') }
      expect(results.map(({ setAside = [], inserted }) => [setAside, inserted])).toEqual(
        all.map((_, i) => (i === 1 || i > 9 ? [[refused], 2] : [[], 3])),
      )
      expect(events.filter(({ event }) => event === 'store_bars_set_aside')).toHaveLength(3)
      for (const [i, series] of all.entries())
        expect(await content(store, series)).toHaveLength(i === 1 || i > 9 ? 2 : 3)
      const half = minutes(2, { native: ['trades'] })
      half.native.trades![1] = 0.5
      const [misfit] = await store.append([{ series: all[0]!, batch: half }])
      expect(misfit!.setAside).toEqual([
        { openTimeMs: half.openTimeMs[1], reason: expect.stringContaining('whole number') },
      ])
    }))

  const cuts = [
    ['before COMMIT arrives', 'COMMIT\0', 'before', 'aborted'],
    ['after COMMIT, before its answer', 'COMMIT\0', 'after', 'committed'],
    ['at BEGIN', 'BEGIN;', 'before', undefined],
    ['at the statement', 'WITH stage', 'after', undefined],
  ] as const
  test.each(cuts)('counts right when the connection goes %s', async (_, text, side, outcome) => {
    const url = (await server.freshDatabase()).replace(`:${server.port}/`, `:${proxy.port}/`)
    await withStore({ url }, async (store, _url, events) => {
      const all = many(40)
      await store.append(entriesOf(all, minutes(2)))
      const next = minutes(3, { shift: 1 })
      const before = proxy.cuts
      proxy.cutAt({ text, side })
      const results = await store.append(entriesOf(all, next))
      expect(proxy.cuts - before).toBe(1)
      for (const result of results) expect(result).toMatchObject({ inserted: 1, revised: 2, unchanged: 0 })
      const resolved = events.filter(({ event }) => event === 'store_commit_resolved')
      expect(resolved.map((event) => event.outcome)).toEqual(outcome ? [outcome] : [])
      for (const series of [all[0]!, all[39]!]) expect(await content(store, series)).toEqual(barsOf(next))
    })
  })

  test('of two processes and commits beside them cross without a deadlock, and lose nothing', () =>
    withStore({}, (first, url) =>
      withStore({ url }, async (second, _, events) => {
        const all = many(60)
        const at = (i: number) => minutes(2, { fromMs: startMs + i * MINUTE_MS })
        await Promise.all([
          ...[0, 1, 2, 3].map((i) =>
            (i % 2 ? first : second).append(entriesOf(i < 2 ? all : [...all].reverse(), at(i))),
          ),
          ...all
            .slice(0, 10)
            .map((series) => first.commit(series, minutes(50, { fromMs: startMs + 10 * MINUTE_MS }))),
        ])
        expect(events.filter(({ event }) => event === 'store_retry')).toEqual([])
        for (const [i, series] of all.entries())
          expect(await content(second, series)).toHaveLength(i < 10 ? 55 : 5)
      }),
    ))
})

describe('the open bar', () => {
  const rows = (url: string) =>
    server.query(
      `SELECT symbol, extract(epoch FROM open_time)::float8 * 1000 AS at, close, trades::int, observed_at > now() - interval '1 minute' AS fresh
       FROM bars_open ORDER BY symbol`,
      databaseOf(url),
    )

  test('is kept where it is asked for, one row a series, apart from the final bars', () =>
    withStore({ provisional: true }, async (store, url) => {
      const [a, b] = many(2)
      const bar = (minute: number, shift: number) =>
        minutes(1, { fromMs: startMs + minute * MINUTE_MS, shift, native: ['trades'] })
      await store.append(entriesOf([a!, b!], minutes(2)))
      await store.provisional!(entriesOf([a!, b!], bar(2, 0)))
      await store.provisional!([{ series: a!, batch: bar(2, 5) }])
      await store.provisional!([{ series: b!, batch: bar(3, 1) }])
      // Comes late: a newer bar of the series is there.
      await store.provisional!([{ series: b!, batch: bar(2, 9) }])
      expect(await rows(url)).toEqual([
        { symbol: 'S0/USDT', at: startMs + 2 * MINUTE_MS, close: 105.1, trades: 0, fresh: true },
        { symbol: 'S1/USDT', at: startMs + 3 * MINUTE_MS, close: 101.1, trades: 0, fresh: true },
      ])
      for (const series of [a!, b!]) expect(await content(store, series)).toEqual(barsOf(minutes(2)))
      expect((await store.extent(a!))!.rows).toBe(2)
    }))

  test('has no table and no door where it is not', () =>
    withStore({}, async (store, url) => {
      expect(store.provisional).toBeUndefined()
      await store.applySchema()
      await expect(rows(url)).rejects.toThrow('bars_open')
    }))

  test('has a plain table of its own, also beside partitions; the plan makes it and finds it made', () =>
    withStore({ provisional: true, partitions: 'month', table: 'candles' }, async (store, url) => {
      const plan = await store.planSchema()
      expect(plan.statements.map(({ why }) => why)).toEqual([
        'table candles',
        'index candles_open_time_idx',
        'table candles_open',
      ])
      expect(plan.statements[2]!.sql).not.toContain('PARTITION')
      await store.applySchema()
      expect((await store.planSchema()).statements).toEqual([])
      await store.provisional!(entriesOf(many(3), minutes(1)))
      const sql = 'SELECT count(*)::int AS rows FROM candles_open'
      expect(await server.query(sql, databaseOf(url))).toEqual([{ rows: 3 }])
    }))

  test('is one of each series: nothing else is taken', () =>
    withStore({ provisional: true }, async (store) => {
      const [a, b] = many(2)
      const wrong = [
        [{ series: a!, batch: minutes(2) }],
        [{ series: a!, batch: minutes(0) }],
        entriesOf([b!, a!, b!], minutes(1)),
      ]
      for (const entries of wrong)
        await expect(store.provisional!(entries)).rejects.toMatchObject({ code: 'store.bad-batch' })
      await store.provisional!([])
    }))
})
