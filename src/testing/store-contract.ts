import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type BarBatch, barsOf, batchFromBars, concatBatches, emptyBatch } from '../model/bar.ts'
import { parseSeries, type Series } from '../model/series.ts'
import { monthOf, type TimeRange } from '../model/time.ts'
import type { CommitResult, Store } from '../store/store.ts'
import { appendCases } from './store-append-contract.ts'
import {
  contentOf,
  everything,
  MINUTE,
  minuteBars,
  minutes,
  oddSeries,
  rows,
  start,
} from './store-samples.ts'

/** A place where a store keeps bars, empty at first. */
export interface StorePlace {
  /** Opens the store there; called again after the last one is closed. */
  readonly open: () => Promise<Store>
  /** Removes the place. */
  readonly remove?: () => Promise<void>
}

/** What a store says of its files, if it says anything. */
const filesIn = ({ files }: CommitResult) => (files ? { files } : {})

/** What every store promises. `place` makes a new empty place for each group of cases. */
export function storeContract(name: string, makePlace: () => Promise<StorePlace>): void {
  describe(`store contract: ${name}`, () => {
    let place: StorePlace
    let store: Store
    let used = 0
    /** A series of its own for each case. */
    const fresh = (): Series => parseSeries(`test:spot:CASE${used++}:1m`)

    beforeAll(async () => {
      place = await makePlace()
      store = await place.open()
    })
    afterAll(async () => {
      await store[Symbol.asyncDispose]()
      await place.remove?.()
    })

    test('a series never written reads as nothing', async () => {
      const series = fresh()
      expect(await store.extent(series)).toBeUndefined()
      expect(await contentOf(store, series)).toHaveLength(0)
    })

    test('what was committed reads back, ascending, across a month edge', async () => {
      const series = fresh()
      const bars = minuteBars(50, 70)
      const { files, ...counts } = await store.commit(series, bars)
      expect(counts).toEqual({ inserted: 20, revised: 0, unchanged: 0, revisedAtMs: [] })
      if (files)
        expect(files.map(({ range }) => range)).toEqual([
          monthOf(minutes(50, 51).startMs),
          monthOf(minutes(69, 70).startMs),
        ])
      expect(rows(await contentOf(store, series))).toEqual(rows(bars))
      const extent = { rows: 20, firstMs: minutes(50, 70).startMs, lastMs: minutes(69, 70).startMs }
      expect(await store.extent(series)).toEqual(extent)
    })

    test('an empty batch does nothing', async () => {
      const series = fresh()
      expect(await store.commit(series, emptyBatch)).toEqual({
        inserted: 0,
        revised: 0,
        unchanged: 0,
        revisedAtMs: [],
      })
      expect(await store.extent(series)).toBeUndefined()
    })

    test('a repeat changes nothing', async () => {
      const series = fresh()
      await store.commit(series, minuteBars(0, 90))
      const before = await store.commit(series, minuteBars(0, 90))
      const again = await store.commit(series, minuteBars(0, 90))
      expect(again).toEqual({
        inserted: 0,
        revised: 0,
        unchanged: 90,
        revisedAtMs: [],
        ...filesIn(before),
      })
      expect(rows(await contentOf(store, series))).toEqual(rows(minuteBars(0, 90)))
    })

    test('the last observation wins, and what it changed is told', async () => {
      const series = fresh()
      await store.commit(series, minuteBars(0, 10))
      const next = minuteBars(5, 15, (minute) => (minute === 7 ? { close: 99.5 } : {}))
      const at = minutes(7, 8).startMs
      const changed = await store.commit(series, next)
      expect(changed).toEqual({
        inserted: 5,
        revised: 1,
        unchanged: 4,
        revisedAtMs: [at],
        ...filesIn(changed),
      })
      const expected = rows(minuteBars(0, 15, (minute) => (minute === 7 ? { close: 99.5 } : {})))
      expect(rows(await contentOf(store, series))).toEqual(expected)
    })

    test('revised bars are counted in full and the first hundred named', async () => {
      const series = fresh()
      await store.commit(series, minuteBars(0, 150))
      const result = await store.commit(
        series,
        minuteBars(0, 150, () => ({ volume: 0.5 })),
      )
      expect(result).toMatchObject({ inserted: 0, revised: 150, unchanged: 0 })
      expect(result.revisedAtMs).toEqual(Array.from({ length: 100 }, (_, i) => minutes(i, i + 1).startMs))
    })

    test('the order and size of commits do not matter; gaps stay gaps', async () => {
      const series = fresh()
      for (const [from, to] of [
        [40, 80],
        [0, 10],
        [120, 121],
        [5, 20],
        [70, 90],
      ] as const) {
        await store.commit(series, minuteBars(from, to))
      }
      const expected = [minuteBars(0, 20), minuteBars(40, 90), minuteBars(120, 121)].flatMap(rows)
      expect(rows(await contentOf(store, series))).toEqual(expected)
    })

    const ranges: readonly (readonly [string, TimeRange, BarBatch])[] = [
      ['inside', minutes(10, 20), minuteBars(10, 20)],
      ['the end is not in it', minutes(0, 1), minuteBars(0, 1)],
      ['between two bars', { startMs: start + 1, endMs: start + MINUTE }, emptyBatch],
      ['up to the month edge', minutes(55, 60), minuteBars(55, 60)],
      ['from the month edge', minutes(60, 65), minuteBars(60, 65)],
      ['over the month edge', minutes(55, 65), minuteBars(55, 65)],
      ['before the first bar', minutes(-50, 0), emptyBatch],
      ['after the last bar', minutes(100, 200), emptyBatch],
    ]
    describe('scan', () => {
      const series = fresh()
      beforeAll(() => store.commit(series, minuteBars(0, 100)))
      for (const [what, range, expected] of ranges) {
        test(what, async () => expect(rows(await contentOf(store, series, range))).toEqual(rows(expected)))
      }
    })

    describe('replace', () => {
      const cases: readonly (readonly [string, TimeRange, BarBatch, BarBatch[]])[] = [
        [
          'removes what is not in the batch',
          minutes(10, 20),
          minuteBars(12, 14),
          [minuteBars(0, 10), minuteBars(12, 14), minuteBars(20, 100)],
        ],
        ['adds what was not there', minutes(90, 120), minuteBars(90, 110), [minuteBars(0, 110)]],
        [
          'an empty batch clears the range',
          minutes(50, 70),
          emptyBatch,
          [minuteBars(0, 50), minuteBars(70, 100)],
        ],
        ['everything by something else', everything, minuteBars(3, 4), [minuteBars(3, 4)]],
        ['everything by nothing', everything, emptyBatch, []],
        ['the same again', everything, minuteBars(0, 100), [minuteBars(0, 100)]],
      ]
      for (const [what, range, batch, expected] of cases) {
        test(what, async () => {
          const series = fresh()
          await store.commit(series, minuteBars(0, 100))
          const result = await store.replace(series, range, batch)
          expect(result.inserted + result.revised + result.unchanged).toBe(batch.length)
          expect(rows(await contentOf(store, series))).toEqual(expected.flatMap(rows))
          expect((await store.extent(series))?.rows ?? 0).toBe(expected.reduce((sum, b) => sum + b.length, 0))
        })
      }
    })

    test('native fields come back; unknown values stay unknown', async () => {
      const series = fresh()
      const bars = minuteBars(0, 4, (minute) => ({
        native: {
          closeTimeMs: start + (minute + 1) * MINUTE - 1,
          quoteVolume: minute === 1 ? Number.NaN : 1234.5678,
          trades: 10 + minute,
          takerBuyBaseVolume: 0.1,
          takerBuyQuoteVolume: 0.2,
          openInterest: minute === 2 ? 7 : Number.NaN,
        },
      }))
      await store.commit(series, bars)
      expect(rows(await contentOf(store, series))).toEqual(rows(bars))
      expect(await store.commit(series, bars)).toMatchObject({ inserted: 0, revised: 0, unchanged: 4 })
    })

    test('a native field may appear later; earlier bars do not know it', async () => {
      const series = fresh()
      const later = minuteBars(3, 6, () => ({ native: { trades: 5 } }))
      await store.commit(series, minuteBars(0, 3))
      expect(await store.commit(series, later)).toMatchObject({ inserted: 3, revised: 0 })
      expect(rows(await contentOf(store, series))).toEqual([...rows(minuteBars(0, 3)), ...rows(later)])
    })

    test('numbers come back exactly', async () => {
      const series = fresh()
      const values = [0.1 + 0.2, 1e-8, 123456789.12345678, Number.MAX_SAFE_INTEGER, 5e-324, 0]
      const bars = minuteBars(0, values.length, (minute) => ({ volume: values[minute]! }))
      await store.commit(series, bars)
      expect(barsOf(await contentOf(store, series)).map((bar) => bar.volume)).toEqual(values)
    })

    test('negative zero is zero', async () => {
      const series = fresh()
      await store.commit(
        series,
        minuteBars(0, 1, () => ({ volume: -0 })),
      )
      expect(
        await store.commit(
          series,
          minuteBars(0, 1, () => ({ volume: 0 })),
        ),
      ).toMatchObject({ unchanged: 1 })
    })

    test('open times off the grid, to the millisecond', async () => {
      const series = fresh()
      const bars = minuteBars(0, 3, (minute) => ({ openTimeMs: start + minute * MINUTE + 14_789 }))
      await store.commit(series, bars)
      expect(rows(await contentOf(store, series))).toEqual(rows(bars))
    })

    test('series never share a bar: case, market, price kind, odd characters', async () => {
      const ids = oddSeries('same')
      const all = ids.map(parseSeries)
      for (const [i, series] of all.entries()) await store.commit(series, minuteBars(i, i + 2))
      for (const [i, series] of all.entries()) {
        expect({ id: ids[i], rows: rows(await contentOf(store, series)) }).toEqual({
          id: ids[i],
          rows: rows(minuteBars(i, i + 2)),
        })
      }
    })

    test('commits that overlap in time are all kept', async () => {
      const series = fresh()
      const parts = [0, 30, 10, 60, 45, 90, 75].map((from) => minuteBars(from, from + 20))
      const other = fresh()
      await Promise.all([
        ...parts.map((part) => store.commit(series, part)),
        store.commit(other, minuteBars(0, 5)),
      ])
      expect(rows(await contentOf(store, series))).toEqual(rows(concatBatches(parts)))
      expect(await contentOf(store, other)).toHaveLength(5)
    })

    const refused: readonly (readonly [string, BarBatch])[] = [
      ['descending', batchFromBars(barsOf(minuteBars(0, 3)).reverse())],
      ['the same time twice', batchFromBars([...barsOf(minuteBars(0, 1)), ...barsOf(minuteBars(0, 1))])],
      ['a price that is NaN', minuteBars(0, 2, () => ({ close: Number.NaN }))],
      ['an infinite volume', minuteBars(0, 2, () => ({ volume: Number.POSITIVE_INFINITY }))],
      ['a time between milliseconds', minuteBars(0, 1, () => ({ openTimeMs: start + 0.5 }))],
    ]
    for (const [what, batch] of refused) {
      test(`what is no batch of bars is refused: ${what}`, async () => {
        const series = fresh()
        await expect(store.commit(series, batch)).rejects.toMatchObject({ code: 'store.bad-batch' })
        expect(await store.extent(series)).toBeUndefined()
      })
    }

    test('a batch outside the range it is to replace is refused', async () => {
      const result = store.replace(fresh(), minutes(0, 10), minuteBars(5, 11))
      await expect(result).rejects.toMatchObject({ code: 'store.bad-batch' })
    })

    test('an aborted commit leaves whole months or nothing', async () => {
      const series = fresh()
      const signal = AbortSignal.abort(new Error('stop'))
      await expect(store.commit(series, minuteBars(0, 100), signal)).rejects.toThrow('stop')
      expect([0, 60]).toContain((await contentOf(store, series)).length)
    })

    test('the caller may use its arrays again', async () => {
      const series = fresh()
      const bars = minuteBars(0, 5)
      await store.commit(series, bars)
      bars.close.fill(-1)
      expect(rows(await contentOf(store, series))).toEqual(rows(minuteBars(0, 5)))
    })

    appendCases({ store: () => store, place: () => place, fresh })

    test('everything is there after closing and opening again', async () => {
      const series = fresh()
      await store.commit(series, minuteBars(0, 100))
      await store[Symbol.asyncDispose]()
      store = await place.open()
      expect(rows(await contentOf(store, series))).toEqual(rows(minuteBars(0, 100)))
      expect(await store.commit(series, minuteBars(0, 100))).toMatchObject({ unchanged: 100 })
    })
  })
}
