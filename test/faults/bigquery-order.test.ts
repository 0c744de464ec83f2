import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type BarBatch, barsOf, concatBatches, sliceBatch } from '../../src/model/bar.ts'
import type { EverybarEvent } from '../../src/model/events.ts'
import { parseSeries } from '../../src/model/series.ts'
import { HOUR_MS, MINUTE_MS, timeRange } from '../../src/model/time.ts'
import { type BigQueryStore, openBigQueryStore } from '../../src/store/bigquery/bigquery-store.ts'
import type { BigQueryStoreOptions } from '../../src/store/bigquery/options.ts'
import { minutes, startMs } from '../support/bars.ts'
import { type BigQueryServer, startBigQuery } from '../support/bigquery-server.ts'
import { ApiFault } from '../support/bigquery-tables.ts'

const btc = parseSeries('binance:spot:BTCUSDT:1m')
const always = timeRange(0, 4e12)

let server: BigQueryServer
let events: EverybarEvent[]
let opened: BigQueryStore[]
async function open(options: Partial<BigQueryStoreOptions> = {}): Promise<BigQueryStore> {
  const store = await openBigQueryStore({
    name: 'bq',
    project: server.project,
    dataset: 'd',
    apiEndpoint: server.url,
    dmlGapMs: 0,
    retryDelayMs: 1,
    onEvent: (event) => events.push(event),
    ...options,
  })
  opened.push(store)
  return store
}
beforeEach(async () => {
  server = await startBigQuery()
  events = []
  opened = []
})
afterEach(async () => {
  for (const store of opened) await Promise.resolve(store[Symbol.asyncDispose]()).catch(() => {})
  await server.close()
})

/** What a process of its own finds. */
async function read(): Promise<BarBatch> {
  const batches: BarBatch[] = []
  for await (const batch of (await open()).scan(btc, always)) batches.push(batch)
  return concatBatches(batches)
}
const expectHolds = async (batch: BarBatch) => expect(barsOf(await read())).toEqual(barsOf(batch))
/** What is left once the partitions of streamed bars have expired. */
const expireStreamed = () => server.tables.deleteTable('d', 'market_data_ohlcv_live')
const ahead = (ms: number) => ({ nowMs: () => Date.now() + ms })
const later = (count: number) => minutes(count, { fromMs: startMs + HOUR_MS })

describe('what was written last counts', () => {
  test('a load that equals the table, after a streamed revision', async () => {
    const store = await open()
    await store.commit(btc, minutes(300))
    await store.commit(btc, minutes(1, { shift: 5 }))
    expect(await store.commit(btc, minutes(300))).toMatchObject({ revised: 1, unchanged: 299 })
    await expectHolds(minutes(300))
    await store.mergeLive()
    await expireStreamed()
    await expectHolds(minutes(300))
  })

  test('a load after a revision that another process streamed', async () => {
    const [loading, streaming] = [await open(), await open()]
    await loading.commit(btc, minutes(300))
    await streaming.commit(btc, minutes(1, { shift: 5 }))
    await loading.commit(btc, minutes(300))
    await expectHolds(minutes(300))
  })

  test('a bar streamed while the store merges is merged when it closes', async () => {
    const store = await open()
    await store.commit(btc, minutes(3))
    server.runningPolls = 2
    const merging = store.mergeLive()
    await store.commit(btc, sliceBatch(minutes(4), 3, 4))
    await merging
    await store[Symbol.asyncDispose]()
    await expireStreamed()
    await expectHolds(minutes(4))
  })
})

describe('a process killed while bars it streamed were not merged', () => {
  test.each([
    ['loads', 300],
    ['streams', 3],
  ])('the next that %s merges them, before they expire', async (_, count) => {
    await (await open()).commit(btc, minutes(3))
    const next = await open()
    await next.commit(btc, later(count))
    await next[Symbol.asyncDispose]()
    await expireStreamed()
    await expectHolds(concatBatches([minutes(3), later(count)]))
  })
})

describe('a clock that was ahead', () => {
  test.each([
    ['an hour', HOUR_MS],
    ['two minutes', 2 * MINUTE_MS],
  ])('%s: bars streamed by a clock that is right are read, and merged', async (_, ms) => {
    const first = await open(ahead(ms))
    await first.commit(btc, minutes(3))
    await first[Symbol.asyncDispose]()
    const next = await open()
    const revised = minutes(1, { shift: 5 })
    expect(await next.commit(btc, concatBatches([revised, later(3)]))).toMatchObject({
      inserted: 3,
      revised: 1,
    })
    const expected = concatBatches([revised, sliceBatch(minutes(3), 1, 3), later(3)])
    await expectHolds(expected)
    await next[Symbol.asyncDispose]()
    await expireStreamed()
    await expectHolds(expected)
  })

  test('bars it loaded are revised by bars streamed', async () => {
    const first = await open({ liveRowsMax: 0, ...ahead(HOUR_MS) })
    await first.commit(btc, minutes(3))
    const next = await open()
    expect(await next.commit(btc, minutes(1, { shift: 5 }))).toMatchObject({ revised: 1 })
    const expected = concatBatches([minutes(1, { shift: 5 }), sliceBatch(minutes(3), 1, 3)])
    await expectHolds(expected)
    await next[Symbol.asyncDispose]()
    await expireStreamed()
    await expectHolds(expected)
  })

  test('bars it streamed, and left, are revised by a load, and taken back by a replacement', async () => {
    await (await open(ahead(HOUR_MS))).commit(btc, minutes(3))
    const next = await open()
    await next.commit(btc, minutes(150, { shift: 5 }))
    await expectHolds(minutes(150, { shift: 5 }))
    await next.replace(btc, always, minutes(1))
    await expectHolds(minutes(1))
    await next[Symbol.asyncDispose]()
    await expireStreamed()
    await expectHolds(minutes(1))
  })
})

test('a month may be replaced by the same bars as often as wanted', async () => {
  const store = await open()
  for (let i = 0; i < 25; i++) await store.replace(btc, always, minutes(5))
  await expectHolds(minutes(5))
})

test('a load that was taken and failed is run again after a wait, as another job', async () => {
  const fault = new ApiFault(403, 'jobRateLimitExceeded', 'Exceeded rate limits')
  server.failingLoads.push(fault, fault)
  const store = await open()
  expect(await store.commit(btc, minutes(200))).toMatchObject({ inserted: 200 })
  expect(events.filter(({ event }) => event === 'store_retry')).toMatchObject([
    { attempt: 1 },
    { attempt: 2 },
  ])
  await expectHolds(minutes(200))
})

describe('a statement that was taken and failed', () => {
  const conflict = new ApiFault(
    400,
    'invalidQuery',
    'Could not serialize access to table d.t due to concurrent update',
  )
  test.each([
    ['two at once', conflict],
    ['too many jobs', new ApiFault(403, 'jobRateLimitExceeded', 'Exceeded rate limits')],
    ['the server', new ApiFault(500, 'backendError', 'Retry the job')],
  ])('%s: is run again', async (_, fault) => {
    server.failingMerges.push(fault, fault)
    expect(await (await open()).commit(btc, minutes(200))).toMatchObject({ inserted: 200 })
    expect(events.filter(({ event }) => event === 'store_retry')).toHaveLength(2)
    await expectHolds(minutes(200))
  })

  test('for good, or again and again: is given up', async () => {
    const store = await open()
    server.failingMerges.push(new ApiFault(400, 'invalidQuery', 'No such column'))
    await expect(store.commit(btc, minutes(200))).rejects.toMatchObject({ code: 'store.schema' })
    server.failingMerges.push(...Array.from({ length: 20 }, () => conflict))
    await expect(store.commit(btc, minutes(200))).rejects.toMatchObject({ code: 'store.unreachable' })
    expect(server.failingMerges).toHaveLength(14)
  })
})
