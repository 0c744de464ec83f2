import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { inFolder, type RunOptions, runCli, runHere } from '../run-cli.ts'
import { running } from '../support/data-server.ts'

const BTC = 'binance:spot:BTCUSDT:1h'

describe('a run in the ledger has the exit code of its process', () => {
  let venue: Simulator
  beforeAll(async () => {
    venue = await startSimulator({ seed: 5, nowMs: Date.UTC(2024, 2, 1), weightLimit: 1e9 })
  })
  afterAll(() => venue.close())

  /** The exit codes of a sync: of the process, and of its run. */
  async function codesOf(root: string, series: readonly string[], options: RunOptions = {}) {
    const env = { EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url, EVERYBAR__FETCH__ATTEMPTS: '1' }
    const args = ['sync', ...series, '--from', '2024-02-01', '--root', root]
    const { code } = await runCli(args, { ...options, env })
    const runs = (await runHere(['runs', 'list', '--root', root, '--json'])).json().data
    return [code, runs[0].exitCode]
  }

  test('complete; one symbol unknown; the venue away', () =>
    inFolder(async (root) => {
      expect(await codesOf(root, [BTC])).toEqual([0, 0])
      expect(await codesOf(root, [BTC, 'binance:spot:NOPE:1h'])).toEqual([2, 2])
      venue.setFaults('503')
      try {
        expect(await codesOf(root, ['binance:spot:ETHUSDT:1h'])).toEqual([5, 5])
      } finally {
        venue.setFaults('')
      }
    }))

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('stopped by %s', (signal, code) =>
    inFolder(async (root) => {
      venue.setFaults('stall@2..')
      venue.resetStats()
      try {
        const codes = await codesOf(root, [BTC], {
          onSpawn: async (child) => {
            while (!venue.log().some(({ path }) => path.endsWith('/klines')))
              await new Promise((next) => setTimeout(next, 20))
            child.kill(signal)
          },
        })
        expect(codes).toEqual([code, code])
      } finally {
        venue.setFaults('')
      }
    }),
  )

  test('and so has a job, where it fails before its run begins too', async () => {
    const minutely = { schedule: '* * * * *', timezone: 'UTC' }
    const at = await running({
      series: ['binance:spot:BTCUSDT:1m', 'binance:spot:NOPE:1m'],
      settings: {
        kite: {},
        jobs: [
          { name: 'sync', run: 'sync', ...minutely },
          { name: 'list', run: 'kite', ...minutely },
        ],
      },
    })
    try {
      const jobs = await at.until(
        async () => (await at.json('/api/v1/status')).jobs,
        (all) => all.every((job: { lastEndedAtMs: number | null }) => job.lastEndedAtMs !== null),
      )
      expect(jobs).toMatchObject([
        { name: 'sync', lastExitCode: 2 },
        { name: 'list', lastExitCode: 12 },
      ])
      const runs = (await at.server.runs()).filter(({ command }) => command === 'job:sync')
      expect(runs.at(-1)).toMatchObject({ exitCode: 2 })
    } finally {
      await at.close()
    }
  })
})

describe('one series under two names', () => {
  test('is synced once', () =>
    inFolder(async (root) => {
      const venue = await startSimulator({
        seed: 5,
        symbols: ['BTCUSD', 'BTCUSDT'],
        nowMs: Date.UTC(2024, 2, 1),
        weightLimit: 1e9,
      })
      try {
        const names = ['binance:spot:BTCUSDT:1h', 'binance:spot:BTC/USDT:1h']
        const others = ['okx:spot:BTC/USDT:1h', 'okx:spot:BTC-USDT:1h']
        const args = ['sync', ...names, ...others, '--from', '2024-02-28', '--root', root, '--json']
        const { code, stderr, json } = await runHere(args, {
          env: {
            EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url,
            EVERYBAR__SOURCES__CCXT__BASE_URL: venue.url,
          },
        })
        expect(json().data.series.map((one: { series: string }) => one.series)).toEqual([
          'binance:spot:BTCUSDT:1h',
          'okx:spot:BTC-USDT:1h',
        ])
        expect(code).toBe(0)
        expect(stderr).toContain('series_named_twice series=binance:spot:BTCUSDT:1h')
      } finally {
        await venue.close()
      }
    }))
})
