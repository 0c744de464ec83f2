import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { inFolder, runHere } from '../run-cli.ts'
import { type PostgresServer, startPostgres } from '../support/postgres-server.ts'

const BTC = 'binance:spot:BTCUSDT:1m'
const range = ['--from', '2024-01-01', '--to', '2024-01-05']

describe('a run with a lake and a PostgreSQL server', () => {
  let venue: Simulator
  let server: PostgresServer
  beforeAll(async () => {
    venue = await startSimulator({ seed: 5, nowMs: Date.UTC(2024, 2, 1), weightLimit: 1e9 })
    server = await startPostgres()
  })
  afterAll(async () => {
    await venue.close()
    await server.stop()
  })

  const sqlOn = (url: string) => (text: string) => server.query(text, new URL(url).pathname.slice(1))
  const run = (root: string, url: string, ...args: string[]) =>
    runHere([...args, '--root', root], {
      env: {
        EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url,
        EVERYBAR__STORES__POSTGRES__URL: url,
      },
    })

  test('both have every bar; a server that is down holds nothing back and catches up without the venue', async () => {
    await inFolder(async (root) => {
      const down = 'postgres://nobody:s3cret-planted@127.0.0.1:9/nowhere'
      const first = await run(root, down, 'sync', BTC, ...range, '--json')
      expect(first.code).toBe(5)
      expect(first.json().data.series[0].bars.inserted).toBe(6_000)
      expect(first.json().data.series[0].problems.map((p: { code: string }) => p.code)).toEqual([
        'store.unreachable',
      ])
      expect(first.stdout + first.stderr).not.toContain('s3cret-planted')
      const again = await run(root, down, 'sync', BTC, ...range, '-v')
      expect(again.code).toBe(5)
      expect(again.stdout + again.stderr, 'nothing was replayed, and none says so').not.toContain('replayed')
      const unproved = await run(root, down, 'verify', '--json')
      expect([unproved.code, unproved.json().data.series[0].unsettled]).toEqual([3, 6])
      const behind = await run(root, down, 'status', '--json')
      expect(behind.json().data[0].behind).toEqual({ parquet: 0, postgres: 6 })

      const url = await server.freshDatabase()
      const sql = sqlOn(url)
      expect((await run(root, url, 'db', 'plan', '--json')).json().data.sql.length).toBeGreaterThan(0)
      const checkOf = async (at: string) =>
        (await run(root, at, 'doctor', '--json'))
          .json()
          .data.find((check: { name: string }) => check.name === 'store postgres')
      expect(await checkOf(down)).toMatchObject({ state: 'fail', hint: expect.any(String) })
      expect(await checkOf(url)).toMatchObject({
        state: 'pass',
        detail: expect.stringContaining('first commit'),
      })
      venue.resetStats()
      const second = await run(root, url, 'sync', BTC, ...range, '--json')
      expect(second.code).toBe(0)
      expect(venue.stats().requests).toBe(0)
      expect(second.json().data.series[0].slices).toMatchObject({ fetched: 0, replayed: 6 })
      expect((await run(root, url, 'db', 'plan', '--json')).json().data.sql).toEqual([])
      const level = await run(root, url, 'status', '--json')
      expect(level.json().data[0].behind).toEqual({ parquet: 0, postgres: 0 })
      expect(await sql('SELECT count(*)::int AS n FROM bars')).toEqual([{ n: 6_000 }])

      await sql("DELETE FROM bars WHERE open_time = TIMESTAMPTZ '2024-01-02T00:00Z'")
      await sql("UPDATE bars SET close = 1 WHERE open_time = TIMESTAMPTZ '2024-01-03T00:00Z'")
      const look = await run(root, url, 'reconcile', '--store', 'postgres', '--dry-run', '--json')
      expect(look.code).toBe(4)
      expect(look.json().data).toMatchObject({ different: 1, repaired: 0 })
      const mend = await run(root, url, 'reconcile', '--store', 'postgres', '--json')
      expect(mend.code).toBe(0)
      expect(mend.json().data).toMatchObject({ different: 1, repaired: 1 })
      const mended = await run(root, url, 'reconcile', '--store', 'postgres', '--json')
      expect(mended.json().data).toMatchObject({ different: 0, repaired: 0 })
      expect((await run(root, url, 'reconcile', '--store', 'parquet', '--dry-run')).code).toBe(0)
      expect((await run(root, url, 'reconcile', '--store', 'mysql')).code).toBe(2)
    })
  })

  test('a bar its table refuses is never taken for stored: not by reconcile, not by rebuild, not by what comes after', async () => {
    await inFolder(async (root) => {
      const url = await server.freshDatabase()
      const sql = sqlOn(url)
      const refuse = () =>
        sql(
          "ALTER TABLE bars ADD CONSTRAINT no CHECK (open_time <> TIMESTAMPTZ '2024-01-02T00:00Z') NOT VALID",
        )
      const codesOf = async (...commands: readonly (readonly string[])[]) => {
        const codes: (number | null)[] = []
        for (const command of commands) codes.push((await run(root, url, ...command)).code)
        return codes
      }
      const everyCommand = [
        ['sync', BTC, ...range],
        ['reconcile', '--store', 'postgres'],
        ['rebuild', '--store', 'postgres'],
        ['sync', BTC, ...range],
        ['verify'],
      ]
      await run(root, url, 'db', 'apply')
      await refuse()
      expect(await codesOf(...everyCommand)).toEqual([3, 4, 3, 3, 3])
      const rebuilt = await run(root, url, 'rebuild', '--store', 'postgres', '--json')
      expect(rebuilt.json().data.problems).toMatchObject([{ code: 'store.set-aside' }])

      await sql('ALTER TABLE bars DROP CONSTRAINT no')
      expect(await codesOf(...everyCommand)).toEqual([0, 0, 0, 0, 0])
      expect(await sql('SELECT count(*)::int AS n FROM bars')).toEqual([{ n: 6_000 }])

      await sql("DELETE FROM bars WHERE open_time = TIMESTAMPTZ '2024-01-02T00:00Z'")
      await refuse() // now of a bar that is noted as stored
      expect(await codesOf(['rebuild', '--store', 'postgres'], ['sync', BTC, ...range], ['verify'])).toEqual([
        3, 3, 3,
      ])
    })
  })

  test('bars in months the archive has none in are seen by reconcile, and taken out by it and by rebuild', async () => {
    await inFolder(async (root) => {
      const url = await server.freshDatabase()
      const sql = sqlOn(url)
      await run(root, url, 'sync', BTC, ...range)
      const addStrays = async () => {
        for (const time of ['2010-01-01T00:00Z', '2029-05-01T00:00Z'])
          await sql(`INSERT INTO bars (venue, market, symbol, timeframe, price, open_time, open, high, low, close, volume)
              SELECT venue, market, symbol, timeframe, price, TIMESTAMPTZ '${time}', open, high, low, close, volume FROM bars LIMIT 1`)
      }
      await addStrays()
      const look = await run(root, url, 'reconcile', '--store', 'postgres', '--dry-run', '--json')
      expect([look.code, look.json().data.different]).toEqual([4, 2])
      expect((await run(root, url, 'reconcile', '--store', 'postgres')).code).toBe(0)
      expect(await sql('SELECT count(*)::int AS n FROM bars')).toEqual([{ n: 6_000 }])
      await addStrays()
      expect((await run(root, url, 'rebuild', '--store', 'postgres')).code).toBe(0)
      expect(await sql('SELECT count(*)::int AS n FROM bars')).toEqual([{ n: 6_000 }])
    })
  })

  test('bars whose answers are lost are told by reconcile, and taken out by nobody', async () => {
    await inFolder(async (root) => {
      const url = await server.freshDatabase()
      const sql = sqlOn(url)
      await run(root, url, 'sync', BTC, ...range)
      rmSync(join(root, 'binance/klines/raw/BTCUSDT/1m/responses'), { recursive: true })
      expect((await run(root, url, 'reconcile', '--store', 'postgres')).code).toBe(4)
      await run(root, url, 'rebuild', '--store', 'postgres')
      expect(await sql('SELECT count(*)::int AS n FROM bars')).toEqual([{ n: 6_000 }])
    })
  })

  test('a table of another name, or of another server, has nothing yet, though its store is called the same', async () => {
    await inFolder(async (root) => {
      const url = await server.freshDatabase()
      const sql = sqlOn(url)
      const at = (table: string, ...args: string[]) =>
        runHere([...args, '--root', root], {
          env: {
            EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url,
            EVERYBAR__STORES__POSTGRES__URL: url,
            EVERYBAR__STORES__POSTGRES__TABLE: table,
          },
        })
      const behind = async (table: string) =>
        (await at(table, 'status', '--json')).json().data[0].behind.postgres
      const rowsOf = (table: string) => sql(`SELECT count(*)::int AS n FROM ${table}`)
      expect((await at('bars', 'sync', BTC, ...range)).code).toBe(0)
      expect([(await at('bars_two', 'verify')).code, await behind('bars_two'), await behind('bars')]).toEqual(
        [3, 6, 0],
      )

      const down = 'postgres://nobody:s3cret-planted@127.0.0.1:9/nowhere'
      expect((await run(root, down, 'sync', BTC, ...range)).code).toBe(5)
      expect(await behind('bars'), 'a place that took nothing changes nothing').toBe(0)

      venue.resetStats()
      expect((await at('bars_two', 'sync', BTC, ...range)).code).toBe(0)
      expect((await at('bars_two', 'verify')).code).toBe(0)
      expect(await rowsOf('bars_two')).toEqual([{ n: 6_000 }])

      await sql('DELETE FROM bars')
      expect((await at('bars', 'sync', BTC, ...range)).code).toBe(0)
      expect(await rowsOf('bars')).toEqual([{ n: 6_000 }])
      const again = await at('bars', 'sync', BTC, ...range, '--json')
      expect([again.code, again.json().data.series[0].slices.replayed]).toEqual([0, 0])
      expect(venue.stats().requests).toBe(0)
    })
  })
})
