import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import {
  type KiteSimulator,
  type SimulatedInstrument,
  startKiteSimulator,
} from '../../src/simulator/kite-simulator.ts'
import { inFolder, runHere } from '../run-cli.ts'
import { type PostgresServer, startPostgres } from '../support/postgres-server.ts'

const shares: readonly SimulatedInstrument[] = [
  { token: 738561, symbol: 'RELIANCE', name: 'RELIANCE INDUSTRIES', listed: '2000-01-03' },
  { token: 2953217, symbol: 'TCS', listed: '2024-02-12', suspended: [['2024-02-20', '2024-02-21']] },
  { token: 128008708, symbol: 'RELIANCE', exchange: 'BSE', listed: '2000-01-03' },
  { token: 256265, symbol: 'NIFTY 50', segment: 'INDICES', listed: '2000-01-03' },
  {
    token: 13368834,
    symbol: 'NIFTY24MARFUT',
    exchange: 'NFO',
    type: 'FUT',
    segment: 'NFO-FUT',
    expiry: '2024-03-28',
    listed: '2024-01-01',
  },
]
const evening = (day: string) => Date.parse(`${day}T18:00:00+05:30`)

describe('the daily import from Kite', () => {
  let venue: KiteSimulator
  let postgres: PostgresServer
  beforeAll(async () => {
    postgres = await startPostgres()
  })
  afterAll(() => postgres.stop())

  /** A root with a configuration, a venue of its own, and the command line pointed at both. */
  async function withImport(
    settings: string,
    use: (at: {
      root: string
      run: (...args: string[]) => ReturnType<typeof runHere>
      url: string
      rows: (sql: string) => Promise<Record<string, unknown>[]>
    }) => Promise<void>,
    options: { readonly instruments?: readonly SimulatedInstrument[]; readonly stores?: string } = {},
  ): Promise<void> {
    venue = await startKiteSimulator({
      instruments: options.instruments ?? shares,
      nowMs: evening('2024-03-05'),
      requestsPerSecond: 3,
      loginEndsAtMs: Number.POSITIVE_INFINITY,
    })
    const url = await postgres.freshDatabase()
    const database = new URL(url).pathname.slice(1)
    try {
      await inFolder(async (root) => {
        const stores =
          options.stores ?? `stores: { parquet: { enabled: false }, postgres: { url: "${url}" } }`
        const text = `root: ./data\n${stores}\nkite:\n  bootstrap_from_date: 2023-12-01\n${settings}`
        writeFileSync(join(root, 'everybar.yaml'), text)
        const env = {
          EVERYBAR__SOURCES__KITE__BASE_URL: venue.url,
          EVERYBAR_KITE_API_KEY: venue.apiKey,
          EVERYBAR_KITE_API_SECRET: venue.apiSecret,
          EVERYBAR__SOURCES__KITE__TOKEN_FILE: join(root, 'config', 'everybar', 'kite-token.json'),
        }
        const run = (...args: string[]) => runHere(args, { cwd: root, env })
        const rows = (sql: string) => postgres.query(sql, database)
        expect((await run('kite', 'login', '--request-token', venue.requestToken)).code).toBe(0)
        venue.endLogin(Number.POSITIVE_INFINITY) // the days pass faster here than logins
        expect((await run('instruments', 'sync', 'kite')).code).toBe(0)
        await use({ root, run, url, rows })
      })
    } finally {
      await venue.close()
    }
  }

  test('a small data set; then only what is new; then nothing', async () => {
    await withImport('', async ({ run, rows }) => {
      const first = await run('sync', '--json')
      expect([first.stderr, first.code]).toEqual(['', 0])
      expect(first.json().data.kite).toMatchObject({
        instruments: 4,
        fetched: 4,
        failed: 0,
        skipped: [],
        updated: 0,
      })
      const [count] = await rows('SELECT count(*)::int AS n FROM kite_ohlcv_historic')
      expect(first.json().data.kite.inserted).toBe(count!.n)
      const columns = await rows(
        `SELECT column_name AS name FROM information_schema.columns WHERE table_name = 'kite_ohlcv_historic' ORDER BY ordinal_position`,
      )
      expect(new Set(columns.map(({ name }) => name))).toEqual(
        new Set([
          'instrument_token',
          'exchange',
          'date',
          'open',
          'high',
          'low',
          'close',
          'volume',
          'candle_interval',
          'created_at',
        ]),
      )
      const indexes = await rows(`SELECT indexname FROM pg_indexes WHERE tablename = 'kite_ohlcv_historic'`)
      expect(indexes).toHaveLength(4) // the primary key, and the three
      const tokens = await rows(
        `SELECT DISTINCT instrument_token, exchange, candle_interval FROM kite_ohlcv_historic ORDER BY 1`,
      )
      expect(tokens).toEqual([
        { instrument_token: '128008708', exchange: 'BSE', candle_interval: 'day' },
        { instrument_token: '256265', exchange: 'NSE', candle_interval: 'day' },
        { instrument_token: '2953217', exchange: 'NSE', candle_interval: 'day' },
        { instrument_token: '738561', exchange: 'NSE', candle_interval: 'day' },
      ])
      const listed = await rows(
        'SELECT tradingsymbol, expiry::text FROM kite_instruments ORDER BY instrument_token',
      )
      expect(listed).toContainEqual({ tradingsymbol: 'NIFTY24MARFUT', expiry: '2024-03-28' })

      venue.setNow(evening('2024-03-07'))
      venue.resetStats()
      const second = (await run('sync', '--json')).json()
      expect(second.code).toBe(0)
      expect(second.data.kite).toMatchObject({ fetched: 4, inserted: 8, updated: 0 })
      const asked = venue.log().filter(({ endpoint }) => endpoint === 'historical')
      expect(asked.map(({ parameters }) => `${parameters.from} … ${parameters.to}`)).toEqual(
        Array.from({ length: 4 }, () => '2024-03-06 00:00:00 … 2024-03-07 23:59:59'),
      )

      venue.resetStats()
      const third = (await run('sync', '--json')).json()
      expect(third.data.kite).toMatchObject({ upToDate: 4, fetched: 0, inserted: 0 })
      expect(venue.stats().historical).toBe(0)
      // Saturday and Sunday bring nothing new, and nothing is asked.
      venue.setNow(evening('2024-03-08'))
      await run('sync')
      venue.resetStats()
      venue.setNow(evening('2024-03-10'))
      expect((await run('sync', '--json')).json().data.kite.upToDate).toBe(4)
      expect(venue.stats().historical).toBe(0)
      expect((await run('verify')).code).toBe(0)
    })
  })

  test('today’s forming bar is not kept; tomorrow it is whole', async () => {
    await withImport('  symbols: [RELIANCE]\n  exchanges: [NSE]\n', async ({ run, rows }) => {
      venue.setNow(Date.parse('2024-03-05T11:00:00+05:30'))
      expect((await run('sync')).code).toBe(0)
      const last = () =>
        rows(
          `SELECT max(date) AT TIME ZONE 'Asia/Kolkata' AS day, max(volume)::int AS v FROM kite_ohlcv_historic`,
        )
      const day = async () =>
        String(
          (
            await rows(
              `SELECT to_char(max(date) AT TIME ZONE 'Asia/Kolkata', 'YYYY-MM-DD') AS day FROM kite_ohlcv_historic`,
            )
          )[0]!.day,
        )
      expect(await day()).toBe('2024-03-04')
      venue.setNow(evening('2024-03-05'))
      expect((await run('sync')).code).toBe(0)
      expect(await day()).toBe('2024-03-05')
      expect((await last())[0]!.v).toBeGreaterThan(0)
    })
  })

  test('first days and suspensions are classed, not holes', async () => {
    await withImport('  symbols: [TCS]\n', async ({ run }) => {
      const report = (await run('sync', '--json')).json()
      expect(report.code).toBe(0)
      const gaps = (
        await run('gaps', 'kite:nse:TCS:1d', '--from', '2024-01-01', '--to', '2024-03-05', '--json')
      ).json()
      expect(gaps.code).toBe(0)
      const bars: Record<string, number> = {}
      for (const gap of gaps.data) bars[gap.class] = (bars[gap.class] ?? 0) + gap.bars
      // Suspended for two days; 2 March was a special Saturday the simulated venue kept closed.
      expect(bars).toMatchObject({ no_trade: 3, closed_session: 5 })
      expect(bars.before_listing).toBe(41)
    })
  })

  test.each([
    [
      'derivatives by type and exchange',
      '  instrument_types: [FUT]\n  exchanges: [NFO]\n',
      ['kite:nfo:NIFTY24MARFUT:1d'],
    ],
    ['by segment', '  segments: [INDICES]\n', ['kite:nse:NIFTY 50:1d']],
    [
      'by expiry',
      '  instrument_types: [FUT]\n  exchanges: [NFO]\n  expiry_to: 2024-03-31\n',
      ['kite:nfo:NIFTY24MARFUT:1d'],
    ],
    [
      'by pattern, another width',
      '  symbols: ["rel*"]\n  exchanges: [BSE]\n  candle_interval: 60minute\n  bootstrap_from_date: 2024-02-01\n',
      ['kite:bse:RELIANCE:1h'],
    ],
  ])('filters: %s', async (_name, settings, chosen) => {
    const own = settings.includes('bootstrap') ? settings.replace(/ {2}bootstrap.*\n/, '') : settings
    await withImport(own, async ({ run }) => {
      const report = (await run('sync', '--json')).json()
      expect(report.code).toBe(0)
      expect(report.data.series.map(({ series }: { series: string }) => series)).toEqual(chosen)
    })
  })

  test('filters that match nothing, a disabled import, and no list yet', async () => {
    await withImport('  instrument_types: [XX]\n', async ({ run, root }) => {
      const nothing = await run('sync', '--json')
      expect([nothing.code, nothing.json().error?.code]).toEqual([2, 'series.no-match'])
      writeFileSync(join(root, 'everybar.yaml'), 'root: ./data\nkite: { enabled: false }\n')
      venue.resetStats()
      const disabled = await run('sync')
      expect([disabled.code, disabled.stderr]).toEqual([
        0,
        expect.stringContaining('disabled by the configuration'),
      ])
      expect(venue.stats().requests).toBe(0)
      writeFileSync(join(root, 'everybar.yaml'), 'root: ./other\nkite: {}\n')
      const none = await run('sync', '--json')
      expect([none.code, none.json().error?.code]).toEqual([2, 'series.no-instruments'])
    })
  })

  test('one unknown instrument is skipped and listed; all failing is a failure; it mends', async () => {
    await withImport('', async ({ run }) => {
      venue.setFaults('TCS:400')
      const one = (await run('sync', '--json')).json()
      expect(one.code).toBe(0)
      expect(one.data.kite.skipped).toMatchObject([{ series: 'kite:nse:TCS:1d', code: 'source.refused' }])
      venue.setNow(evening('2024-03-06'))
      venue.setFaults('404')
      const all = await run('sync', '--json')
      expect([all.code, all.json().data.kite.allFailed]).toEqual([1, true])
      venue.setFaults('')
      expect((await run('sync')).code).toBe(0)
    })
  })

  test('a login that has ended: exit code 12, and what was fetched stays', async () => {
    await withImport('', async ({ run, root }) => {
      venue.endLogin()
      const ended = await run('sync')
      expect(ended.code).toBe(12)
      expect(ended.stderr).toContain('everybar kite login')
      expect(
        (
          await run(
            'kite',
            'login',
            '--request-token',
            `https://x.test/?request_token=${venue.requestToken}&status=success`,
          )
        ).code,
      ).toBe(0)
      venue.endLogin(Number.POSITIVE_INFINITY)
      expect((await run('sync')).code).toBe(0)
      const file = join(root, 'config', 'everybar', 'kite-token.json')
      expect(statSync(file).mode & 0o777).toBe(0o600)
      expect(readFileSync(file, 'utf8')).not.toContain(venue.apiSecret)
      chmodSync(file, 0o644)
      const exposed = await run('kite', 'status', '--json')
      expect([exposed.code, exposed.json().error?.code]).toEqual([1, 'app.token-file'])
      chmodSync(file, 0o600)
      expect((await run('kite', 'logout')).code).toBe(0)
      expect(existsSync(file)).toBe(false)
      expect((await run('kite', 'status')).code).toBe(12)
    })
  })

  test('lists change: expired, back, another owner of a token, another token of a symbol', async () => {
    // The last day of an instrument is that of this machine's clock.
    const now = Date.now
    const aheadMs = evening('2024-03-05') - now()
    vi.spyOn(Date, 'now').mockImplementation(() => now() + aheadMs)
    onTestFinished(() => void vi.restoreAllMocks())
    await withImport('  exchanges: [NSE]\n  segments: [NSE]\n', async ({ run, rows }) => {
      expect((await run('sync')).code).toBe(0)
      const before = await rows('SELECT count(*)::int AS n FROM kite_ohlcv_historic')
      // TCS has a new token, its old one is NEWCO's, RELIANCE of NSE is gone.
      venue.setInstruments([
        { token: 777, symbol: 'TCS', listed: '2024-02-12' },
        { token: 2953217, symbol: 'NEWCO', listed: '2024-03-01' },
        ...shares.slice(2),
      ])
      const changes = (await run('instruments', 'sync', 'kite', '--json')).json().data
      expect(changes).toMatchObject({
        ...{ added: 2, expired: 2 },
        newOwners: [{ token: '2953217', from: 'NSE TCS', to: 'NSE NEWCO' }],
        newTokens: [{ exchange: 'NSE', symbol: 'TCS', from: '2953217', to: '777' }],
      })
      const report = (await run('sync', '--json')).json()
      expect(report.code).toBe(0)
      expect(report.data.series.map(({ series }: { series: string }) => series)).toEqual([
        'kite:nse:NEWCO:1d',
        'kite:nse:TCS#777:1d',
      ])
      // The old owner's rows are as they were; the new owner's stand under a key of their own.
      const keys = await rows(
        'SELECT instrument_token AS key, count(*)::int AS n FROM kite_ohlcv_historic GROUP BY 1 ORDER BY 1',
      )
      expect(keys.map(({ key }) => key)).toEqual(['2953217', '2953217:NEWCO', '738561', '777'])
      expect(
        keys
          .filter(({ key }) => key === '738561' || key === '2953217')
          .reduce((sum, { n }) => sum + Number(n), 0),
      ).toBe(before[0]!.n)
      const expired = (await run('instruments', 'list', 'kite', '--expired', '--json')).json().data
      expect(expired.map(({ symbol }: { symbol: string }) => symbol)).toEqual(['RELIANCE', 'TCS'])
      const gaps = (
        await run('gaps', 'kite:nse:RELIANCE:1d', '--from', '2024-03-01', '--to', '2024-03-09', '--json')
      ).json()
      expect(gaps.data.map((gap: { class: string }) => gap.class)).toContain('after_delisting')
    })
  })
})
