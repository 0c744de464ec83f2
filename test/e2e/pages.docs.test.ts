import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startKiteSimulator } from '../../src/simulator/kite-simulator.ts'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { inFolder, type RunOptions, runCli, runHere } from '../run-cli.ts'
import { runDocExamples } from '../run-doc-examples.ts'
import { readPage } from '../support/citations.ts'
import { type PostgresServer, startPostgres } from '../support/postgres-server.ts'

// Examples of pages that have no test of their own, as they stand there, against real servers on this machine.

/** The blocks of a page in one language. */
const blocks = (page: string, language: string): string[] =>
  [...readPage(page).matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map(
    ([, text]) => text!,
  )
const block = (page: string, language: string, with_: string): string => {
  const found = blocks(page, language).find((text) => text.includes(with_))
  if (found === undefined) throw new Error(`${page} shows nothing with ${with_}`)
  return found
}

/** What a line of a shell asks of everybar: its arguments, and the variables it sets. */
function commandOf(line: string): { readonly args: string[]; readonly env: Record<string, string> } {
  const words = line.replace(/\s+#.*$/, '').split(' ')
  const at = words.indexOf('everybar')
  const env = Object.fromEntries(
    words.slice(0, at).map((word) => word.split(/=(.*)/s, 2) as [string, string]),
  )
  return { args: words.slice(at + 1), env }
}
const commandsOf = (text: string): string[] => text.split('\n').filter((line) => /(^| )everybar /.test(line))

const nowMs = Date.parse('2024-03-20T00:00:30Z')
const outage = { startMs: Date.parse('2024-03-05T10:00Z'), endMs: Date.parse('2024-03-05T10:07Z') }
let venue: Simulator
let postgres: PostgresServer
beforeAll(async () => {
  const symbols = ['BTCUSDT', 'ETHUSDT', 'BTCUSD', 'ETHUSD']
  venue = await startSimulator({
    seed: 5,
    symbols,
    nowMs,
    fromMs: Date.parse('2024-03-01T00:00Z'),
    outages: [outage],
    weightLimit: Number.POSITIVE_INFINITY,
  })
  postgres = await startPostgres()
})
afterAll(async () => {
  await venue.close()
  await postgres.stop()
})

const venues = () => ({
  EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url,
  EVERYBAR__SOURCES__CCXT__BASE_URL: venue.url,
})
const month = ['sync', 'binance:spot:BTCUSDT:1m', '--from', '2024-03']
/** Statements of a block of SQL. */
const statements = (sql: string): string[] => sql.split(/;\n/).filter((text) => text.trim() !== '')

runDocExamples('docs/simulator.md')

describe('configurations that pages show', () => {
  // The loader has a configuration of its own, which docs/loader.md's test reads.
  const pages = readdirSync(new URL('../../docs', import.meta.url)).filter(
    (name) => name.endsWith('.md') && !name.startsWith('loader'),
  )
  const shown = pages.flatMap((name) => blocks(`docs/${name}`, 'yaml').map((text, i) => ({ name, i, text })))

  test.each(shown)('$name, $i', ({ text }) =>
    inFolder(async (cwd) => {
      writeFileSync(join(cwd, 'everybar.yaml'), text)
      const env = { DATABASE_URL: 'postgres://u:p@127.0.0.1:1/market', EVERYBAR_TOKEN: 'f'.repeat(64) }
      const { code, stderr } = await runHere(['config', 'validate'], { cwd, env })
      expect([code, stderr]).toEqual([0, ''])
    }),
  )
  test('are at least these', () => {
    const names = new Set(shown.map(({ name }) => name))
    for (const name of ['ccxt.md', 'kite.md', 'serve.md', 'store-postgres.md', 'store-bigquery.md'])
      expect(names).toContain(name)
  })
})

describe('docs/store-postgres.md', () => {
  const page = 'docs/store-postgres.md'
  const withDatabase = (use: (at: RunOptions & { readonly sql: PostgresServer['query'] }) => Promise<void>) =>
    inFolder(async (cwd) => {
      const url = await postgres.freshDatabase()
      writeFileSync(join(cwd, 'everybar.yaml'), block(page, 'yaml', 'postgres:'))
      const env = { ...venues(), DATABASE_URL: url, EVERYBAR_DATA_ROOT: join(cwd, 'data') }
      await use({ cwd, env, sql: (sql) => postgres.query(sql, new URL(url).pathname.slice(1)) })
    })

  test('the table it shows is the one that is made', () =>
    withDatabase(async ({ sql, ...at }) => {
      await sql(block(page, 'sql', 'CREATE TABLE'))
      const { code, stdout } = await runHere(['db', 'plan'], at)
      expect(code).toBe(0)
      expect(stdout.match(/^(?:CREATE|ALTER) .*/gm)).toEqual([
        'CREATE TABLE IF NOT EXISTS "public"."bars_open" (',
      ])
      expect((await runHere(month, at)).code).toBe(0)
    }))

  test('its queries give what they say', () =>
    withDatabase(async ({ sql, ...at }) => {
      expect((await runHere(month, at)).code).toBe(0)
      const [last, hours, gaps] = await Promise.all(
        statements(block(page, 'sql', 'The last bar')).map((text) => sql(text)),
      )
      expect(last).toMatchObject([{ open_time: new Date('2024-03-19T23:59Z') }])
      expect(hours).toHaveLength(19 * 24)
      expect(hours!.filter(({ minutes }) => Number(minutes) !== 60)).toMatchObject([{ minutes: '53' }])
      expect(gaps).toEqual([{ from_time: new Date(outage.startMs), to_time: new Date(outage.endMs) }])
      expect((await runHere(['db', 'apply'], at)).code).toBe(0)
      expect(await sql(block(page, 'sql', 'FROM bars_open'))).toEqual([])
    }))
})

test('the queries of docs/store-parquet.md give what they say', () =>
  inFolder(async (root) => {
    expect((await runHere([...month, '--root', root], { env: venues() })).code).toBe(0)
    const db = await DuckDBInstance.create()
    const connection = await db.connect()
    await connection.run(`SET file_search_path = '${root}'`)
    const all = statements(blocks('docs/store-parquet.md', 'sql')[0]!)
    const [last, hours] = [
      (await connection.runAndReadAll(all[0]!)).getRowObjectsJson(),
      (await connection.runAndReadAll(all[1]!)).getRowObjectsJson(),
    ]
    expect(last).toMatchObject([{ open_time: '2024-03-19 23:59:00' }])
    expect(hours).toHaveLength(19 * 24)
    expect(hours.filter(({ minutes }) => Number(minutes) !== 60)).toMatchObject([{ minutes: '53' }])
    connection.closeSync()
    db.closeSync()
  }))

describe('docs/ccxt.md', () => {
  const lines = blocks('docs/ccxt.md', '').flatMap(commandsOf)
  const syncs = lines.filter((line) => line.includes(' sync ') || line.startsWith('everybar sync '))

  test('shows these', () => expect(syncs).toHaveLength(2))

  test.each(syncs)('%s', (line) =>
    inFolder(async (root) => {
      const { args, env } = commandOf(line.replace(/http:\/\/127\.0\.0\.1:\d+/, venue.url))
      // Kraken gives its latest 720 bars, which is all there is of an hour's.
      const { code, stderr } = await runHere([...args, '--root', root], { env: { ...venues(), ...env } })
      expect([code, stderr]).toEqual([0, expect.not.stringContaining('error')])
    }),
  )
})

test('the line of docs/live.md follows both series until it is stopped', () =>
  inFolder(async (cwd) => {
    const [line] = blocks('docs/live.md', '').flatMap(commandsOf)
    const { code, stdout } = await runCli(commandOf(line!).args, {
      cwd,
      env: venues(),
      onSpawn: (child) => {
        let seen = ''
        child.stdout!.on('data', (text: string) => {
          seen += text
          const level = (symbol: string) => new RegExp(`"history_complete".*${symbol}`).test(seen)
          // Once: a second signal would not wait for what is under way.
          if (level('BTCUSDT') && level('ETHUSDT') && !child.killed) child.kill('SIGTERM')
        })
      },
    })
    expect([0, 143]).toContain(code)
    expect(stdout).toContain('"event":"history_complete"')
  }))

test('the lines of docs/kite.md import a market, with the configuration below them', () =>
  inFolder(async (cwd) => {
    const kite = await startKiteSimulator({
      instruments: [{ token: 738561, symbol: 'RELIANCE', listed: '2024-01-03' }],
      nowMs: Date.parse('2024-03-05T18:00:00+05:30'),
      loginEndsAtMs: Number.POSITIVE_INFINITY,
    })
    try {
      const url = await postgres.freshDatabase()
      writeFileSync(join(cwd, 'everybar.yaml'), block('docs/kite.md', 'yaml', 'candle_interval'))
      const env = {
        DATABASE_URL: url,
        EVERYBAR_DATA_ROOT: join(cwd, 'data'),
        EVERYBAR__SOURCES__KITE__BASE_URL: kite.url,
        EVERYBAR__SOURCES__KITE__TOKEN_FILE: join(cwd, 'token', 'kite.json'),
        EVERYBAR_KITE_API_KEY: kite.apiKey,
        EVERYBAR_KITE_API_SECRET: kite.apiSecret,
      }
      const lines = blocks('docs/kite.md', 'sh').flatMap(commandsOf)
      expect(lines).toHaveLength(4)
      for (const line of lines) {
        const { args } = commandOf(line)
        // The address the login ends at is asked for on a terminal; here it is named.
        const more = args[1] === 'login' ? ['--request-token', kite.requestToken] : []
        const { code, stderr } = await runHere([...args, ...more], { cwd, env })
        expect([line, code, stderr]).toEqual([line, 0, expect.not.stringContaining('error')])
      }
      const rows = await postgres.query(
        'SELECT count(*)::int AS n FROM kite_ohlcv_historic',
        new URL(url).pathname.slice(1),
      )
      expect(rows).toMatchObject([{ n: expect.any(Number) }])
      expect(Number(rows[0]!.n)).toBeGreaterThan(40)
    } finally {
      await kite.close()
    }
  }))
