import { expect, test } from 'vitest'
import { startSimulator } from '../../src/simulator/simulator.ts'
import { inFolder } from '../run-cli.ts'
import type { Job } from '../support/faults/child.ts'
import { hasEnded, Runner } from '../support/faults/processes.ts'
import { rootState } from '../support/faults/state.ts'

const SLICE_MS = 60_000_000
const firstMs = 28_400 * SLICE_MS
const iso = (ms: number) => new Date(ms).toISOString()

test('an audit that is killed after the new answer is kept, before its record: the next run takes it in, unasked', async () => {
  const venue = await startSimulator({ seed: 9, weightLimit: 1e9, nowMs: firstMs + 10 * SLICE_MS })
  const runner = new Runner()
  try {
    await inFolder(async (folder) => {
      const job = (root: string, more: Partial<Job> = {}): Job => ({
        command: 'sync',
        root: `${folder}/${root}`,
        url: venue.url,
        series: 'binance:spot:BTCUSDT:1m',
        from: iso(firstMs),
        to: iso(firstMs + 2 * SLICE_MS),
        ...more,
      })
      const run = async (one: Job) => {
        const outcome = await runner.run(one)
        if (hasEnded(outcome)) return outcome.ended
        expect(outcome.report).toMatchObject({ complete: true, faults: [] })
        return outcome.trace
      }
      for (const root of ['audited', 'killed']) await run(job(root))
      venue.restate({ symbol: 'BTCUSDT', openTimeMs: firstMs + 500 * 60_000, volume: '777' })
      const trace = (await run(job('audited', { recheck: true }))) as readonly string[]
      const renamed = trace.findIndex((step) => /^rename(Sync)? .*responses\/\.tmp-/.test(step)) + 1
      expect(renamed).toBeGreaterThan(0)
      const killed = job('killed', { recheck: true, nth: renamed, action: 'kill-after' })
      expect(await run(killed)).toBe('SIGKILL')
      venue.resetStats()
      await run(job('killed'))
      expect(venue.stats().klines.requests).toBe(0)
      expect(await rootState(`${folder}/killed`)).toEqual(await rootState(`${folder}/audited`))
      await run(job('killed', { command: 'verify' }))
    })
  } finally {
    await runner.close()
    await venue.close()
  }
})
