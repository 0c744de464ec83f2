import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { inFolder, runCli } from '../run-cli.ts'

const BTC = 'binance:spot:BTCUSDT:1m'
const RANGE = ['--from', '2024-01-01', '--to', '2024-01-22']

describe('a sync that is stopped', () => {
  let venue: Simulator
  beforeAll(async () => {
    venue = await startSimulator({ seed: 3, nowMs: Date.UTC(2024, 2, 1), weightLimit: 1e9, rttMs: 150 })
  })
  afterAll(() => venue.close())

  const sync = (root: string, onAnswers?: readonly NodeJS.Signals[]) => {
    venue.resetStats()
    return runCli(['sync', BTC, ...RANGE, '--root', root, '--json', '--no-progress'], {
      env: { EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url, EVERYBAR__FETCH__CONCURRENCY: '4' },
      onSpawn: (child) => {
        if (!onAnswers) return
        const watch = setInterval(() => {
          if (venue.stats().requests < 12) return
          clearInterval(watch)
          for (const signal of onAnswers) child.kill(signal)
        }, 20)
        child.on('exit', () => clearInterval(watch))
      },
    })
  }
  const pages = () =>
    venue.log().filter(({ path, parameters }) => path === '/api/v3/klines' && parameters.limit === '1000')

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('by %s: a checkpoint, %i, and the next run goes on where it stopped', (signal, code) =>
    inFolder(async (root) => {
      const stopped = await sync(root, [signal])
      expect(stopped.code).toBe(code)
      expect(stopped.stderr).toBe(`${signal}: finishing what is in flight; once more stops at once\n`)
      const { ok, data, code: told } = stopped.json()
      expect({ ok, told, interrupted: data.interrupted }).toEqual({
        ok: false,
        told: code,
        interrupted: true,
      })
      const first = pages().map(({ parameters }) => parameters.startTime)

      const done = await sync(root)
      expect(done.json()).toMatchObject({ ok: true, code: 0 })
      const second = pages().map(({ parameters }) => parameters.startTime)
      expect(second.length, 'it had stopped on the way').toBeGreaterThan(0)
      expect(
        second.filter((start) => first.includes(start)),
        'nothing is fetched twice',
      ).toEqual([])
    }),
  )

  test('a second signal stops it at once', () =>
    inFolder(async (root) => {
      const stopped = await sync(root, ['SIGINT', 'SIGTERM'])
      expect([130, 143]).toContain(stopped.code)
      expect(stopped.stdout, 'no report: it did not wait for one').toBe('')
      expect((await sync(root)).code).toBe(0)
    }))
})
