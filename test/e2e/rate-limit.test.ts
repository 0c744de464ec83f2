import { describe, expect, test } from 'vitest'
import { startSimulator } from '../../src/simulator/simulator.ts'
import { inFolder, runCli } from '../run-cli.ts'

const LIMIT = 200
const SLICE_MS = 60_000_000

describe('a sync under a rate limit', () => {
  // How much of each window it fills: test/property/sync-rate.test.ts, on a clock that no busy machine slows.
  test('is never refused, asks for nothing twice and loses nothing', async () => {
    const venue = await startSimulator({
      seed: 7,
      nowMs: Date.UTC(2024, 2, 1),
      weightLimit: LIMIT,
      windowMs: 1_000,
      rttMs: 100,
    })
    try {
      await inFolder(async (root) => {
        const fromMs = Math.ceil(Date.UTC(2021, 0, 1) / SLICE_MS) * SLICE_MS
        const slices = (2.5 * LIMIT) / 2
        const iso = (ms: number) => new Date(ms).toISOString()
        const range = ['--from', iso(fromMs), '--to', iso(fromMs + slices * SLICE_MS)]
        const result = await runCli(['sync', 'binance:spot:BTCUSDT:1m', ...range, '--root', root, '--json'], {
          env: { EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url },
        })
        expect(result.json()).toMatchObject({
          ok: true,
          code: 0,
          data: { retries: 0, requests: slices + 2, series: [{ bars: { inserted: slices * 1_000 } }] },
        })
      })
      expect(venue.stats()).toMatchObject({ refused: 0, banned: 0 })
      expect(venue.stats().weightPeak.spot).toBeLessThanOrEqual(LIMIT)
    } finally {
      await venue.close()
    }
  })
})
