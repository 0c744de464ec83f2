import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type BarBatch, barsOf, concatBatches } from '../../src/model/bar.ts'
import type { EverybarEvent } from '../../src/model/events.ts'
import { parseSeries } from '../../src/model/series.ts'
import { DAY_MS, MINUTE_MS, timeRange } from '../../src/model/time.ts'
import { type BigQueryStore, openBigQueryStore } from '../../src/store/bigquery/bigquery-store.ts'
import type { BigQueryStoreOptions } from '../../src/store/bigquery/options.ts'
import { minutes, startMs } from '../support/bars.ts'
import { type BigQueryServer, startBigQuery } from '../support/bigquery-server.ts'

const btc = parseSeries('binance:spot:BTCUSDT:1m')
const always = timeRange(0, 4e12)

let server: BigQueryServer
let events: EverybarEvent[]
let store: BigQueryStore
const open = (options: Partial<BigQueryStoreOptions> = {}) =>
  openBigQueryStore({
    name: 'bq',
    project: server.project,
    dataset: 'd',
    apiEndpoint: server.url,
    dmlGapMs: 0,
    retryDelayMs: 1,
    onEvent: (event) => events.push(event),
    ...options,
  })
beforeEach(async () => {
  server = await startBigQuery()
  events = []
  store = await open()
})
afterEach(async () => {
  await Promise.resolve(store[Symbol.asyncDispose]()).catch(() => {})
  await server.close()
})

const called = (call: RegExp) => server.calls.filter((one) => call.test(one)).length
const loads = () => called(/^POST \/upload/)
const inserts = () => called(/insertAll$/)
const eventNames = () => events.map(({ event }) => event)

async function contentOf(from: BigQueryStore = store): Promise<BarBatch> {
  const batches: BarBatch[] = []
  for await (const batch of from.scan(btc, always)) batches.push(batch)
  return concatBatches(batches)
}
const expectHolds = async (batch: BarBatch) => expect(barsOf(await contentOf())).toEqual(barsOf(batch))
const rowsIn = async (table: string) => Number((await server.tables.tableJson('d', table)).numRows)

describe('a call fails and is made again', () => {
  const calls: [string, RegExp][] = [
    ['the dataset', /^POST .*\/datasets$/],
    ['the table', /^POST .*\/tables$/],
    ['the load job', /^POST \/upload/],
    ['a poll', /^GET .*\/jobs\//],
    ['the MERGE', /^POST \/projects\/[^/]+\/jobs$/],
    ['the removal of the loaded table', /^DELETE/],
  ]
  const failures = [
    { name: '503', status: 503, reason: 'backendError', times: 2 },
    { name: '429', status: 429, reason: 'rateLimitExceeded', times: 2 },
    { name: '403 rateLimitExceeded', status: 403, reason: 'rateLimitExceeded', times: 2 },
    { name: 'cut before', drop: 'before' as const },
    { name: 'answer lost', drop: 'after' as const },
  ]
  test.each(calls.flatMap(([what, call]) => failures.map((failure) => ({ what, call, ...failure }))))(
    '$what: $name',
    async ({ call, name: _, what: __, ...failure }) => {
      server.fail({ call, ...failure })
      expect(await store.commit(btc, minutes(200))).toMatchObject({ inserted: 200, revised: 0, unchanged: 0 })
      expect(eventNames()).toContain('store_retry')
      await expectHolds(minutes(200))
    },
  )
})

test('a call that goes on failing is given up; nothing is half there', async () => {
  await store.commit(btc, minutes(150))
  server.fail({ call: /^POST \/upload/, times: 100 })
  await expect(store.commit(btc, minutes(300))).rejects.toMatchObject({
    code: 'store.unreachable',
    recovery: 'retry',
  })
  await expectHolds(minutes(150))
})

test.each([
  [403, 'quotaExceeded', 'store.quota', 'retry'],
  [403, 'accessDenied', 'store.not-writable', 'abort'],
  [401, 'authError', 'store.auth', 'abort'],
  [400, 'invalid', 'store.schema', 'abort'],
])('%i %s is not tried again', async (status, reason, code, recovery) => {
  await store.commit(btc, minutes(150))
  const before = loads()
  server.fail({ call: /^POST \/upload/, status, reason, times: 100 })
  await expect(store.commit(btc, minutes(300))).rejects.toMatchObject({ code, recovery })
  expect(loads() - before).toBe(1)
})

describe('loading', () => {
  test('the same bars twice: the second load is another job, and changes nothing', async () => {
    await store.commit(btc, minutes(200))
    await store.commit(btc, minutes(200, { shift: 1 }))
    expect(await store.commit(btc, minutes(200))).toMatchObject({ revised: 200 })
    expect(await store.commit(btc, minutes(200))).toMatchObject({ unchanged: 200 })
    await expectHolds(minutes(200))
    expect(server.tables.tableIds('d')).toEqual(['market_data_ohlcv'])
  })

  test('a process that died after loading: the next one merges what is loaded', async () => {
    server.fail({ call: /^POST \/projects\/[^/]+\/jobs$/, status: 400, reason: 'invalid' })
    await expect(store.commit(btc, minutes(200))).rejects.toMatchObject({ code: 'store.schema' })
    expect(server.tables.tableIds('d')).toHaveLength(2)
    const next = await open()
    expect(await next.commit(btc, minutes(200))).toMatchObject({ inserted: 200 })
    expect(server.tables.tableIds('d')).toEqual(['market_data_ohlcv'])
    await expectHolds(minutes(200))
    await next[Symbol.asyncDispose]()
  })

  test('a job still running is waited for', async () => {
    server.runningPolls = 3
    expect(await store.commit(btc, minutes(200))).toMatchObject({ inserted: 200 })
  })

  test('more days than one job may change are cut into several', async () => {
    const days = minutes(9_000)
    for (let i = 0; i < 9_000; i++) days.openTimeMs[i] = Date.UTC(2000, 0, 1) + i * DAY_MS
    expect(await store.commit(parseSeries('kite:nse:INFY:1d'), days)).toMatchObject({ inserted: 9_000 })
    expect(loads()).toBe(3)
  })

  test('an abort stops the commit, and the next one goes through', async () => {
    server.runningPolls = 1_000
    const abort = new AbortController()
    const committing = store.commit(btc, minutes(200), abort.signal)
    setTimeout(() => abort.abort(new Error('enough')), 80)
    await expect(committing).rejects.toThrow('enough')
    server.runningPolls = 0
    expect(await store.commit(btc, minutes(200))).toMatchObject({ inserted: 200 })
  })
})

describe('streaming', () => {
  test('requests hold at most 500 rows, and repeats are not sent', async () => {
    store = await open({ liveRowsMax: 5_000 })
    expect(await store.commit(btc, minutes(1_200))).toMatchObject({ inserted: 1_200 })
    expect(inserts()).toBe(3)
    expect(await store.commit(btc, minutes(1_200))).toMatchObject({ unchanged: 1_200 })
    expect(inserts()).toBe(3)
  })

  test('an append of many series shares requests and one look at what is there', async () => {
    const all = Array.from({ length: 620 }, (_, i) => parseSeries(`binance:spot:S${i}/USDT:1m`))
    const of = (batch: BarBatch) => all.map((series) => ({ series, batch }))
    const jobs = () => called(/^POST \/projects\/[^/]+\/jobs$/)
    await store.append(of(minutes(1)))
    expect([inserts(), jobs()]).toEqual([2, 1])
    const next = await store.append(of(minutes(1, { fromMs: startMs + MINUTE_MS })))
    expect(next.every(({ inserted }) => inserted === 1)).toBe(true)
    expect([inserts(), jobs()]).toEqual([4, 1])
    // A new process does not know them, and asks once; before, it merges what is not merged: two jobs.
    const other = await open()
    const known = await other.append(of(minutes(1)))
    expect(known.every(({ unchanged }) => unchanged === 1)).toBe(true)
    expect([inserts(), jobs()]).toEqual([4, 4])
    await other[Symbol.asyncDispose]()
  })

  test('an append sets aside what is refused, each for its series', async () => {
    const eth = parseSeries('binance:spot:ETHUSDT:1m')
    server.refuseRow = (json) => (json.symbol === 'ETHUSDT' && json.open === 100.125 ? 'invalid' : undefined)
    const results = await store.append([btc, eth].map((series) => ({ series, batch: minutes(3) })))
    expect(results).toMatchObject([{ inserted: 3 }, { inserted: 2 }])
    expect(results[0]!.setAside).toBeUndefined()
    expect(results[1]!.setAside).toEqual([{ openTimeMs: startMs + MINUTE_MS, reason: 'refused: invalid' }])
  })

  test('an answer lost and ids forgotten: streamed twice, one bar in the table', async () => {
    server.fail({ call: /insertAll$/, drop: 'after' })
    await store.commit(btc, minutes(5))
    expect(await rowsIn('market_data_ohlcv_live')).toBe(5)
    server.tables.forgetInsertIds()
    await (await open()).commit(btc, minutes(5, { shift: 1 }))
    server.tables.forgetInsertIds()
    await (await open({ mergeEveryMs: 0 })).commit(btc, minutes(6))
    expect(await rowsIn('market_data_ohlcv')).toBe(6)
    await expectHolds(minutes(6))
  })

  test('a row refused is set aside by its position, the others are taken', async () => {
    server.refuseRow = (json) =>
      json.timestamp === new Date(startMs + 3 * MINUTE_MS).toISOString() ? 'invalid' : undefined
    const result = await store.commit(btc, minutes(6))
    expect(result).toMatchObject({ inserted: 5, unchanged: 0 })
    expect(result.setAside).toEqual([{ openTimeMs: startMs + 3 * MINUTE_MS, reason: 'refused: invalid' }])
    expect(eventNames()).toContain('store_bars_set_aside')
    expect(await contentOf()).toHaveLength(5)
  })

  test('a row refused for a passing reason goes again alone', async () => {
    let refusals = 2
    server.refuseRow = (json) => (json.open === 100.125 && refusals-- > 0 ? 'backendError' : undefined)
    expect(await store.commit(btc, minutes(6))).toMatchObject({ inserted: 6 })
    expect(inserts()).toBe(3)
  })

  test('a table just made is not seen by streaming at once', async () => {
    server.fail({ call: /insertAll$/, status: 404, reason: 'notFound', times: 3 })
    expect(await store.commit(btc, minutes(6))).toMatchObject({ inserted: 6 })
  })

  test('history after live: the later wins, and a merge of older rows changes nothing', async () => {
    await store.commit(btc, minutes(10))
    await store.commit(btc, minutes(200, { shift: 2 }))
    await store.mergeLive()
    await expectHolds(minutes(200, { shift: 2 }))
    await store.commit(btc, minutes(10))
    await store.mergeLive()
    const expected = concatBatches([minutes(200, { shift: 2 }), minutes(10)])
    await expectHolds(expected)
  })

  test('a bar that a replacement removed may be streamed again', async () => {
    await store.commit(btc, minutes(10))
    await store.replace(btc, always, minutes(3))
    await expectHolds(minutes(3))
    expect(await store.commit(btc, minutes(10))).toMatchObject({ inserted: 7, unchanged: 3 })
    await expectHolds(minutes(10))
    await store.mergeLive()
    await expectHolds(minutes(10))
  })

  test('what is streamed is merged when the store closes', async () => {
    await store.commit(btc, minutes(10))
    expect(await rowsIn('market_data_ohlcv')).toBe(0)
    await store[Symbol.asyncDispose]()
    expect(await rowsIn('market_data_ohlcv')).toBe(10)
  })
})

describe('the table', () => {
  const seedFields = [
    ...['timestamp', 'exchange', 'symbol', 'timeframe'].map((name) => ({
      name,
      type: name === 'timestamp' ? 'TIMESTAMP' : 'STRING',
    })),
    ...['open', 'high', 'low', 'close', 'volume'].map((name) => ({ name, type: 'FLOAT' })),
  ]
  const make = async (metadata: Record<string, unknown>) => {
    await server.tables.createDataset('d', 'US')
    await server.tables.createTable('d', 'market_data_ohlcv', metadata)
  }

  test('is looked at once', async () => {
    await store.commit(btc, minutes(200))
    await store.commit(btc, minutes(300))
    expect(called(/^GET .*\/tables\/market_data_ohlcv$/)).toBe(2)
    expect(called(/^GET .*\/datasets\/d$/)).toBe(1)
  })

  test('of the collector before gains columns and keeps its partitions', async () => {
    const timePartitioning = { type: 'DAY', field: 'timestamp' }
    await make({
      schema: { fields: seedFields },
      timePartitioning,
      clustering: { fields: ['exchange', 'symbol'] },
    })
    expect((await store.planSchema()).statements).toHaveLength(7)
    expect(await store.commit(btc, minutes(200))).toMatchObject({ inserted: 200 })
    expect((await store.planSchema()).statements).toEqual([])
    expect(eventNames()).not.toContain('store_schema_differs')
  })

  test('with other partitions is used as it is, and said', async () => {
    await make({ schema: { fields: seedFields }, timePartitioning: { type: 'MONTH', field: 'timestamp' } })
    expect(await store.commit(btc, minutes(200))).toMatchObject({ inserted: 200 })
    expect(events.filter(({ event }) => event === 'store_schema_differs').map((e) => e.difference)).toEqual([
      'partitions: MONTH of timestamp, expected DAY of timestamp',
      'clusters: none, expected exchange, symbol',
    ])
  })

  test('of another shape is refused before anything is loaded, and the failure is an event', async () => {
    await make({ schema: { fields: [{ name: 'timestamp', type: 'STRING' }] } })
    await expect(store.commit(btc, minutes(200))).rejects.toMatchObject({ code: 'store.schema' })
    expect(eventNames()).toEqual(['store_ensure', 'store_ensure_failed'])
    expect(loads()).toBe(0)
  })

  test('is only looked for where it may not be made', async () => {
    store = await open({ schemaMode: 'check' })
    await expect(store.commit(btc, minutes(200))).rejects.toMatchObject({ code: 'store.schema' })
    await store.applySchema()
    expect(await store.commit(btc, minutes(200))).toMatchObject({ inserted: 200 })
  })

  test('as SQL', async () => {
    const [dataset, table] = (await store.planSchema()).statements
    expect(dataset!.sql).toContain('`test-project.d`')
    expect(table!.sql).toMatchSnapshot()
  })

  test('of a series never written, or not made, reads as nothing', async () => {
    expect(await store.extent(btc)).toBeUndefined()
    expect(await contentOf()).toHaveLength(0)
  })
})

describe('credentials', () => {
  const secret = 'MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj'
  const cases: [string, string | undefined][] = [
    ['missing', undefined],
    ['not JSON', `-----BEGIN PRIVATE KEY-----${secret}`],
    [
      'a broken key',
      JSON.stringify({
        type: 'service_account',
        client_email: 'a@b.c',
        private_key: `-----BEGIN PRIVATE KEY-----\n${secret}\n-----END PRIVATE KEY-----\n`,
      }),
    ],
  ]
  test.each(cases)('%s', async (_, content) => {
    const dir = await mkdtemp(join(tmpdir(), 'everybar-key-'))
    try {
      if (content !== undefined) await writeFile(join(dir, 'key.json'), content)
      vi.stubEnv('GOOGLE_APPLICATION_CREDENTIALS', join(dir, 'key.json'))

      const to = await openBigQueryStore({
        name: 'bq',
        project: 'p-1',
        attemptsMax: 1,
        onEvent: (e) => events.push(e),
      })
      const error = await to.commit(btc, minutes(200)).then(
        () => undefined,
        (thrown: unknown) => thrown as Error,
      )
      expect(error).toMatchObject({ code: 'store.auth', recovery: 'abort' })
      const shown = `${error} ${error?.cause} ${JSON.stringify(error)} ${JSON.stringify(events)}`
      expect(shown).not.toContain(secret)
      expect(shown).not.toContain('BEGIN')
    } finally {
      vi.unstubAllEnvs()
      await rm(dir, { recursive: true, force: true })
    }
  })
})
