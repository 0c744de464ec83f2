import { describe, expect, test } from 'vitest'
import { batchFromBars, concatBatches, emptyBatch } from '../model/bar.ts'
import { parseSeries, type Series } from '../model/series.ts'
import type { AppendEntry, CommitResult, Store } from '../store/store.ts'
import type { StorePlace } from './store-contract.ts'
import { contentOf, everything, minuteBars, minutes, oddSeries, rows } from './store-samples.ts'

const none = { inserted: 0, revised: 0, unchanged: 0, revisedAtMs: [] }

/** The counts of results, without the files a store may tell. */
const counts = (results: readonly CommitResult[]) => results.map(({ files: _, ...rest }) => rest)

/** Cases of `Store.append`, for the group of `storeContract`. */
export function appendCases(subject: {
  readonly store: () => Store
  readonly place: () => StorePlace
  readonly fresh: () => Series
}): void {
  const { fresh } = subject
  const append = (...entries: AppendEntry[]) => subject.store().append(entries)
  const content = async (series: Series) => rows(await contentOf(subject.store(), series))
  const many = (count: number): Series[] => Array.from({ length: count }, fresh)

  describe('append', () => {
    test('one bar each of many series, minute after minute, with a result for each in their order', async () => {
      const all = many(60)
      for (let minute = 57; minute < 63; minute++) {
        // Not the same order each time, and every third series without a bar at some minutes.
        const turn = minute % 2 === 0 ? all : [...all].reverse()
        const results = await append(
          ...turn.map((series, i) => ({
            series,
            batch: (i + minute) % 3 === 0 ? emptyBatch : minuteBars(minute, minute + 1),
          })),
        )
        expect(counts(results)).toEqual(
          turn.map((_, i) => ({ ...none, inserted: (i + minute) % 3 === 0 ? 0 : 1 })),
        )
      }
      for (const [i, series] of all.entries()) {
        const kept = [57, 58, 59, 60, 61, 62].filter(
          (minute) => ((minute % 2 === 0 ? i : all.length - 1 - i) + minute) % 3 !== 0,
        )
        expect(await content(series)).toEqual(kept.flatMap((minute) => rows(minuteBars(minute, minute + 1))))
        const [first, last] = [kept[0]!, kept.at(-1)!].map((minute) => minutes(minute, minute + 1).startMs)
        expect(await subject.store().extent(series)).toEqual({
          rows: kept.length,
          firstMs: first,
          lastMs: last,
        })
      }
    })

    test('a repeat changes nothing, at once and after more bars', async () => {
      const [a, b] = [fresh(), fresh()]
      const entries = [
        { series: a, batch: minuteBars(0, 2) },
        { series: b, batch: minuteBars(5, 6) },
      ]
      expect(counts(await append(...entries))).toEqual([
        { ...none, inserted: 2 },
        { ...none, inserted: 1 },
      ])
      const same = [
        { ...none, unchanged: 2 },
        { ...none, unchanged: 1 },
      ]
      expect(counts(await append(...entries))).toEqual(same)
      await append({ series: a, batch: minuteBars(2, 3) }, { series: b, batch: minuteBars(6, 7) })
      expect(counts(await append(...entries))).toEqual(same)
      expect(await content(a)).toEqual(rows(minuteBars(0, 3)))
      expect(await content(b)).toEqual(rows(minuteBars(5, 7)))
    })

    test('nothing to append is nothing done', async () => {
      const series = fresh()
      expect(await append()).toEqual([])
      expect(counts(await append({ series, batch: emptyBatch }))).toEqual([none])
      expect(await subject.store().extent(series)).toBeUndefined()
    })

    test('the last observation wins, whether the bar was committed or appended', async () => {
      const [series, other] = [fresh(), fresh()]
      await subject.store().commit(series, minuteBars(0, 3))
      await append({ series, batch: minuteBars(3, 5) })
      const at = (minute: number) => minutes(minute, minute + 1).startMs
      for (const [i, minute] of [2, 3, 4].entries()) {
        const changed = minuteBars(minute, minute + 1, () => ({ volume: 1000 + i }))
        const [first, second] = counts(
          await append({ series, batch: changed }, { series: other, batch: minuteBars(i, i + 1) }),
        )
        expect(first).toEqual({ ...none, revised: 1, revisedAtMs: [at(minute)] })
        expect(second).toEqual({ ...none, inserted: 1 })
      }
      const expected = minuteBars(0, 5, (minute) => (minute < 2 ? {} : { volume: 998 + minute }))
      expect(await content(series)).toEqual(rows(expected))
      expect(await content(other)).toEqual(rows(minuteBars(0, 3)))
    })

    test('bars that are old, missing in between, revised, known and new, in one entry', async () => {
      const series = fresh()
      await subject.store().commit(series, minuteBars(10, 20))
      await append({ series, batch: minuteBars(25, 26) })
      const next = minuteBars(5, 30, (minute) => (minute === 15 || minute === 25 ? { close: 100.2 } : {}))
      const [result] = counts(await append({ series, batch: next }))
      expect(result).toEqual({
        inserted: 14,
        revised: 2,
        unchanged: 9,
        revisedAtMs: [15, 25].map((minute) => minutes(minute, minute + 1).startMs),
      })
      expect(await content(series)).toEqual(rows(next))
    })

    test('over a month edge', async () => {
      const [series, other] = [fresh(), fresh()]
      await subject.store().commit(series, minuteBars(50, 55))
      const results = await append(
        { series, batch: minuteBars(55, 65) },
        { series: other, batch: minuteBars(59, 61) },
      )
      expect(results.map(({ inserted }) => inserted)).toEqual([10, 2])
      expect(await content(series)).toEqual(rows(minuteBars(50, 65)))
      expect(await content(other)).toEqual(rows(minuteBars(59, 61)))
      expect(rows(await contentOf(subject.store(), series, minutes(58, 62)))).toEqual(
        rows(minuteBars(58, 62)),
      )
    })

    test('commit and replace see what was appended', async () => {
      const series = fresh()
      await append({ series, batch: minuteBars(0, 10) })
      const next = minuteBars(5, 12, (minute) => (minute === 7 ? { close: 100.3 } : {}))
      expect(await subject.store().commit(series, next)).toMatchObject({
        inserted: 2,
        revised: 1,
        unchanged: 4,
      })
      await append({ series, batch: minuteBars(12, 15) })
      expect(await subject.store().replace(series, minutes(3, 14), minuteBars(4, 6))).toMatchObject({
        inserted: 0,
        revised: 0,
        unchanged: 2,
      })
      const left = [minuteBars(0, 3), minuteBars(4, 6), minuteBars(14, 15)]
      expect(await content(series)).toEqual(left.flatMap(rows))
      await subject.store().replace(series, everything, emptyBatch)
      expect(await content(series)).toEqual([])
      expect(await subject.store().extent(series)).toBeUndefined()
      expect(counts(await append({ series, batch: minuteBars(0, 2) }))).toEqual([{ ...none, inserted: 2 }])
      expect(await content(series)).toEqual(rows(minuteBars(0, 2)))
    })

    test('series never share a bar: case, market, price kind, odd characters', async () => {
      const all = oddSeries('odd').map(parseSeries)
      const entries = all.map((series, i) => ({ series, batch: minuteBars(i, i + 2) }))
      expect(counts(await append(...entries))).toEqual(all.map(() => ({ ...none, inserted: 2 })))
      for (const [i, series] of all.entries()) {
        expect(await content(series)).toEqual(rows(minuteBars(i, i + 2)))
      }
    })

    test('native fields, of some entries only, come back; later bars may have others', async () => {
      const [a, b] = [fresh(), fresh()]
      const native = minuteBars(0, 2, (minute) => ({ native: { trades: minute, quoteVolume: Number.NaN } }))
      await append({ series: a, batch: native }, { series: b, batch: minuteBars(0, 2) })
      const later = minuteBars(2, 3, () => ({ native: { openInterest: 7 } }))
      await append({ series: a, batch: minuteBars(2, 3) }, { series: b, batch: later })
      expect(await content(a)).toEqual([...rows(native), ...rows(minuteBars(2, 3))])
      expect(await content(b)).toEqual([...rows(minuteBars(0, 2)), ...rows(later)])
    })

    test('appends and commits that overlap in time are all kept', async () => {
      const all = many(5)
      const store = subject.store()
      await Promise.all([
        ...[0, 1, 2, 3].map((minute) =>
          store.append(all.map((series) => ({ series, batch: minuteBars(minute, minute + 2) }))),
        ),
        ...all.map((series) => store.commit(series, minuteBars(3, 8))),
      ])
      for (const series of all) expect(await content(series)).toEqual(rows(minuteBars(0, 8)))
    })

    test('what cannot be stored is refused before anything is', async () => {
      const [a, b] = [fresh(), fresh()]
      const bad = batchFromBars([...minuteRows(0, 1), ...minuteRows(0, 1)])
      const refused: AppendEntry[][] = [
        [
          { series: a, batch: minuteBars(0, 1) },
          { series: b, batch: bad },
        ],
        [
          { series: a, batch: minuteBars(0, 1) },
          { series: b, batch: minuteBars(0, 1) },
          { series: { ...a }, batch: minuteBars(1, 2) },
        ],
      ]
      for (const entries of refused) {
        await expect(append(...entries)).rejects.toMatchObject({ code: 'store.bad-batch' })
        expect(await subject.store().extent(a)).toBeUndefined()
      }
    })

    test('aborted before it began, it stores nothing', async () => {
      const series = fresh()
      const signal = AbortSignal.abort(new Error('stop'))
      const entries = [{ series, batch: minuteBars(0, 1) }]
      await expect(subject.store().append(entries, signal)).rejects.toThrow('stop')
      expect(await content(series)).toEqual([])
    })

    test('the caller may use its arrays again', async () => {
      const series = fresh()
      const batch = minuteBars(0, 2)
      await append({ series, batch })
      batch.close.fill(-1)
      expect(await content(series)).toEqual(rows(minuteBars(0, 2)))
    })

    test('the next process sees it, also when this one never closes', async () => {
      const [a, b] = [fresh(), fresh()]
      await subject.store().commit(a, minuteBars(0, 5))
      await append({ series: a, batch: minuteBars(5, 6) }, { series: b, batch: minuteBars(5, 6) })
      const next = await subject.place().open()
      try {
        for (const [series, from] of [
          [a, 0],
          [b, 5],
        ] as const) {
          expect(rows(await contentOf(next, series))).toEqual(rows(minuteBars(from, 6)))
          const [known] = await next.append([{ series, batch: minuteBars(5, 6) }])
          expect(known).toMatchObject({ inserted: 0, revised: 0, unchanged: 1 })
          const changed = minuteBars(5, 7, () => ({ volume: 7 }))
          const [result] = await next.append([{ series, batch: changed }])
          expect(result).toMatchObject({ inserted: 1, revised: 1, unchanged: 0 })
          const expected = [minuteBars(from, 5), changed].filter(({ length }) => length > 0)
          expect(rows(await contentOf(next, series))).toEqual(rows(concatBatches(expected)))
        }
      } finally {
        await next[Symbol.asyncDispose]()
      }
    })
  })
}

const minuteRows = (from: number, to: number) => rows(minuteBars(from, to))
