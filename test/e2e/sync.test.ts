import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { inFolder, runHere } from '../run-cli.ts'

const BTC = 'binance:spot:BTCUSDT:1m'

/** Every file below `folder`, by path, as hash and time of change. */
function snapshot(folder: string): Map<string, string> {
  const files = new Map<string, string>()
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    const hash = createHash('sha256').update(readFileSync(path)).digest('hex')
    files.set(relative(folder, path), `${hash} ${statSync(path).mtimeMs}`)
  }
  return files
}

/** What people keep: answers, manifests and the lake; not the ledger's own database. */
const kept = (root: string) => [...snapshot(root)].filter(([path]) => !path.startsWith('.everybar'))

describe('sync against a simulated venue', () => {
  let venue: Simulator
  beforeAll(async () => {
    venue = await startSimulator({
      seed: 7,
      fromMs: Date.UTC(2023, 4, 1), // listed not long ago: coarse bars are made of few minutes
      nowMs: Date.UTC(2024, 2, 1),
      weightLimit: 1e9,
    })
  })
  afterAll(() => venue.close())

  const run = (root: string, ...args: string[]) =>
    runHere([...args, '--root', root], { env: { EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url } })
  const klines = () =>
    venue.log().filter(({ path, parameters }) => path === '/api/v3/klines' && parameters.limit === '1000')
      .length

  test('complete, then verified, then nothing to do', async () => {
    await inFolder(async (root) => {
      const range = ['--from', '2024-01-01', '--to', '2024-01-20']
      const first = await run(root, 'sync', BTC, ...range, '--json')
      expect(first.stderr).not.toContain('error')
      expect(first.code).toBe(0)
      const [series] = first.json().data.series
      expect(series.complete).toBe(true)
      expect(series.bars.inserted).toBe(28_000) // whole slices: 28 of them hold the 27,360 bars asked for
      const before = kept(root)
      venue.resetStats()
      const second = await run(root, 'sync', BTC, ...range, '--json')
      expect(second.code).toBe(0)
      expect(venue.stats().requests).toBe(0)
      expect(kept(root)).toEqual(before)
      const verify = await run(root, 'verify', '--json')
      expect(verify.code).toBe(0)
      expect(verify.json().data).toMatchObject({ complete: true, faults: [], slicesChecked: 28 })
      expect(verify.json().data.series[0]).toMatchObject({ expected: 27_360, present: 27_360, missing: {} })
    })
  })

  test('an earlier start asks for the new slices only', async () => {
    await inFolder(async (root) => {
      await run(root, 'sync', BTC, '--from', '2024-01-10', '--to', '2024-01-12')
      venue.resetStats()
      expect((await run(root, 'sync', BTC, '--from', '2024-01-08', '--to', '2024-01-12')).code).toBe(0)
      const asked = venue
        .log()
        .flatMap(({ parameters }) => (parameters.limit === '1000' ? [Number(parameters.startTime)] : []))
      const span = 60_000_000
      const firstSlice = (text: string) => Math.floor(Date.parse(text) / span) * span
      const expected: number[] = []
      for (let at = firstSlice('2024-01-08'); at < firstSlice('2024-01-10'); at += span) expected.push(at)
      expect(asked.sort((a, b) => a - b)).toEqual(expected)
    })
  })

  test('a range that reaches the present is partial, and whole once it has passed', async () => {
    const present = await startSimulator({
      seed: 7,
      nowMs: Date.parse('2024-01-10T12:30:30Z'),
      weightLimit: 1e9,
    })
    const at = (root: string, ...args: string[]) =>
      runHere([...args, '--root', root], { env: { EVERYBAR__SOURCES__BINANCE__BASE_URL: present.url } })
    try {
      await inFolder(async (root) => {
        const first = (await at(root, 'sync', BTC, '--from', '2024-01-10', '--json')).json()
        expect(first.code).toBe(0)
        expect(first.data.series[0]).toMatchObject({ complete: true, slices: { partial: 1 } })
        const last = () =>
          at(root, 'query', 'SELECT max(open_time) AS last, count(*) AS n FROM bars', '--json')
        expect((await last()).json().data).toEqual([{ last: '2024-01-10T12:29:00Z', n: expect.any(Number) }])
        present.setNow(Date.parse('2024-01-11T12:00:30Z'))
        const second = (await at(root, 'sync', BTC, '--from', '2024-01-10', '--json')).json()
        expect(second.data.series[0]).toMatchObject({ complete: true, slices: { fetched: 3, partial: 1 } })
        expect((await last()).json().data[0].last).toBe('2024-01-11T11:59:00Z')
        expect((await at(root, 'verify')).code).toBe(0)
      })
    } finally {
      await present.close()
    }
  })

  test('months, weeks, days and hours are as complete as minutes', async () => {
    await inFolder(async (root) => {
      for (const timeframe of ['15m', '1h', '1d', '3d', '1w', '1M']) {
        const result = await run(
          root,
          'sync',
          `binance:spot:BTCUSDT:${timeframe}`,
          '--from',
          '2023-06',
          '--to',
          '2024-02',
          '--json',
        )
        expect(`${timeframe} ${result.code} ${result.stderr}`).toBe(`${timeframe} 0 `)
      }
      for (const flags of [[], ['--deep']]) {
        const verify = (await run(root, 'verify', ...flags, '--json')).json()
        expect(verify.data.faults).toEqual([])
        expect(verify.code).toBe(0)
      }
    })
  })

  test('USD-M asks for 499 bars a page', async () => {
    await inFolder(async (root) => {
      venue.resetStats()
      const result = await run(
        root,
        'sync',
        'binance:um:BTCUSDT:1m',
        '--from',
        '2024-01-01',
        '--to',
        '2024-01-04',
        '--json',
      )
      expect(result.code).toBe(0)
      const pages = venue
        .log()
        .filter(({ path, parameters }) => path === '/fapi/v1/klines' && parameters.limit !== '1')
      expect(new Set(pages.map(({ parameters }) => parameters.limit))).toEqual(new Set(['499']))
      expect(pages.length).toBe(result.json().data.series[0].slices.fetched)
    })
  })

  test('a range never fetched is not complete, and says so', async () => {
    await inFolder(async (root) => {
      await run(root, 'sync', BTC, '--from', '2024-01-01', '--to', '2024-01-02')
      const gaps = await run(root, 'gaps', BTC, '--from', '2024-01-01', '--to', '2024-01-05', '--json')
      expect(gaps.code).toBe(3)
      expect(gaps.json().data.map((gap: { class: string }) => gap.class)).toEqual(['never_fetched'])
      expect((await run(root, 'verify', BTC, '--from', '2024-01-01', '--to', '2024-01-05')).code).toBe(3)
    })
  })

  test('klines are asked once a slice, whatever else is asked', async () => {
    await inFolder(async (root) => {
      venue.resetStats()
      const result = await run(root, 'sync', BTC, '--from', '2024-02-01', '--to', '2024-02-05', '--json')
      expect(klines()).toBe(result.json().data.series[0].slices.planned)
    })
  })
})
