import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { banLeftMs } from '../../src/fetch/ban-book.ts'
import { startSimulator } from '../../src/simulator/simulator.ts'
import { inFolder, runCli, runHere } from '../run-cli.ts'

const BTC = 'binance:spot:BTCUSDT:1m'

test.each(['418', '429'])(
  'a process that is killed after a %s: the next one asks nothing before it ends',
  async (kind) => {
    // A window of two seconds: bans last four, not two minutes.
    const venue = await startSimulator({
      seed: 2,
      nowMs: Date.UTC(2024, 2, 1),
      windowMs: 2_000,
      faults: `${kind}@2`,
    })
    const refused = () => venue.stats().refused + venue.stats().banned
    try {
      await inFolder(async (root) => {
        const args = ['sync', BTC, '--from', '2024-01-01', '--to', '2024-01-03', '--root', root, '--json']
        const env = {
          EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url,
          EVERYBAR__FETCH__CONCURRENCY: '1',
        }
        const killed = await runCli(args, {
          env,
          onSpawn: async (child) => {
            while (!existsSync(join(root, '.everybar/bans.json'))) await sleep(2)
            child.kill('SIGKILL')
          },
        })
        expect(killed.signal).toBe('SIGKILL')
        const before = refused()
        expect(before).toBeGreaterThan(0)
        const next = await runHere([...args, '-v'], { env })
        expect(next.json()).toMatchObject({ code: 0, data: { complete: true } })
        expect(refused(), 'asked while it was refused').toBe(before)
      })
    } finally {
      await venue.close()
    }
  },
)

test('a file of bans that is none hinders nobody', async () => {
  const venue = await startSimulator({ seed: 2, nowMs: Date.UTC(2024, 2, 1) })
  try {
    await inFolder(async (root) => {
      const args = ['sync', BTC, '--from', '2024-01-01', '--to', '2024-01-02', '--root', root, '--json']
      const env = { EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url }
      expect((await runHere(args, { env })).code).toBe(0)
      writeFileSync(join(root, '.everybar/bans.json'), '[{"bucket":"binance.spot","untilMs":"never"},null]')
      expect((await runHere([...args, '--recheck', '100%'], { env })).code).toBe(0)
    })
  } finally {
    await venue.close()
  }
})

describe('what is left of a ban', () => {
  const ban = { bucket: 'a', origin: 'b', kind: 'banned', sinceMs: 1_000, untilMs: 5_000 } as const
  test.each([
    [1_000, 4_000],
    [4_000, 1_000],
    [9_000, 0],
    [-3_600_000, 4_000],
  ])('by a clock that says %i: %i', (nowMs, leftMs) => {
    expect(banLeftMs(ban, nowMs)).toBe(leftMs)
  })
})
