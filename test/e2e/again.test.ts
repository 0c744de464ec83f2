import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type Simulator, type SimulatorOptions, startSimulator } from '../../src/simulator/simulator.ts'
import { inFolder, runHere } from '../run-cli.ts'
import { filesIn, snapshot } from '../support/root.ts'

const BTC = 'binance:spot:BTCUSDT:1m'
const ETH = 'binance:spot:ETHUSDT:1m'
const SLICE_MS = 60_000_000

/** A venue and a root for `body`; `run` gives the envelope of a command. */
async function house(
  options: SimulatorOptions,
  body: (at: {
    venue: Simulator
    root: string
    run: (...args: string[]) => Promise<ReturnType<Awaited<ReturnType<typeof runHere>>['json']>>
  }) => Promise<void>,
): Promise<void> {
  const venue = await startSimulator({ seed: 9, weightLimit: 1e9, ...options })
  try {
    await inFolder(async (root) => {
      const env = { EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url }
      await body({
        venue,
        root,
        run: async (...args) => (await runHere([...args, '--root', root, '--json'], { env })).json(),
      })
    })
  } finally {
    await venue.close()
  }
}

const klines = (venue: Simulator) => venue.log().filter(({ path }) => path.endsWith('/klines'))

describe('the same sync again', () => {
  test.each<[name: string, range: string[], requests: number]>([
    ['over a range that has passed', ['--from', '2024-01-20', '--to', '2024-02-05'], 0],
    ['up to now, when no bar has closed since', ['--from', '2024-01-20'], 1], // the venue's clock
    ['over the range asked for before', [], 1],
  ])('%s: not one klines request, no file changed', async (_, range, requests) => {
    // Its clock stands still: nothing closes between the runs.
    await house({ nowMs: Date.parse('2024-02-06T07:30:20Z') }, async ({ venue, root, run }) => {
      venue.setNow(venue.now(), { held: true })
      const first = ['--from', '2024-01-20', ...(range.includes('--to') ? range.slice(2) : [])]
      expect(await run('sync', BTC, ETH, ...first)).toMatchObject({ ok: true, code: 0 })
      const before = snapshot(root)
      expect(before.size).toBeGreaterThan(40)
      venue.resetStats()
      const again = await run('sync', BTC, ETH, ...range)
      expect(again).toMatchObject({ ok: true, code: 0, data: { complete: true, requests } })
      expect(klines(venue)).toEqual([])
      expect(venue.stats().requests).toBe(requests)
      expect(snapshot(root)).toEqual(before)
      for (const { slices, bars } of again.data.series) {
        expect({ ...slices, ...bars }).toMatchObject({ planned: 0, fetched: 0, inserted: 0, revised: 0 })
      }
    })
  })

  test('a minute later: the open slice alone, and its new bar', async () => {
    await house({ nowMs: Date.parse('2024-02-06T07:30:20Z') }, async ({ venue, root, run }) => {
      await run('sync', BTC, '--from', '2024-02-01')
      const before = snapshot(root)
      venue.setNow(Date.parse('2024-02-06T07:31:20Z'))
      venue.resetStats()
      const again = await run('sync', BTC)
      expect(again).toMatchObject({ code: 0, data: { series: [{ bars: { inserted: 1, revised: 0 } }] } })
      expect(klines(venue)).toHaveLength(1)
      const changed = [...snapshot(root)].filter(([path, state]) => before.get(path) !== state)
      expect(changed.map(([path]) => path.replace(/[0-9a-f]{32}/, 'ID')).sort()).toEqual([
        // Both answers are kept, and how far was asked for.
        'binance/klines/raw/BTCUSDT/1m/evidence/wanted.json',
        'binance/klines/raw/BTCUSDT/1m/manifest.json',
        'binance/klines/raw/BTCUSDT/1m/responses/ID.1.json',
        'binance/klines/raw/BTCUSDT/1m/responses/ID.json',
        expect.stringMatching(/^lake\/binance\/2024\/02\/BTCUSDT_1min_h0_2024_02_/),
      ])
    })
  })

  test('earlier, later and in between: each slice once, and the lake of one run over it all', async () => {
    await house({ nowMs: Date.UTC(2024, 2, 1) }, async ({ venue, root, run }) => {
      for (const [from, to] of [
        ['2024-01-20', '2024-01-22'],
        ['2024-01-18', '2024-01-22'],
        ['2024-01-25', '2024-01-26'],
        ['2024-01-18', '2024-01-26'],
      ]) {
        expect((await run('sync', BTC, '--from', from!, '--to', to!)).code).toBe(0)
      }
      const starts = klines(venue).flatMap(({ parameters: { limit, startTime } }) =>
        limit === '1000' ? [Number(startTime)] : [],
      )
      const first = Math.floor(Date.UTC(2024, 0, 18) / SLICE_MS)
      const last = Math.floor((Date.UTC(2024, 0, 26) - 1) / SLICE_MS)
      expect(starts.sort((a, b) => a - b)).toEqual(
        Array.from({ length: last - first + 1 }, (_, i) => (first + i) * SLICE_MS),
      )
      const lake = new Map([...snapshot(root)].filter(([path]) => path.startsWith('lake/')))
      await inFolder(async (fresh) => {
        const env = { EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url }
        await runHere(['sync', BTC, '--from', '2024-01-18', '--to', '2024-01-26', '--root', fresh], { env })
        const hashes = (all: ReadonlyMap<string, string>) =>
          [...all].map(([path, state]) => `${path} ${state.split(' ')[0]}`)
        const once = new Map([...snapshot(fresh)].filter(([path]) => path.startsWith('lake/')))
        expect(hashes(lake)).toEqual(hashes(once))
        expect(filesIn(join(fresh, 'lake'))).toHaveLength(1)
      })
    })
  })
})
