import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type BarBatch, barsOf, batchFromBars } from '../../src/model/bar.ts'
import { parseSeries } from '../../src/model/series.ts'
import type { Lake } from '../../src/store/lake.ts'
import { openMemoryStore } from '../../src/store/memory/open-memory-store.ts'
import { openLake } from '../../src/store/parquet/open-lake.ts'
import { queryLake } from '../../src/store/query.ts'
import { contentOf, everything, minuteBars, minutes, rows } from '../../src/testing/store-samples.ts'
import { lakeHashes } from '../support/root.ts'

const all = ['BTCUSDT', 'btc/usdt', 'ETHUSDT'].map((symbol) => parseSeries(`test:spot:${symbol}:1m`))

let folder: string
let made = 0
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'everybar-deltas-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** Minute 60 is the first of a month. */
const minute = fc.integer({ min: 40, max: 80 })
const bars = fc
  .record({
    at: fc.uniqueArray(minute, { minLength: 1, maxLength: 8 }),
    value: fc.integer({ min: 0, max: 2 }),
  })
  .map(({ at, value }) => pick(at, value))
const pick = (at: readonly number[], value: number): BarBatch =>
  batchFromBars(
    [...at]
      .sort((a, b) => a - b)
      .flatMap((one) =>
        barsOf(minuteBars(one, one + 1, () => ({ close: 100.1 + value / 10, native: { trades: value } }))),
      ),
  )
const series = fc.constantFrom(...all)
const live = fc.record({
  from: minute,
  count: fc.integer({ min: 1, max: 4 }),
  value: fc.integer({ min: 0, max: 1 }),
})

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('append' as const), live, some: fc.subarray(all) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('append-any' as const), series, bars }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('commit' as const), series, bars }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('replace' as const),
      series,
      from: minute,
      count: fc.integer({ min: 1, max: 20 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('compact' as const, 'reopen' as const, 'interrupted' as const),
    }),
  },
)

test('whatever is appended, committed, replaced and folded in between, the lake is what a plain store is', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 14 }), async (steps) => {
      const root = join(folder, String(made++))
      const memory = openMemoryStore()
      let lake = await openLake({ root })
      const reopen = async () => {
        await lake[Symbol.asyncDispose]()
        lake = await openLake({ root })
      }
      for (const one of steps) {
        if (one.do === 'append') {
          const { from, count, value } = one.live
          const batch = pick(
            Array.from({ length: count }, (_, i) => from + i),
            value,
          )
          const entries = one.some.map((of) => ({ series: of, batch }))
          expect(counts(await lake.append(entries))).toEqual(counts(await memory.append(entries)))
        } else if (one.do === 'append-any') {
          const entries = [{ series: one.series, batch: one.bars }]
          expect(counts(await lake.append(entries))).toEqual(counts(await memory.append(entries)))
        } else if (one.do === 'commit') {
          const found = await lake.commit(one.series, one.bars)
          expect(counts([found])).toEqual(counts([await memory.commit(one.series, one.bars)]))
        } else if (one.do === 'replace') {
          const range = minutes(one.from, one.from + one.count)
          const batch = minuteBars(one.from, one.from + Math.floor(one.count / 2))
          await lake.replace(one.series, range, batch)
          await memory.replace(one.series, range, batch)
        } else if (one.do === 'compact') await lake.compact()
        else if (one.do === 'reopen') await reopen()
        else await interrupted(lake, root).then(reopen)
        for (const of of all) {
          const expected = rows(await contentOf(memory, of))
          expect(rows(await contentOf(lake, of))).toEqual(expected)
          expect(await lake.extent(of)).toEqual(await memory.extent(of))
        }
      }
      let queried = 0
      const sql = 'SELECT symbol, open_time, close, trades FROM bars'
      await queryLake({ root, sql, onRows: (some) => void (queried += some.length) })
      const sizes = await Promise.all(all.map(async (of) => (await contentOf(memory, of)).length))
      expect(queried).toBe(sizes.reduce((sum, size) => sum + size, 0))
      await lake.compact()
      const hashes = lakeHashes(root)
      const plain = await openLake({ root: `${root}-plain` })
      for (const of of all) await plain.commit(of, await contentOf(memory, of, everything))
      expect(hashes).toEqual(lakeHashes(`${root}-plain`))
      for (const one of [lake, plain]) await one[Symbol.asyncDispose]()
      await Promise.all([root, `${root}-plain`].map((path) => rm(path, { recursive: true, force: true })))
    }),
    { numRuns: 40 },
  )
}, 300_000)

const counts = (results: Awaited<ReturnType<Lake['append']>>) =>
  results.map(({ inserted, revised, unchanged, revisedAtMs }) => ({
    inserted,
    revised,
    unchanged,
    revisedAtMs,
  }))

/** As a crash leaves it after the months were written, before the delta files went. */
async function interrupted(lake: Lake, root: string): Promise<void> {
  const [from, to] = [join(root, 'lake', '.delta'), `${root}.kept`]
  await cp(from, to, { recursive: true }).catch(() => {})
  await lake.compact()
  await cp(to, from, { recursive: true }).catch(() => {})
  await rm(to, { recursive: true, force: true })
}
