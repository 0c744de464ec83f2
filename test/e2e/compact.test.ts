import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { lockRoot } from '../../src/app/root-lock.ts'
import { compact } from '../../src/index.ts'
import { parseSeries, type Series } from '../../src/model/series.ts'
import type { Lake } from '../../src/store/lake.ts'
import { openLake } from '../../src/store/parquet/open-lake.ts'
import { contentOf, rows } from '../../src/testing/store-samples.ts'
import { runCli } from '../run-cli.ts'
import { appendedLive } from '../support/live-root.ts'
import { type ProvedRoot, provedRoot } from '../support/proved-root.ts'
import { lakeHashes } from '../support/root.ts'

const BTC = 'binance:spot:BTCUSDT:5m'
const LATE = 'binance:spot:BTCUSDT:1m'
const ETH = 'binance:spot:ETHUSDT:15m'
const followed = [BTC, ETH, LATE]
/** Delta files, each with a bar of ETH: more than that has in its last month. The last twenty have one of all. */
const FILES = 160
/** One with a bar of every series. */
const shared = () => join(folder(), deltas()[FILES - 17]!)

let place: ProvedRoot
/** The root as it is after `appendedLive`. */
let live: string
let undisturbed: Record<string, string>
beforeAll(async () => {
  place = await provedRoot()
  await place.sync({ series: [BTC, ETH], from: '2024-01-29' })
  undisturbed = lakeHashes(place.root)
  await appendedLive(place.root, { [BTC]: 20, [ETH]: FILES, [LATE]: 20 })
  live = mkdtempSync(join(tmpdir(), 'everybar-live-'))
  cpSync(place.root, live, { recursive: true })
})
afterAll(async () => {
  await place.close()
  rmSync(live, { recursive: true, force: true })
})
beforeEach(() => {
  rmSync(place.root, { recursive: true })
  cpSync(live, place.root, { recursive: true })
})

const folder = () => join(place.root, 'lake/.delta')
const deltas = () => (existsSync(folder()) ? readdirSync(folder()).sort() : [])
const flip = (path: string) => {
  const bytes = readFileSync(path)
  bytes[bytes.length >> 1]! ^= 1
  writeFileSync(path, bytes)
}
const cli = (...args: string[]) => runCli([...args, '--root', place.root])
const kinds = async (options?: Parameters<ProvedRoot['verify']>[0]) => {
  const { faults, complete } = await place.verify(options)
  return { complete, kinds: [...new Set(faults.map(({ kind }) => kind))].sort(), faults }
}
async function withLake<T>(use: (lake: Lake) => Promise<T>): Promise<T> {
  const lake = await openLake({ root: place.root })
  try {
    return await use(lake)
  } finally {
    await lake[Symbol.asyncDispose]()
  }
}
/** No fault, not even where everything is compared, and nothing but month files as a sync would have written them. */
async function expectUndisturbed() {
  expect(await kinds({ deep: true })).toMatchObject({ complete: true, kinds: [] })
  expect(deltas()).toEqual([])
  expect(lakeHashes(place.root)).toEqual(undisturbed)
}

describe('a root that was followed live', () => {
  test('is whole by its files, and bar for bar', async () => {
    expect(deltas()).toHaveLength(FILES)
    expect(await kinds()).toMatchObject({ complete: true, kinds: [] })
    expect(await kinds({ deep: true })).toMatchObject({ complete: true, kinds: [] })
  })

  test('reads as one that was not', async () => {
    const sql =
      'SELECT market, symbol, timeframe, count(*), round(sum(volume), 3), max(open_time) FROM bars GROUP BY ALL ORDER BY ALL'
    const stored = async () =>
      ((await cli('status', '--json')).json().data as Record<string, unknown>[]).map(
        ({ series, bars, firstMs, lastMs, behind, missing, coverage }) => ({
          series,
          bars,
          firstMs,
          lastMs,
          behind,
          missing,
          coverage,
        }),
      )
    const [before, status] = [(await cli('query', sql)).stdout, await stored()]
    await compact({ root: place.root })
    expect((await cli('query', sql)).stdout).toBe(before)
    expect(await stored()).toEqual(status)
    expect((await cli('reconcile', '--store', 'parquet', '--dry-run')).code).toBe(0)
  })

  test('goes on with a sync, which folds the months it touches', async () => {
    const common = { series: LATE, from: '2024-03-01T22:00Z' }
    place.venue.setNow(Date.parse('2024-03-02T13:00:30Z'))
    const report = await place.sync(common)
    expect(report).toMatchObject({ complete: true })
    expect(await kinds()).toMatchObject({ complete: true, kinds: [] })
    const [content, hashes] = await withLake(async (lake) => {
      const seen = rows(await contentOf(lake, parseSeries(LATE)))
      return [seen, await compact({ root: place.root }).then(() => lakeHashes(place.root))]
    })
    const fresh = mkdtempSync(join(tmpdir(), 'everybar-fresh-'))
    const { sync } = await import('../../src/index.ts')
    await sync({ ...common, root: fresh, baseUrl: place.venue.url })
    const lake = await openLake({ root: fresh })
    expect(content).toEqual(rows(await contentOf(lake, parseSeries(LATE))))
    await lake[Symbol.asyncDispose]()
    for (const [path, hash] of Object.entries(lakeHashes(fresh))) expect(hashes[path]).toBe(hash)
    rmSync(fresh, { recursive: true })
  })

  test('has a certificate that holds after a compaction, and not after a bar is gone', async () => {
    const file = join(place.root, 'certificate.json')
    expect((await cli('verify', '--certificate', file)).code).toBe(0)
    expect((await cli('verify', '--against', file)).code).toBe(0)
    const last = deltas().at(-1)!
    const bytes = readFileSync(join(folder(), last))
    rmSync(join(folder(), last))
    expect((await cli('verify', '--against', file)).code).toBe(4)
    writeFileSync(join(folder(), last), bytes.toReversed())
    expect((await cli('verify', '--against', file)).code).toBe(4)
    writeFileSync(join(folder(), last), bytes)
    await compact({ root: place.root })
    expect((await cli('verify', '--against', file)).code).toBe(0)
  })
})

describe('everybar compact', () => {
  test('leaves the lake a sync would have written, and a ledger that agrees', async () => {
    const { code, stdout } = await cli('compact')
    expect(code).toBe(0)
    expect(stdout).toMatch(/^folded 200 rows of 3 series from 160 delta files into 4 month files\n$/)
    expect(await kinds()).toMatchObject({ complete: true, kinds: [] })
    await expectUndisturbed()
    const again = await cli('compact', '--json')
    expect(again.json()).toEqual({
      ok: true,
      code: 0,
      data: { files: 0, rows: 0, series: 0, months: 0 },
      runId: null,
    })
    expect((await cli('compact')).stdout).toBe(
      'nothing to fold: every bar of the lake is in its month file\n',
    )
  })

  test('waits for no one: the root is somebody else’s', async () => {
    await using _ = await lockRoot(place.root, { command: 'live' })
    const { code, stderr } = await cli('compact')
    expect(`${code} ${stderr}`).toMatch(/^11 error\[root\.locked\].*live/)
    expect(deltas()).toHaveLength(FILES)
  })

  test('folds nothing around a damaged delta file', async () => {
    flip(join(folder(), deltas()[7]!))
    const before = lakeHashes(place.root)
    const { code, stderr } = await cli('compact')
    expect(`${code} ${stderr}`).toContain(`4 error[store.corrupt]`)
    expect(stderr).toContain(deltas()[7])
    expect(lakeHashes(place.root)).toEqual(before)
  })

  const stops: Record<string, (lake: Lake) => Promise<unknown>> = {
    'after one series was folded, and the ledger not told': (lake) =>
      lake.compact({ each: (_, fold) => fold().then(() => Promise.reject(new Error('killed'))) }),
    'after all were folded, and the ledger not told': (lake) => {
      let left = followed.length
      const each = async (_: Series, fold: () => Promise<unknown>) => {
        await fold()
        if (--left === 0) throw new Error('killed')
      }
      return lake.compact({ each })
    },
  }
  for (const [what, stop] of Object.entries(stops)) {
    test(`stopped ${what}: no fault, and the next one ends it`, async () => {
      await withLake((lake) => expect(stop(lake)).rejects.toThrow('killed'))
      expect(deltas()).toHaveLength(FILES)
      expect(await kinds()).toMatchObject({ complete: true, kinds: [] })
      await compact({ root: place.root })
      await expectUndisturbed()
    })
  }

  test('stopped while the delta files go: no fault, and the next one ends it', async () => {
    const kept = deltas().slice(5)
    await compact({ root: place.root })
    for (const name of kept) cpSync(join(live, 'lake/.delta', name), join(folder(), name))
    expect(await kinds()).toMatchObject({ complete: true, kinds: [] })
    await compact({ root: place.root })
    await expectUndisturbed()
  })

  test('stopped after months were written, a month that is damaged then is found all the same', async () => {
    await withLake((lake) =>
      expect(stops['after all were folded, and the ledger not told']!(lake)).rejects.toThrow(),
    )
    const path = Object.keys(lakeHashes(place.root)).find((name) => /2024\/03\/ETHUSDT_15min/.test(name))!
    flip(join(place.root, 'lake', path))
    expect((await kinds()).kinds.length).toBeGreaterThan(0)
    await place.repair()
    await compact({ root: place.root })
    await expectUndisturbed()
  })
})

describe('damage', () => {
  interface Case {
    readonly damage: () => void | Promise<void>
    readonly kinds: readonly string[]
  }
  const cases: Record<string, Case> = {
    'a delta file that is gone': {
      damage: () => rmSync(shared()),
      kinds: ['store.bar-missing'],
    },
    'the last delta file gone': {
      damage: () => rmSync(join(folder(), deltas().at(-1)!)),
      kinds: ['store.bar-missing'],
    },
    'all of them gone': {
      damage: () => rmSync(folder(), { recursive: true }),
      kinds: ['store.bar-missing'],
    },
    'a flipped byte in one': {
      damage: () => flip(shared()),
      kinds: ['store.bar-missing', 'store.corrupt'],
    },
    'one cut short': {
      damage: () => writeFileSync(join(folder(), deltas()[2]!), ''),
      kinds: ['store.bar-missing', 'store.corrupt'],
    },
    'a bar with another value, in a delta file that is whole': {
      damage: () =>
        withLake(async (lake) => {
          const series = parseSeries(BTC)
          const bars = await lake.pendingBars(series)
          bars.close[15]! += 1
          await lake.append([{ series, batch: bars }])
        }),
      kinds: ['store.bar-differs'],
    },
    'bars of a series nobody asked for': {
      damage: () =>
        withLake(async (lake) => {
          const batch = await lake.pendingBars(parseSeries(ETH))
          await lake.append([{ series: parseSeries('binance:spot:DOGEUSDT:15m'), batch }])
        }),
      kinds: ['store.corrupt'],
    },
    'bars of years to come': {
      damage: () =>
        withLake(async (lake) => {
          const series = parseSeries(ETH)
          const bars = await lake.pendingBars(series)
          bars.openTimeMs.forEach((ms, i) => {
            bars.openTimeMs[i] = ms + 400 * 86_400_000
          })
          await lake.append([{ series, batch: bars }])
        }),
      kinds: ['store.bar-unknown'],
    },
    'a folder where one was': {
      damage: () => {
        const path = shared()
        rmSync(path)
        mkdirSync(path)
      },
      kinds: ['store.bar-missing', 'store.corrupt'],
    },
    'a month file, beside delta files of the month': {
      damage: () => {
        const path = Object.keys(lakeHashes(place.root)).find((name) => /2024\/02\/ETHUSDT_15min/.test(name))!
        flip(join(place.root, 'lake', path))
      },
      kinds: ['store.bar-differs', 'store.corrupt', 'store.file-differs'],
    },
  }
  for (const [what, { damage, kinds: expected }] of Object.entries(cases)) {
    test(`${what} is named and mended`, async () => {
      await damage()
      const found = await kinds()
      expect(found.complete).toBe(false)
      for (const kind of found.kinds) expect(expected).toContain(kind)
      expect(found.kinds).toContain(expected.at(-1))
      const planned = await place.repair({ dryRun: true })
      expect(planned.faultCount).toBeGreaterThan(0)
      const report = await place.repair()
      expect(report.proof).toMatchObject({ complete: true, faultCount: 0 })
      expect(report.requests).toBe(0)
      await compact({ root: place.root })
      await expectUndisturbed()
    })
  }

  test('of bars before the start that was asked for is found: they came with the slice, and are in the lake', async () => {
    const one = await provedRoot()
    try {
      const series = 'binance:spot:BTCUSDT:15m'
      await one.sync({ series, from: '2024-03-01' })
      const lake = await openLake({ root: one.root })
      const { length, openTimeMs } = await contentOf(lake, parseSeries(series))
      await lake[Symbol.asyncDispose]()
      expect(openTimeMs[0]).toBeLessThan(Date.parse('2024-03-01'))
      await appendedLive(one.root, { [series]: length })
      const names = readdirSync(join(one.root, 'lake/.delta')).sort()
      expect(names).toHaveLength(length)
      expect(await one.verify()).toMatchObject({ complete: true, faults: [] })
      for (const name of [names[0]!, names[5]!]) rmSync(join(one.root, 'lake/.delta', name))
      const { complete, faults } = await one.verify()
      expect(complete).toBe(false)
      expect(faults.map(({ kind, openTimeMs: at }) => [kind, at])).toEqual([
        ['store.bar-missing', openTimeMs[0]],
        ['store.bar-missing', openTimeMs[5]],
      ])
      expect((await one.repair()).proof).toMatchObject({ complete: true, faultCount: 0 })
      expect(await one.verify({ deep: true })).toMatchObject({ complete: true, faults: [] })
    } finally {
      await one.close()
    }
  })

  test('is looked for in all series, whichever was named, as a delta file is everybody’s', async () => {
    flip(shared())
    const report = await place.repair({ series: LATE })
    expect(report.series.map(({ series }) => series).sort()).toEqual([...followed].sort())
    expect(report.setAside).toEqual([
      `lake/.delta/${readdirSync(join(live, 'lake/.delta')).sort()[FILES - 17]}`,
    ])
    await compact({ root: place.root })
    await expectUndisturbed()
  })

  test('is no obstacle to a rebuild of the lake', async () => {
    flip(shared())
    const { setAside } = await place.rebuild({ store: 'parquet' })
    expect(setAside).toHaveLength(1)
    await expectUndisturbed()
  })

  test('of a month file neither, with delta files beside it', async () => {
    const path = Object.keys(lakeHashes(place.root)).find((name) => /2024\/03\/ETHUSDT_15min/.test(name))
    if (path) writeFileSync(join(place.root, 'lake', path), 'no parquet')
    const february = Object.keys(lakeHashes(place.root)).find((name) => /2024\/02\/ETHUSDT_15min/.test(name))!
    writeFileSync(join(place.root, 'lake', february), 'no parquet')
    await place.rebuild({ store: 'parquet', ledger: true })
    await expectUndisturbed()
  })
})
