import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { verify } from '../../src/index.ts'
import { startSimulator } from '../../src/simulator/simulator.ts'
import { inFolder, runCli } from '../run-cli.ts'
import { randomFrom } from '../support/random.ts'

const SECONDS = 'binance:spot:BTCUSDT:1s'

/** Follows bars of a second in a process of its own and ends it with `signal` after a while. */
async function followed(root: string, url: string, afterMs: number, signal: NodeJS.Signals, from: string) {
  const child = Promise.withResolvers<{ kill: (name: NodeJS.Signals) => boolean }>()
  const run = runCli(['live', SECONDS, '--from', from, '--root', root, '--json', '-v'], {
    env: { EVERYBAR__SOURCES__BINANCE__BASE_URL: url, EVERYBAR__SETTINGS__HISTORY_PAGE_LIMIT: '5' },
    onSpawn: (one) => child.resolve(one),
  })
  await sleep(afterMs)
  ;(await child.promise).kill(signal)
  return run
}

test('killed again and again while it follows bars of a second: none is lost, none is double', async () => {
  const venue = await startSimulator({
    seed: 3,
    fromMs: Date.now() - 600_000,
    weightLimit: Number.POSITIVE_INFINITY,
  })
  const random = randomFrom(20240301)
  const from = new Date(Math.floor(Date.now() / 1_000) * 1_000 - 30_000).toISOString()
  try {
    await inFolder(async (root) => {
      for (let round = 0; round < 6; round++)
        await followed(root, venue.url, 1_200 + random() * 1_800, 'SIGKILL', from)
      const last = await followed(root, venue.url, 5_000, 'SIGTERM', from)
      expect(last.stderr).not.toContain('"level":"error"')
      expect([0, 143], last.stderr).toContain(last.code) // level when it was stopped, or not
      const { complete, faults, series } = await verify({ root, deep: true })
      expect(faults).toEqual([])
      expect(complete).toBe(true)
      expect(series[0]!.present).toBeGreaterThan(30)
      expect(series[0]!.missing).toEqual({})
      expect(series[0]!.present).toBe(series[0]!.expected)
    })
  } finally {
    await venue.close()
  }
})
