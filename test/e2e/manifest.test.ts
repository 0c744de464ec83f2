import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { inFolder, runHere } from '../run-cli.ts'

const BTC = 'binance:spot:BTCUSDT:1m'
const folder = 'binance/klines/raw/BTCUSDT/1m'

interface Manifest {
  readonly summary: { readonly total_slices: number; readonly ok_slices: number }
  readonly slices: Readonly<Record<string, { readonly slice_id: string; readonly relative_path: string }>>
}
const manifestIn = (root: string) =>
  JSON.parse(readFileSync(join(root, folder, 'manifest.json'), 'utf8')) as Manifest

for (const keeper of ['sqlite', 'manifest'] as const) {
  describe(`the series folder, ledger: ${keeper}`, () => {
    let venue: Simulator
    beforeAll(async () => {
      venue = await startSimulator({ seed: 7, nowMs: Date.UTC(2024, 2, 1), weightLimit: 1e9 })
    })
    afterAll(() => venue.close())
    const run = (root: string, ...args: string[]) =>
      runHere([...args, '--root', root], {
        env: { EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url, EVERYBAR__LEDGER: keeper },
      })
    const sync = (root: string) => run(root, 'sync', BTC, '--from', '2024-01-01', '--to', '2024-01-05')

    test('has a manifest that names every answer; removing the folder resets the series', async () => {
      await inFolder(async (root) => {
        expect((await sync(root)).code).toBe(0)
        const first = manifestIn(root)
        const answers = readdirSync(join(root, folder, 'responses'))
        expect(first.summary).toMatchObject({ total_slices: answers.length, ok_slices: answers.length })
        for (const { relative_path } of Object.values(first.slices))
          expect(existsSync(join(root, folder, relative_path))).toBe(true)

        const written = () => statSync(join(root, folder, 'manifest.json')).mtimeMs
        const before = written()
        expect((await sync(root)).code).toBe(0)
        expect(written()).toBe(before)

        rmSync(join(root, folder), { recursive: true })
        venue.resetStats()
        expect((await sync(root)).code).toBe(0)
        expect(venue.stats().requests).toBeGreaterThanOrEqual(answers.length)
        expect(readdirSync(join(root, folder, 'responses')).length).toBe(answers.length)
        expect((await run(root, 'verify')).code).toBe(0)
        const runs = await run(root, 'runs', 'list', '--json')
        expect(runs.json().data.length).toBe(3)
      })
    })
  })
}
