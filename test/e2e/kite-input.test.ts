import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type KiteSimulator, startKiteSimulator } from '../../src/simulator/kite-simulator.ts'
import { inFolder, runCli } from '../run-cli.ts'

describe('what a person may get wrong with Kite', () => {
  let venue: KiteSimulator
  beforeAll(async () => {
    venue = await startKiteSimulator({
      instruments: [{ token: 738561, symbol: 'RELIANCE', listed: '2000-01-03' }],
      nowMs: Date.parse('2024-03-12T18:00:00+05:30'),
    })
  })
  afterAll(() => venue.close())

  async function at(
    settings: string,
    use: (run: (...args: string[]) => ReturnType<typeof runCli>) => Promise<void>,
    env: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    await inFolder(async (cwd) => {
      writeFileSync(join(cwd, 'everybar.yaml'), `root: ./data\n${settings}`)
      const own = {
        EVERYBAR__SOURCES__KITE__BASE_URL: venue.url,
        EVERYBAR_KITE_API_KEY: venue.apiKey,
        EVERYBAR_KITE_API_SECRET: venue.apiSecret,
        XDG_CONFIG_HOME: join(cwd, 'config'),
      }
      await use((...args) => runCli(args, { cwd, env: { ...own, ...env } }))
    })
  }

  test('a range on the command line is not passed over: the import has its own', async () => {
    await at('kite: { bootstrap_from_date: 2024-03-01 }\n', async (run) => {
      for (const [command, flag, value] of [
        ['sync', '--from', '2024-03-04'],
        ['sync', '--to', '2024-03-04'],
        ['sync', '--recheck', '5%'],
        ['plan', '--from', '2024-03-04'],
      ] as const) {
        const { code, stderr } = await run(command, flag, value)
        expect([code, stderr]).toEqual([
          2,
          expect.stringContaining(`error[cli.usage] ${flag} is not for the Kite import`),
        ])
        expect(stderr).toContain('kite.bootstrap_from_date')
      }
    })
  })

  test('disabled: plan says so like sync, and so it is no failure', async () => {
    await at('kite: { enabled: false }\n', async (run) => {
      for (const command of ['plan', 'sync']) {
        const { code, stdout, stderr } = await run(command)
        expect([code, stdout.trim(), stderr]).toEqual([
          0,
          'nothing to do',
          expect.stringContaining('kite: disabled'),
        ])
      }
    })
  })

  test('filters that match nothing are all named', async () => {
    const settings = 'kite: { symbols: ["*X", ABC], expiry_from: 2024-04-01, expiry_to: 2024-05-01 }\n'
    await at(settings, async (run) => {
      expect((await run('kite', 'login', '--request-token', venue.requestToken)).code).toBe(0)
      expect((await run('instruments', 'sync', 'kite')).code).toBe(0)
      const { code, stderr } = await run('sync')
      expect(code).toBe(2)
      expect(stderr).toContain(
        'error[series.no-match] no instrument matches all of kite.instrument_types EQ; kite.exchanges NSE, BSE; kite.symbols *X, ABC; kite.expiry_from 2024-04-01; kite.expiry_to 2024-05-01',
      )
    })
  })

  test('days that are none, and days the wrong way round', async () => {
    await at('kite: { expiry_from: 2024-05-01, expiry_to: 2024-04-01 }\n', async (run) => {
      const { code, stderr } = await run('sync')
      expect([code, stderr]).toEqual([
        2,
        expect.stringContaining('kite.expiry_to: "2024-04-01" does not fit: before expiry_from, 2024-05-01'),
      ])
    })
    await at('', async (run) => {
      const none = await run('instruments', 'list', 'kite', '--expiry-to', '2026-31-01')
      expect([none.code, none.stderr]).toEqual([
        2,
        expect.stringContaining('error[cli.bad-time] --expiry-to "2026-31-01" is not a day'),
      ])
      const reversed = await run(
        'instruments',
        'list',
        'kite',
        '--expiry-from',
        '2024-05-01',
        '--expiry-to',
        '2024-04-01',
      )
      expect([reversed.code, reversed.stderr]).toEqual([
        2,
        expect.stringContaining('error[cli.range-reversed]'),
      ])
      const empty = await run('instruments', 'list', 'kite')
      expect([empty.code, empty.stderr]).toEqual([
        0,
        expect.stringContaining('everybar instruments sync kite'),
      ])
    })
  })

  test('a login without a terminal says how to go on; one that a token goes before is told of it', async () => {
    await at('', async (run) => {
      const { code, stderr } = await run('kite', 'login')
      expect([code, stderr]).toEqual([2, expect.stringContaining('everybar kite login --url')])
      expect(stderr).not.toContain('[redacted]')
      const status = await run('kite', 'status')
      expect([status.code, status.stdout.trim()]).toEqual([12, 'no login; run everybar kite login'])
    })
    await at(
      '',
      async (run) => {
        const { code, stderr } = await run('kite', 'login', '--request-token', venue.requestToken)
        expect([code, stderr]).toEqual([0, expect.stringContaining('EVERYBAR_KITE_ACCESS_TOKEN')])
      },
      { EVERYBAR_KITE_ACCESS_TOKEN: 'of-yesterday' },
    )
  })

  test('a token that has ended exits 12, and the hint knows of both ways to a new one', async () => {
    await at(
      '',
      async (run) => {
        expect((await run('instruments', 'sync', 'kite')).code).toBe(0) // the list is open to everybody
        const { code, stderr } = await run('sync', 'kite:nse:RELIANCE:1d', '--from', '2024-03-01')
        expect(code).toBe(12)
        expect(stderr).toContain('error[source.login-expired]')
        expect(stderr).toContain(
          'Run "everybar kite login" (where EVERYBAR_KITE_ACCESS_TOKEN is set, that goes before it',
        )
      },
      { EVERYBAR_KITE_ACCESS_TOKEN: 'of-yesterday' },
    )
  })
})
