import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type Bar,
  type BarBatch,
  barsOf,
  batchFromBars,
  concatBatches,
  emptyBatch,
  pickBars,
} from '../../src/model/bar.ts'
import { parseSeries } from '../../src/model/series.ts'
import { monthOf } from '../../src/model/time.ts'
import { digestOf } from '../../src/store/digest.ts'
import type { Lake } from '../../src/store/lake.ts'
import { openLake } from '../../src/store/parquet/open-lake.ts'

const start = Date.UTC(2024, 1, 29, 22, 0)
const nan = Number.NaN

/** The one true bar of a slot; slots 0–119 are in February, the rest in March. */
function truth(slot: number): Bar {
  const price = 100 + Math.sin(slot) * 3
  return {
    openTimeMs: start + slot * 60_000,
    open: price,
    high: price + 1,
    low: price - 1,
    close: price + (slot % 3) / 10,
    volume: slot % 4 === 0 ? 0 : slot / 7,
    native: {
      trades: slot,
      quoteVolume: slot % 5 === 0 ? nan : slot * 1.5,
      openInterest: slot % 50 === 0 ? 3 : nan,
    },
  }
}

async function bytesUnder(folder: string): Promise<Map<string, string>> {
  const files = new Map<string, string>()
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    files.set(path.slice(folder.length), (await readFile(path)).toString('base64'))
  }
  return files
}

describe('the bytes of the lake', () => {
  let folder: string
  let made = 0
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'everybar-lake-'))
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  const series = parseSeries('test:spot:BTC/USDT:1m')
  async function lakeBytes(fill: (lake: Lake) => Promise<void>): Promise<Map<string, string>> {
    const root = join(folder, String(made++))
    const lake = await openLake({ root })
    await fill(lake)
    await lake[Symbol.asyncDispose]()
    return bytesUnder(join(root, 'lake'))
  }

  const commits = fc.array(
    fc.record({
      slots: fc.uniqueArray(fc.integer({ min: 0, max: 239 }), { minLength: 1, maxLength: 120 }),
      /** Commit wrong values first, so that the true ones revise them. */
      wrongFirst: fc.boolean(),
      how: fc.constantFrom('commit', 'replace', 'reopen'),
    }),
    { minLength: 1, maxLength: 5 },
  )

  test('are the same for the same bars, whatever way they came', async () => {
    await fc.assert(
      fc.asyncProperty(commits, async (steps) => {
        const held = new Set<number>()
        const stepwise = await lakeBytes(async (first) => {
          let lake = first
          for (const { slots, wrongFirst, how } of steps) {
            const sorted = [...slots].sort((a, b) => a - b)
            for (const slot of sorted) held.add(slot)
            const batch = batchFromBars(sorted.map(truth))
            if (wrongFirst)
              await lake.commit(series, batchFromBars(sorted.map((s) => ({ ...truth(s), volume: -0 }))))
            if (how === 'replace') {
              const range = { startMs: start, endMs: start + 240 * 60_000 }
              const all = batchFromBars([...held].sort((a, b) => a - b).map(truth))
              await lake.replace(series, range, all)
            } else await lake.commit(series, batch)
            if (how === 'reopen') {
              await lake[Symbol.asyncDispose]()
              lake = await openLake({ root: join(folder, String(made - 1)) })
            }
          }
          if (lake !== first) await lake[Symbol.asyncDispose]()
        })
        const all = batchFromBars([...held].sort((a, b) => a - b).map(truth))
        const atOnce = await lakeBytes(async (lake) => void (await lake.commit(series, all)))
        expect(stepwise).toEqual(atOnce)
      }),
      { numRuns: 40 },
    )
  })

  test('are the same from another process', async () => {
    const here = await lakeBytes(
      async (lake) => void (await lake.commit(series, batchFromBars(slotsTo(240).map(truth)))),
    )
    const root = join(folder, 'elsewhere')
    const code = `
      import { openLake } from ${JSON.stringify(new URL('../../src/store/parquet/open-lake.ts', import.meta.url))}
      import { batchFromBars } from ${JSON.stringify(new URL('../../src/model/bar.ts', import.meta.url))}
      import { parseSeries } from ${JSON.stringify(new URL('../../src/model/series.ts', import.meta.url))}
      const start = ${start}, nan = NaN
      ${truth.toString()}
      const lake = await openLake({ root: ${JSON.stringify(root)} })
      const bars = Array.from({ length: 240 }, (_, slot) => truth(slot))
      for (let i = 200; i >= 0; i -= 40) await lake.commit(parseSeries('test:spot:BTC/USDT:1m'), batchFromBars(bars.slice(i, i + 40)))
      await lake[Symbol.asyncDispose]()`
    await promisify(execFile)(process.execPath, ['--input-type=module', '-e', code])
    expect(await bytesUnder(join(root, 'lake'))).toEqual(here)
  })

  test('stay untouched, with their time of change, when a commit brings nothing new', async () => {
    const root = join(folder, 'untouched')
    const lake = await openLake({ root })
    const bars = batchFromBars(slotsTo(240).map(truth))
    await lake.commit(series, bars)
    const before: [string, number][] = []
    for await (const { path } of lake.files(series))
      before.push([path, (await stat(join(root, path))).mtimeMs])
    await lake.commit(series, bars)
    await lake.replace(series, { startMs: 0, endMs: start * 2 }, bars)
    const after: [string, number][] = []
    for await (const { path } of lake.files(series))
      after.push([path, (await stat(join(root, path))).mtimeMs])
    expect(after).toEqual(before)
    expect(after).toHaveLength(2)
    await lake[Symbol.asyncDispose]()
  })

  test('of several row groups do not depend on the portions either', async () => {
    const bars = bigBatch(300_000)
    const atOnce = await lakeBytes(async (lake) => void (await lake.commit(seconds, bars)))
    const portions = await lakeBytes(async (lake) => {
      for (const [from, to] of [
        [200_001, 300_000],
        [0, 122_880],
        [122_880, 200_001],
      ] as const) {
        await lake.commit(
          seconds,
          pickBars(
            bars,
            Uint32Array.from({ length: to - from }, (_, i) => from + i),
          ),
        )
      }
      const read = await lake.readMonth(seconds, monthOf(bars.openTimeMs[0]!))
      expect(digestOf(read!)).toBe(digestOf(bars))
    })
    expect([...portions.values()].length).toBe(1)
    expect([...portions.values()][0] === [...atOnce.values()][0]).toBe(true)
  })

  const seconds = parseSeries('test:spot:S:1s')
  const slotsTo = (count: number) => Array.from({ length: count }, (_, slot) => slot)
  function bigBatch(length: number): BarBatch {
    const column = (of: (i: number) => number) => Float64Array.from({ length }, (_, i) => of(i))
    const price = column((i) => 100 + Math.round(Math.sin(i / 100) * 1000) / 100)
    return {
      length,
      openTimeMs: column((i) => Date.UTC(2024, 2, 1) + i * 1000),
      open: price,
      high: price,
      low: price,
      close: price,
      volume: column((i) => i % 1000),
      native: { trades: column((i) => (i % 3 === 0 ? nan : i % 50)) },
    }
  }
})

describe('the digest of bars', () => {
  test('does not depend on the cuts, on blank columns or on the sign of zero', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 20 }), (a, b) => {
        const bars = Array.from({ length: 20 }, (_, slot) => truth(slot))
        const [from, to] = [Math.min(a, b), Math.max(a, b)]
        const parts = [bars.slice(0, from), bars.slice(from, to), bars.slice(to)].map((part) =>
          batchFromBars(part),
        )
        const blank = batchFromBars(
          bars.map((bar) => ({ ...bar, native: { ...bar.native, closeTimeMs: nan } })),
        )
        const whole = digestOf(batchFromBars(bars))
        expect(digestOf(concatBatches(parts))).toBe(whole)
        expect(digestOf(blank)).toBe(whole)
        expect(
          digestOf(
            batchFromBars(bars.map((bar) => ({ ...bar, volume: bar.volume === 0 ? -0 : bar.volume }))),
          ),
        ).toBe(whole)
      }),
    )
  })

  test('tells every value apart', () => {
    const bars = Array.from({ length: 3 }, (_, slot) => truth(slot + 1))
    const changed = [
      ...(['open', 'high', 'low', 'close', 'volume'] as const).map((field) => ({
        ...bars[1]!,
        [field]: 1e-9,
      })),
      { ...bars[1]!, openTimeMs: bars[1]!.openTimeMs + 1 },
      { ...bars[1]!, native: { ...bars[1]!.native, trades: 99 } },
      { ...bars[1]!, native: { ...bars[1]!.native, closeTimeMs: 1 } },
    ]
    const digests = changed.map((bar) => digestOf(batchFromBars([bars[0]!, bar, bars[2]!])))
    digests.push(
      digestOf(batchFromBars(bars)),
      digestOf(batchFromBars(bars.slice(0, 2))),
      digestOf(emptyBatch),
    )
    expect(new Set(digests).size).toBe(changed.length + 3)
    expect(barsOf(emptyBatch)).toEqual([])
  })
})
