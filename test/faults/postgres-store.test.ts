import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type BarBatch, barsOf, concatBatches } from '../../src/model/bar.ts'
import type { EverybarEvent } from '../../src/model/events.ts'
import { parseSeries } from '../../src/model/series.ts'
import { timeRange } from '../../src/model/time.ts'
import type { PostgresStoreOptions } from '../../src/store/postgres/options.ts'
import { openPostgresStore, type PostgresStore } from '../../src/store/postgres/postgres-store.ts'
import { minutes } from '../support/bars.ts'
import { type CuttingProxy, startCuttingProxy } from '../support/cutting-proxy.ts'
import { type PostgresServer, startPostgres } from '../support/postgres-server.ts'

let server: PostgresServer
let proxy: CuttingProxy
let url: string
let events: EverybarEvent[]
beforeAll(async () => {
  server = await startPostgres()
  proxy = await startCuttingProxy(server.port)
})
afterAll(async () => {
  await proxy.close()
  await server.stop()
})
beforeEach(async () => {
  url = await server.freshDatabase()
  events = []
})

const btc = parseSeries('binance:spot:BTCUSDT:1m')
const always = timeRange(0, 4e12)
const database = () => new URL(url).pathname.slice(1)
const eventNames = () => events.map(({ event }) => event)

async function withStore(
  options: Partial<PostgresStoreOptions>,
  use: (store: PostgresStore) => Promise<void>,
): Promise<void> {
  const onEvent = (event: EverybarEvent) => events.push(event)
  const store = await openPostgresStore({ name: 'pg', url, onEvent, retryDelayMs: 20, ...options })
  try {
    await use(store)
  } finally {
    await store[Symbol.asyncDispose]()
  }
}

const proxied = () => ({ url: url.replace(`:${server.port}/`, `:${proxy.port}/`) })

async function expectHolds(store: PostgresStore, batch: BarBatch): Promise<void> {
  const batches: BarBatch[] = []
  for await (const one of store.scan(btc, always)) batches.push(one)
  expect(barsOf(concatBatches(batches))).toEqual(barsOf(batch))
}

describe('the connection goes', () => {
  const cases = [
    ['before COMMIT arrives', 'COMMIT\0', 'before', 'aborted'],
    ['after COMMIT, before its answer', 'COMMIT\0', 'after', 'committed'],
    ['at BEGIN', 'BEGIN;', 'before', undefined],
    ['at the upsert', 'WITH revised', 'after', undefined],
    ['in mid-copy', 'PGCOPY', 'before', undefined],
  ] as const
  test.each(cases)('%s', (_, text, side, outcome) =>
    withStore(proxied(), async (store) => {
      await store.commit(btc, minutes(1_000))
      const next = minutes(3_000, { shift: 1 })
      const cutsBefore = proxy.cuts
      proxy.cutAt({ text, side })
      expect(await store.commit(btc, next)).toMatchObject({ inserted: 2_000, revised: 1_000, unchanged: 0 })
      expect(proxy.cuts - cutsBefore).toBe(1)
      expect(events.filter(({ event }) => event === 'store_commit_resolved').map((e) => e.outcome)).toEqual(
        outcome ? [outcome] : [],
      )
      await expectHolds(store, next)
    }),
  )
})

test('the server crashes within a commit and comes back: nothing lost, nothing doubled', () =>
  withStore({ attemptsMax: 10 }, async (store) => {
    await store.commit(btc, minutes(1_000))
    await server.query(
      `CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(5); RETURN NULL; END $$;
       CREATE TRIGGER slow AFTER INSERT ON bars FOR EACH STATEMENT EXECUTE FUNCTION slow()`,
      database(),
    )
    const committing = store.commit(btc, minutes(2_000))
    const waiting = `SELECT FROM pg_stat_activity WHERE query LIKE 'WITH revised%' AND wait_event = 'PgSleep'`
    while ((await server.query(waiting)).length === 0) await sleep(20)
    await server.crash()
    await server.restart()
    await server.query('DROP TRIGGER slow ON bars', database())
    expect(await committing).toMatchObject({ inserted: 1_000, unchanged: 1_000 })
    expect(eventNames()).toContain('store_retry')
    await expectHolds(store, minutes(2_000))
  }))

test('a deadlock is tried again', () =>
  withStore({}, async (store) => {
    await store.commit(btc, minutes(10))
    await server.query(
      `CREATE SEQUENCE tries;
       CREATE FUNCTION clash() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         IF nextval('tries') <= 2 THEN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END IF; RETURN NULL; END $$;
       CREATE TRIGGER clash AFTER INSERT ON bars FOR EACH STATEMENT EXECUTE FUNCTION clash()`,
      database(),
    )
    expect(await store.commit(btc, minutes(12))).toMatchObject({ inserted: 2, unchanged: 10 })
    expect(eventNames().filter((name) => name === 'store_retry')).toHaveLength(2)
  }))

test('another program that writes the same bars meanwhile does no harm', () =>
  withStore({}, async (store) => {
    await store.applySchema()
    await server.query(
      `CREATE SEQUENCE turns;
       CREATE FUNCTION barge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         IF nextval('turns') IN (1, 4) THEN
           INSERT INTO bars (venue, market, symbol, timeframe, price, open_time, open, high, low, close, volume)
           SELECT 'binance', 'spot', 'BTCUSDT', '1m', 'trade', t, 0, 0, 0, 0, 0 FROM unnest(ARRAY['2024-01-31T23:55Z', '2024-02-02T00:00Z']::timestamptz[]) t;
         END IF; RETURN NULL; END $$;
       CREATE TRIGGER barge BEFORE INSERT ON bars FOR EACH STATEMENT EXECUTE FUNCTION barge()`,
      database(),
    )
    expect(await store.commit(btc, minutes(1_000))).toMatchObject({ inserted: 1_000 })
    await expectHolds(store, minutes(1_000))
    const more = minutes(3_000)
    expect(await store.commit(btc, more)).toMatchObject({ inserted: 2_000, unchanged: 1_000 })
    await expectHolds(store, more)
    expect(await server.query('SELECT last_value >= 5 AS barged FROM turns', database())).toEqual([
      { barged: true },
    ])
  }))

const raising = (sqlState: string) =>
  `CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
     RAISE EXCEPTION 'no luck' USING ERRCODE = '${sqlState}'; END $$;
   CREATE TRIGGER fail BEFORE INSERT ON bars FOR EACH STATEMENT EXECUTE FUNCTION fail()`

test.each([
  ['serialisation failure', '40001', 'store.busy', 'retry'],
  ['disk full', '53100', 'store.disk-full', 'abort'],
  ['statement timeout', '57014', 'store.timeout', 'retry'],
  ['read-only failover', '25006', 'store.read-only', 'retry'],
  ['too many connections', '53300', 'store.unreachable', 'retry'],
  ['no permission', '42501', 'store.not-writable', 'abort'],
  ['damaged data', 'XX001', 'store.corrupt', 'abort'],
  ['something new', 'ZZ999', 'store.failed', 'abort'],
])('%s', (_, sqlState, code, recovery) =>
  withStore({ attemptsMax: 2 }, async (store) => {
    await store.commit(btc, minutes(10))
    await server.query(raising(sqlState), database())
    await expect(store.commit(btc, minutes(700))).rejects.toMatchObject({ code, recovery })
    await expectHolds(store, minutes(10))
  }),
)

test('a real statement timeout', () =>
  withStore({ statementTimeoutMs: 30, attemptsMax: 1 }, async (store) => {
    await store.commit(btc, minutes(10))
    await server.query(
      `CREATE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(1); RETURN NULL; END $$;
       CREATE TRIGGER nap AFTER INSERT ON bars FOR EACH STATEMENT EXECUTE FUNCTION nap()`,
      database(),
    )
    await expect(store.commit(btc, minutes(12))).rejects.toMatchObject({ code: 'store.timeout' })
  }))

test('an abort in mid-commit stops it: all or nothing is there, and the next commit goes through', () =>
  withStore({}, async (store) => {
    await store.commit(btc, minutes(10))
    const abort = new AbortController()
    const committing = store.commit(btc, minutes(200_000), abort.signal)
    setTimeout(() => abort.abort(new Error('enough')), 60)
    await expect(committing).rejects.toThrow('enough')
    await expectHolds(store, minutes(10))
    expect(await store.commit(btc, minutes(20))).toMatchObject({ inserted: 10, unchanged: 10 })
    await expect(store.commit(btc, minutes(30), AbortSignal.abort(new Error('no')))).rejects.toThrow('no')
  }))

describe('wrong settings', () => {
  const secret = 'S3cr/et&word'
  const cases: [string, () => Partial<PostgresStoreOptions>, string][] = [
    ['password', () => ({ url: url.replace(/:[^:@]+@/, `:${encodeURIComponent(secret)}@`) }), 'store.auth'],
    ['user', () => ({ url: url.replace('//postgres:', '//nobody:') }), 'store.auth'],
    ['database', () => ({ url: `${url}_not` }), 'store.no-database'],
    ['schema', () => ({ schema: 'nowhere' }), 'store.schema'],
    [
      'port',
      () => ({ url: `postgres://u:${encodeURIComponent(secret)}@127.0.0.1:1/d` }),
      'store.unreachable',
    ],
    [
      'host',
      () => ({ url: `postgres://u:${encodeURIComponent(secret)}@no-such-host.invalid/d` }),
      'store.unreachable',
    ],
  ]
  test.each(cases)('%s', async (_, options, code) => {
    const error = await withStore({ attemptsMax: 1, ...options() }, async (store) => {
      await store.commit(btc, minutes(1))
    }).then(
      () => undefined,
      (thrown: unknown) => thrown as Error,
    )
    expect(error).toMatchObject({ code })
    const shown = `${error} ${JSON.stringify(error)} ${error?.cause} ${JSON.stringify(error?.cause)} ${JSON.stringify(events)}`
    for (const form of [secret, encodeURIComponent(secret), server.password])
      expect(shown).not.toContain(form)
  })

  test('a url that cannot be read is not shown', async () => {
    const opened = openPostgresStore({ name: 'pg', url: `postgres//u:${secret}@h` })
    await expect(opened).rejects.toMatchObject({ code: 'store.bad-option', path: 'url' })
    await expect(opened).rejects.not.toThrow(secret)
  })

  test('a user who may not write', async () => {
    await withStore({}, async (store) => void (await store.applySchema()))
    await server.query(
      `CREATE ROLE reader LOGIN PASSWORD 'reader'; GRANT SELECT ON bars TO reader`,
      database(),
    )
    const reader = url.replace(/\/\/.*@/, '//reader:reader@')
    await withStore({ url: reader }, async (store) => {
      await expect(store.commit(btc, minutes(5))).rejects.toMatchObject({
        code: 'store.not-writable',
        recovery: 'abort',
      })
    })
  })
})
