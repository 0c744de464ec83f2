import { describe, expect, test } from 'vitest'
import { startSimulator } from '../../src/simulator/simulator.ts'
import { inFolder, runCli } from '../run-cli.ts'

const WINDOW_MS = 6_000
const LIMIT = 600
const SLICE_MS = 60_000_000

describe('a sync under a rate limit', () => {
  test('fills every window and is never refused: 100 ms away, 600 weight each 6 s', async () => {
    const venue = await startSimulator({
      seed: 7,
      nowMs: Date.UTC(2024, 2, 1),
      weightLimit: LIMIT,
      windowMs: WINDOW_MS,
      rttMs: 100,
    })
    try {
      await inFolder(async (root) => {
        const fromMs = Math.ceil(Date.UTC(2021, 0, 1) / SLICE_MS) * SLICE_MS
        const slices = (3.5 * LIMIT) / 2
        const iso = (ms: number) => new Date(ms).toISOString()
        const range = ['--from', iso(fromMs), '--to', iso(fromMs + slices * SLICE_MS)]
        const result = await runCli(['sync', 'binance:spot:BTCUSDT:1m', ...range, '--root', root, '--json'], {
          env: { EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url },
        })
        expect(result.json()).toMatchObject({ ok: true, code: 0, data: { retries: 0 } })
      })
      const perWindow = new Map<number, number>()
      for (const { atMs, weight } of venue.log()) {
        const window = Math.floor(atMs / WINDOW_MS)
        perWindow.set(window, (perWindow.get(window) ?? 0) + weight)
      }
      // The run begins somewhere in its first window and ends somewhere in its last.
      const whole = [...perWindow].sort(([a], [b]) => a - b).slice(1, -1)
      expect(venue.stats()).toMatchObject({ refused: 0, banned: 0 })
      expect(whole.length).toBeGreaterThanOrEqual(2)
      expect(Math.min(...whole.map(([, weight]) => weight))).toBeGreaterThanOrEqual(0.95 * LIMIT)
    } finally {
      await venue.close()
    }
  })
})
