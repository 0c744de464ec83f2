import { copyFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { sync } from '../../src/index.ts'
import { startSimulator } from '../../src/simulator/simulator.ts'
import { inFolder, runHere } from '../run-cli.ts'
import { liveHouse } from '../support/live-house.ts'
import { type ProvedRoot, provedRoot } from '../support/proved-root.ts'
import { filesIn, lakeHashes } from '../support/root.ts'

const BTC = 'binance:spot:BTCUSDT:5m'
const LATE = 'binance:spot:BTCUSDT:1m'
const nowMs = Date.parse('2024-03-02T12:50:30Z')

let place: ProvedRoot
let lake: Record<string, string>
beforeAll(async () => {
  place = await provedRoot()
  lake = lakeHashes(place.root)
})
afterAll(() => place.close())
afterEach(() => {
  place.restore()
  place.venue.setNow(nowMs)
  place.venue.setFaults('')
})

const full = (path: string) => join(place.root, path)
const files = (kind: RegExp) =>
  filesIn(place.root).filter((path) => kind.test(path) && !path.startsWith('.everybar/'))
const flip = (path: string) => {
  const bytes = readFileSync(path)
  bytes[bytes.length >> 1]! ^= 1
  writeFileSync(path, bytes)
}
const cli = async (root: string, url: string, ...args: string[]) =>
  (
    await runHere([...args, '--root', root, '--json'], {
      env: { EVERYBAR__SOURCES__BINANCE__BASE_URL: url },
    })
  ).json()
const again = (id: string, from: string, to: string) =>
  cli(place.root, place.venue.url, 'sync', id, '--from', from, '--to', to, '--recheck', '100%')
const lateAgain = async (times: number) => {
  for (let i = 1; i <= times; i++) {
    place.venue.setNow(nowMs + 600_000 * i)
    await again(LATE, '2024-03-01T22:00Z', '2024-03-02T12:00Z')
  }
}
const faultsOf = async (options: Parameters<ProvedRoot['verify']>[0] = {}) =>
  (await place.verify(options)).faults.map(({ kind, path }) => `${kind} ${path}`).sort()

describe('an older answer that no newer one superseded', () => {
  test('of another root, is named, read by nobody, and taken out of the way', async () => {
    const other = await startSimulator({
      seed: 99,
      nowMs,
      fromMs: Date.parse('2024-01-29T05:00Z'),
      weightLimit: Number.POSITIVE_INFINITY,
    })
    await inFolder(async (root) => {
      await sync({ root, baseUrl: other.url, series: BTC, from: '2024-01-29', to: '2024-03-02' })
      const current = files(/klines\/raw\/BTCUSDT\/5m\/responses\/[0-9a-f]+\.json$/)
      const strays = current.map((path) => path.replace('.json', '.1.json'))
      for (const [i, path] of current.entries()) copyFileSync(join(root, path), full(strays[i]!))
      expect(await faultsOf()).toEqual(strays.map((path) => `archive.stray ${path}`))
      await place.rebuild({ lake: true })
      expect(lakeHashes(place.root)).toEqual(lake)
      const report = await place.repair()
      expect(report.proof).toMatchObject({ faultCount: 0, complete: true })
      expect(report.setAside).toEqual(expect.arrayContaining(strays))
      expect(lakeHashes(place.root)).toEqual(lake)
    })
    await other.close()
  })

  test('a copy of an older one under the next number', async () => {
    const [older] = files(/\.1\.json$/)
    copyFileSync(full(older!), full(older!.replace('.1.', '.2.')))
    expect(await faultsOf()).toEqual([`archive.stray ${older}`])
    expect((await place.repair()).proof).toMatchObject({ faultCount: 0, complete: true })
    expect(files(/\.\d+\.json$/)).toEqual([older])
  })

  test('a copy under a number far beyond the others is one fault', async () => {
    const [answer] = files(/5m\/responses\/[0-9a-f]+\.json$/)
    const copy = answer!.replace('.json', '.200000.json')
    copyFileSync(full(answer!), full(copy))
    expect(await faultsOf()).toEqual([`archive.stray ${copy}`])
    expect((await place.repair()).proof).toMatchObject({ faultCount: 0, complete: true })
  })
})

describe('an older answer that is gone', () => {
  test('the last of two is named by its own number, and its loss is told once', async () => {
    await lateAgain(2)
    const last = files(/1m\/responses\/.*\.\d+\.json$/).at(-1)!
    rmSync(full(last))
    expect(await faultsOf()).toEqual([`archive.missing ${last}`])
    const report = await place.repair()
    expect(report.series.flatMap((one) => one.lost)).toEqual([last])
    expect(report.proof.faults).toEqual([])
    expect((await place.repair()).faultCount).toBe(0)
  })

  test('a loss that was told hides no later one under the same number', async () => {
    const [older] = files(/\.1\.json$/)
    rmSync(full(older!))
    await place.repair()
    await lateAgain(2)
    expect(await faultsOf({ deep: true })).toEqual([])
    rmSync(full(older!))
    expect(await faultsOf()).toEqual([`archive.missing ${older}`])
  })

  test('one that moved up leaves a number free: it is not read any more, and moves back', async () => {
    const [older] = files(/\.1\.json$/)
    copyFileSync(full(older!), full(older!.replace('.1.', '.7.')))
    rmSync(full(older!))
    expect(await faultsOf()).toEqual([`archive.missing ${older}`])
    expect((await place.repair()).proof.faults).toEqual([])
    expect(files(/\.\d+\.json$/)).toEqual([older])
  })

  test('a tail: a damaged one goes out of the way, and one behind a hole moves up', async () => {
    const live = await liveHouse({ seed: 5 })
    const run = (...args: string[]) => cli(live.root, live.venue.url, ...args)
    const kept = mkdtempSync(join(tmpdir(), 'everybar-kept-'))
    const older = () =>
      filesIn(live.root)
        .filter((path) => /^binance\/.*\.\d+\.(tail\.)?json$/.test(path))
        .map((path) => path.replace(/^.*\/[0-9a-f]+/, ''))
    try {
      await live.follow([LATE], { from: '2024-03-01T11:00Z', minutes: 4 })
      await run('sync', LATE, '--from', '2024-03-01T11:00Z', '--recheck', '100%')
      const tail = filesIn(live.root).find((path) => path.endsWith('.2.tail.json'))!
      cpSync(live.root, kept, { recursive: true })
      flip(join(live.root, tail))
      expect((await run('repair')).code).toBe(0)
      expect((await run('repair')).data.setAside).toEqual([])
      rmSync(live.root, { recursive: true })
      cpSync(kept, live.root, { recursive: true })
      rmSync(join(live.root, tail.replace('.2.tail.json', '.1.json')))
      expect((await run('repair')).code).toBe(0)
      expect(older()).toEqual(['.1.tail.json'])
      await run('sync', LATE, '--from', '2024-03-01T11:00Z', '--recheck', '100%')
      expect((await run('verify')).code).toBe(0)
    } finally {
      await live.close()
      rmSync(kept, { recursive: true })
    }
  })

  test('only older ones are there, and no ledger: the slice is asked for again, and they stay', async () => {
    const [older] = files(/\.1\.json$/)
    const current = older!.replace('.1.json', '.json')
    rmSync(full(current))
    rmSync(full('.everybar'), { recursive: true })
    const report = await place.repair()
    expect(report.series.flatMap((one) => one.lost)).toEqual([])
    expect(report.proof.faults).toEqual([])
    expect(files(/\.1\.json$/)).toEqual([older])
    rmSync(full(older!))
    expect(await faultsOf()).toEqual([`archive.missing ${older}`])
  })
})

describe('a ledger from before slices were asked again', () => {
  const range = ['--from', '2024-02-01', '--to', '2024-02-20'] as const
  let restated = 100
  /** A root whose slices were asked again, with a ledger, and a lake where that is said, from before. */
  const putBack = async (root: string, { times, lakeToo }: { times: number; lakeToo: boolean }) => {
    const run = (...args: string[]) => cli(root, place.venue.url, ...args)
    await run('sync', BTC, ...range)
    const before = mkdtempSync(join(tmpdir(), 'everybar-before-'))
    cpSync(root, before, { recursive: true })
    for (let i = 1; i <= times; i++) {
      const openTimeMs = Date.parse('2024-02-13T10:10:00Z')
      place.venue.restate({ symbol: 'BTCUSDT', openTimeMs, volume: `${++restated}.5` })
      place.venue.setNow(nowMs + i * 60_000)
      await run('sync', BTC, ...range, '--recheck', '100%')
    }
    const whole = lakeHashes(root)
    for (const folder of ['.everybar', ...(lakeToo ? ['lake'] : [])]) {
      rmSync(join(root, folder), { recursive: true })
      cpSync(join(before, folder), join(root, folder), { recursive: true })
    }
    rmSync(before, { recursive: true })
    return { run, whole }
  }

  for (const command of ['repair', 'sync'] as const) {
    for (const times of [1, 2]) {
      for (const lakeToo of [true, false]) {
        const what = `asked ${times === 1 ? 'once' : 'twice'} more, the lake ${lakeToo ? 'from then too' : 'newer'}`
        test(`${command} takes the newer answers in: ${what}`, () =>
          inFolder(async (root) => {
            const { run, whole } = await putBack(root, { times, lakeToo })
            const faults: readonly { kind: string }[] = (await run('verify')).data.faults
            expect(faults.filter(({ kind }) => kind.startsWith('archive.'))).toEqual([])
            const asked = () => place.venue.stats().klines.requests
            const before = asked()
            expect((await (command === 'repair' ? run('repair') : run('sync', BTC, ...range))).code).toBe(0)
            expect(asked()).toBe(before)
            // That others came again unchanged is in no file name: sync reads no answer to learn it, repair does.
            const codes = command === 'repair' ? [0] : [0, 3]
            for (const depth of [[], ['--deep']]) {
              const verified = await run('verify', ...depth)
              expect(codes).toContain(verified.code)
              expect(verified.data.faults).toEqual([])
            }
            expect(lakeHashes(root)).toEqual(whole)
            expect((await run('repair')).code).toBe(0)
          }))
      }
    }
  }
})

describe('bars that no answer holds any more', () => {
  const present = async () => (await place.verify()).series.find((one) => one.series === BTC)!.present

  test('of an older answer that is damaged, are asked for again', async () => {
    place.venue.setFaults('klines:hole=10')
    await again(BTC, '2024-02-05', '2024-02-07')
    place.venue.setFaults('')
    const before = await present()
    flip(full(files(/5m\/responses\/.*\.1\.json$/)[0]!))
    place.venue.resetStats()
    const plan = await place.repair({ dryRun: true })
    expect(plan.requests).toBe(1)
    expect((await place.repair()).proof).toMatchObject({ faultCount: 0, complete: true })
    expect(await present()).toBe(before)
    expect(lakeHashes(place.root)).toEqual(lake)
  })

  test('of one that is damaged, with the ledger gone too, are asked for again', async () => {
    place.venue.setFaults('klines:hole=10')
    await again(BTC, '2024-02-05', '2024-02-07')
    place.venue.setFaults('')
    flip(full(files(/5m\/responses\/.*\.1\.json$/)[0]!))
    rmSync(full('.everybar'), { recursive: true })
    expect((await place.repair()).proof).toMatchObject({ faultCount: 0, complete: true })
    expect(lakeHashes(place.root)).toEqual(lake)
  })

  for (const [what, kind] of [
    ['an older answer', /5m\/responses\/.*\.1\.json$/],
    ['the current answer', /5m\/responses\/[0-9a-f]+\.json$/],
  ] as const) {
    test(`of ${what}, stay in the lake, a fault, while the venue does not give them again`, async () => {
      place.venue.setFaults('klines:hole=10')
      if (what === 'an older answer') await again(BTC, '2024-02-05', '2024-02-07')
      flip(full(files(kind)[1] ?? files(kind)[0]!))
      for (let i = 0; i < 2; i++) {
        const { proof } = await place.repair()
        expect(new Set(proof.faults.map((one) => one.kind))).toEqual(new Set(['store.bar-unknown']))
        expect(proof.faultCount).toBe(10)
        expect(lakeHashes(place.root)).toEqual(lake)
      }
      place.venue.setFaults('')
      expect((await place.repair()).proof).toMatchObject({ faultCount: 0, complete: true })
      expect(lakeHashes(place.root)).toEqual(lake)
    })
  }
})
