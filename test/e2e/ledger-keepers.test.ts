import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { inFolder, runHere } from '../run-cli.ts'

const BTC = 'binance:spot:BTCUSDT:1m'
const range = ['--from', '2024-01-01', '--to', '2024-01-05']

describe('a root whose ledger gets another keeper', () => {
  let venue: Simulator
  beforeEach(async () => {
    venue = await startSimulator({ seed: 5, nowMs: Date.UTC(2024, 2, 1), weightLimit: 1e9 })
  })
  afterEach(() => venue.close())
  const by = (keeper: 'sqlite' | 'manifest', root: string, ...args: string[]) =>
    runHere([...args, '--root', root], {
      env: { EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url, EVERYBAR__LEDGER: keeper },
    })

  test('takes the answers in again where the manifests were copies: a store that is empty gets every bar', async () => {
    await inFolder(async (root) => {
      expect((await by('sqlite', root, 'sync', BTC, ...range)).code).toBe(0)
      rmSync(join(root, 'lake'), { recursive: true })
      venue.resetStats()
      const synced = await by('manifest', root, 'sync', BTC, ...range, '--json')
      expect([synced.code, synced.json().data.series[0].slices.replayed]).toEqual([0, 6])
      expect(venue.stats().requests).toBe(0)
      expect((await by('manifest', root, 'verify')).code).toBe(0)
    })
  })

  test('fetches what a manifest calls answered where no answer is', async () => {
    await inFolder(async (root) => {
      expect((await by('sqlite', root, 'sync', BTC, ...range)).code).toBe(0)
      rmSync(join(root, 'binance/klines/raw/BTCUSDT/1m/responses'), { recursive: true })
      expect((await by('manifest', root, 'sync', BTC, ...range)).code).toBe(0)
      expect((await by('manifest', root, 'verify')).code).toBe(0)
    })
  })

  test('takes in what the other one did meanwhile, also answers that came again unchanged', async () => {
    await inFolder(async (root) => {
      const codes: (number | null)[] = []
      const run = async (keeper: 'sqlite' | 'manifest', ...args: string[]) =>
        codes.push((await by(keeper, root, ...args)).code)
      await run('sqlite', 'sync', BTC, ...range)
      await run('manifest', 'rebuild', '--ledger')
      venue.restate({ symbol: 'BTCUSDT', openTimeMs: Date.UTC(2024, 0, 2), volume: '12345.00000000' })
      await run('manifest', 'sync', BTC, ...range, '--recheck', '2024-01-01/2024-01-05')
      await run('manifest', 'verify')
      venue.resetStats()
      await run('sqlite', 'sync', BTC, ...range)
      await run('sqlite', 'verify')
      await run('manifest', 'sync', BTC, ...range)
      await run('manifest', 'verify')
      await run('sqlite', 'sync', BTC, ...range)
      await run('sqlite', 'verify')
      expect(codes).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
      expect(venue.stats().requests).toBe(0)
    })
  })
})
