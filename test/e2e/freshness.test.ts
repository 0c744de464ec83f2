import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { inFolder, runHere } from '../run-cli.ts'

const BTC = 'binance:spot:BTCUSDT:1h'
const ETH = 'binance:spot:ETHUSDT:1h'
const HOUR = 3_600_000

describe('status says how far series are behind', () => {
  let venue: Simulator
  beforeAll(async () => {
    venue = await startSimulator({ seed: 3, weightLimit: 1e9, fromMs: Date.now() - 40 * HOUR })
  })
  afterAll(() => venue.close())

  const run = (root: string, ...args: string[]) =>
    runHere([...args, '--root', root, '--no-progress'], {
      env: { EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url },
    })

  test('level and behind, and exit 3 only for those that are stale', () =>
    inFolder(async (root) => {
      const endMs = Math.floor(Date.now() / HOUR) * HOUR - 5 * HOUR
      expect((await run(root, 'sync', BTC, '--from', '-30h')).code).toBe(0)
      venue.setNow(endMs + HOUR / 2)
      expect((await run(root, 'sync', ETH, '--from', '-20h')).code).toBe(0)

      const level = await run(root, 'status', BTC, '--fail-if-stale', '1h', '--json')
      expect(level.json()).toMatchObject({ ok: true, code: 0, data: [{ series: BTC }] })
      expect(level.stderr).toBe('')

      const stale = await run(root, 'status', '--fail-if-stale', '1h', '--json')
      const { code, data } = stale.json()
      expect(code).toBe(3)
      expect(data.map(({ series }: { series: string }) => series)).toEqual([BTC, ETH])
      expect(data[0].overdueMs).toBeLessThan(HOUR)
      expect(data[1].lagMs).toBe(data[1].dueMs - endMs)
      expect(data[1].lagMs).toBeGreaterThanOrEqual(5 * HOUR)
      expect(data[1].overdueMs).toBeGreaterThan(data[1].lagMs - HOUR)
      expect(stale.stderr).toMatch(
        /^stale: binance:spot:ETHUSDT:1h is \d h behind .*Z, its next bar due for /,
      )

      expect((await run(root, 'status', '--fail-if-stale', '7d')).code, 'nobody is that late').toBe(0)
      expect(
        (await run(root, 'status', ETH, '--to', new Date(endMs).toISOString(), '--fail-if-stale', '1h')).code,
        'wanted no more',
      ).toBe(0)
      const table = await run(root, 'status')
      expect(table.code, 'without the flag lag is no failure').toBe(0)
      expect(table.stdout.split('\n')[0]).toMatch(/ open gaps +lag +behind$/)
    }))

  test('what was never asked for is not fresh; a root with nothing in it is no answer', () =>
    inFolder(async (root) => {
      const empty = await run(root, 'status', '--fail-if-stale', '1h')
      expect([empty.code, empty.stderr]).toEqual([2, expect.stringContaining('error[series.none]')])
      const named = await run(root, 'status', BTC, '--fail-if-stale', '1h')
      expect([named.code, named.stderr]).toEqual([3, `stale: ${BTC} was never asked for\n`])
      expect((await run(root, 'sync', ETH, '--from', '-20h')).code).toBe(0)
      // Of a venue that nobody has asked yet nothing is known; that is no reason to tell nothing of the others.
      const both = ['status', 'okx:spot:BTC/USDT:1h', ETH, '--fail-if-stale', '100000d']
      const beside = await run(root, ...both, '--json')
      expect(beside.json().data.map(({ bars }: { bars: number }) => bars > 0)).toEqual([false, true])
      expect([beside.code, beside.stderr]).toEqual([3, 'stale: okx:spot:BTC/USDT:1h was never asked for\n'])
      const gaps = await run(root, 'gaps', 'okx:spot:BTC/USDT:1h')
      expect([gaps.code, gaps.stderr]).toEqual([2, expect.stringContaining('error[series.never-asked]')])
      const odd = await run(root, 'status', '--fail-if-stale', 'soon')
      expect([odd.code, odd.stderr]).toEqual([
        2,
        expect.stringContaining('Write a duration: 90s, 5m, 2h, 1d.'),
      ])
    }))
})
