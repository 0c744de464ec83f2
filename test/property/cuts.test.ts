import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type RangeSet, subtract, toRangeSet, union } from '../../src/model/range-set.ts'
import { sliceRanges } from '../../src/model/slice.ts'
import { overlap } from '../../src/model/time.ts'
import { parseTimeframe } from '../../src/model/timeframe.ts'
import { type Cut, cutsOf } from '../../src/pipeline/cuts.ts'

const MINUTE = 60_000
const at = (minute: number) => minute * MINUTE
const bars = (start: number, length: number) => ({ startMs: at(start), endMs: at(start + length) })
const grid = (limit: number) => ({ timeframe: parseTimeframe('1m'), limit })

const ranges = fc
  .array(fc.tuple(fc.nat(300), fc.integer({ min: 1, max: 60 })), { maxLength: 5 })
  .map((all) => toRangeSet(all.map(([start, length]) => bars(start, length))))
const limits = fc.integer({ min: 1, max: 50 })
const total = (set: RangeSet) => set.reduce((sum, { startMs, endMs }) => sum + endMs - startMs, 0)

test('without answers of another cut, slices are those of the grid, whole', () => {
  fc.assert(
    fc.property(ranges, limits, (asked, limit) => {
      const expected = new Map(
        asked
          .flatMap((part) => [...sliceRanges(grid(limit), part)])
          .map((range) => [range.startMs, { range, limit }]),
      )
      expect([...cutsOf(grid(limit), asked)]).toEqual([...expected.values()])
    }),
  )
})

test('whatever sizes came before: asked for all of it, nothing twice, and the same whatever the order of wishes', () => {
  const wishes = fc.array(fc.tuple(ranges, limits), { minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(wishes, (all) => {
      const known: Cut[] = []
      for (const [asked, limit] of all) {
        const covered = toRangeSet(known.map(({ range }) => range))
        const missing = subtract(asked, covered)
        const own = new Set(
          [...sliceRanges(grid(limit), bars(0, 500))].map((range) => JSON.stringify({ range, limit })),
        )
        const kept = known.filter((cut) => !own.has(JSON.stringify(cut)))
        const cuts = [...cutsOf(grid(limit), missing, kept)]
        const asking = toRangeSet(cuts.map(({ range }) => range))
        // Each bar once: no slice lies over another one or over what is known.
        expect(total(asking)).toBe(cuts.reduce((sum, { range }) => sum + range.endMs - range.startMs, 0))
        expect(total(union(asking, covered))).toBe(total(asking) + total(covered))
        expect(subtract(missing, asking)).toEqual([])
        expect(cuts.every(({ range }) => missing.some((part) => overlap(part, range)))).toBe(true)
        expect(cuts.map(({ range }) => range.startMs)).toEqual(
          cuts.map(({ range }) => range.startMs).sort((a, b) => a - b),
        )
        for (const { range } of cuts) expect(range.endMs - range.startMs).toBeLessThanOrEqual(at(limit))
        known.push(...cuts)
      }
      // Asked for again, what is known keeps its cut: each slice once, ascending.
      const whole = toRangeSet(known.map(({ range }) => range))
      const again = [...cutsOf(grid(7), whole, known)]
      expect(again).toEqual(known.toSorted((a, b) => a.range.startMs - b.range.startMs))
    }),
  )
})
