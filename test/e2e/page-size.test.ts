import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { configSchema } from '../../src/config/schema.ts'
import { rebuild, sync, verify } from '../../src/index.ts'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { lakeHashes } from '../support/root.ts'

const series = ['binance:spot:BTCUSDT:5m', 'binance:um:BTCUSDT:1h']
const nowMs = Date.parse('2024-03-02T12:30:30Z')
const outage = { startMs: Date.parse('2024-02-06T03:00Z'), endMs: Date.parse('2024-02-06T09:40Z') }

let venue: Simulator
let folder: string
beforeAll(async () => {
  venue = await startSimulator({ seed: 3, nowMs, fromMs: Date.parse('2024-01-10T05:00Z'), outages: [outage] })
  venue.setNow(nowMs, { held: true })
})
afterAll(() => venue.close())
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'everybar-pages-'))
  venue.setNow(nowMs, { held: true })
})
afterEach(() => {
  venue.setFaults('')
  rmSync(folder, { recursive: true, force: true })
})

/** A root whose pages may hold another number of bars at every call, packed where it is not the usual one. */
function rootOf(name: string, ledger: 'sqlite' | 'manifest') {
  const config = (limit?: number) =>
    configSchema.parse({
      root: join(folder, name),
      ledger,
      sources: { binance: { base_url: venue.url } },
      fetch: { attempts: 1, backoff_base_ms: 1 },
      archive: { compression: limit === undefined ? 'none' : 'zstd' },
      ...(limit !== undefined && { settings: { history_page_limit: limit } }),
    })
  return {
    sync: (from: string, to: string | undefined, limit?: number) =>
      sync({ config: config(limit), series, from, ...(to !== undefined && { to }) }),
    rebuild: () => rebuild({ config: config(), ledger: true, lake: true }),
    lake: () => lakeHashes(join(folder, name)),
    expectProved: async (limit?: number) => {
      const proof = await verify({ config: config(limit), deep: true })
      expect(proof).toMatchObject({ faults: [], faultCount: 0, complete: true })
    },
  }
}

describe.each(['sqlite', 'manifest'] as const)('pages of another size than before, ledger: %s', (ledger) => {
  test('no bar is asked for twice, all of it is proved, and the lake is as if the size had never changed', async () => {
    const root = rootOf('changed', ledger)
    const steps: [string, string, number | undefined][] = [
      ['2024-02-05', '2024-02-10', undefined],
      ['2024-02-01', '2024-02-20', 300],
      ['2024-01-25', '2024-02-21', 77],
      ['2024-01-20', '2024-03-01', 499],
      ['2024-01-20', '2024-03-01', undefined],
    ]
    for (const [from, to, limit] of steps) {
      const report = await root.sync(from, to, limit)
      expect(report).toMatchObject({ complete: true })
      for (const one of report.series) expect(one.bars).toMatchObject({ revised: 0, unchanged: 0 })
      await root.expectProved(limit)
    }
    // Slices are whole: either may hold bars beyond the range.
    const straight = rootOf('straight', ledger)
    await straight.sync('2024-01-12', '2024-03-02T12:00Z')
    await root.sync('2024-01-12', '2024-03-02T12:00Z')
    expect(root.lake()).toEqual(straight.lake())
    await root.rebuild()
    await root.expectProved()
    expect(root.lake()).toEqual(straight.lake())
  })

  test('an open slice keeps its size until it has closed; a failed one is cut anew', async () => {
    const root = rootOf('open', ledger)
    expect((await root.sync('2024-02-25', undefined)).complete).toBe(true)
    venue.setNow(nowMs + 6 * 3_600_000, { held: true })
    expect((await root.sync('2024-02-25', undefined, 120)).complete).toBe(true)
    venue.setFaults('klines:500')
    expect((await root.sync('2024-02-10', undefined, 1000)).complete).toBe(false)
    venue.setFaults('')
    venue.setNow(nowMs + 9 * 86_400_000, { held: true })
    expect((await root.sync('2024-02-10', undefined, 90)).complete).toBe(true)
    await root.expectProved()
    expect(await root.sync('2024-02-10', undefined, 400)).toMatchObject({
      complete: true,
      series: [{ slices: { fetched: 0 } }, { slices: { fetched: 0 } }],
    })
  })
})
