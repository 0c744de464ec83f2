import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  holds,
  hull,
  intersect,
  type RangeSet,
  subtract,
  toRangeSet,
  totalMs,
  union,
} from '../../src/model/range-set.ts'

const SIZE = 64
/** The model: one bit an instant. */
const bitsOf = (set: RangeSet) =>
  Array.from({ length: SIZE }, (_, ms) => set.some((r) => ms >= r.startMs && ms < r.endMs))
const ranges = fc.array(
  fc.tuple(fc.nat(SIZE), fc.nat(SIZE)).map(([a, b]) => ({ startMs: Math.min(a, b), endMs: Math.max(a, b) })),
  { maxLength: 12 },
)
const sets = ranges.map(toRangeSet)

function isNormal(set: RangeSet): boolean {
  return set.every((r, i) => r.startMs < r.endMs && (i === 0 || set[i - 1]!.endMs < r.startMs))
}

function law(
  name: string,
  op: (a: RangeSet, b: RangeSet) => RangeSet,
  bit: (a: boolean, b: boolean) => boolean,
) {
  test(`${name} is what it is on bits, in normal form`, () => {
    fc.assert(
      fc.property(sets, sets, (a, b) => {
        const result = op(a, b)
        const [bitsA, bitsB] = [bitsOf(a), bitsOf(b)]
        expect(bitsOf(result)).toEqual(bitsA.map((x, i) => bit(x, bitsB[i]!)))
        expect(isNormal(result)).toBe(true)
      }),
      { numRuns: 500 },
    )
  })
}

describe('range sets against a bit set', () => {
  law('union', union, (a, b) => a || b)
  law('intersect', intersect, (a, b) => a && b)
  law('subtract', subtract, (a, b) => a && !b)

  test('any ranges become a set in normal form that covers the same instants', () => {
    fc.assert(
      fc.property(ranges, (list) => {
        const set = toRangeSet(list)
        expect(isNormal(set)).toBe(true)
        expect(bitsOf(set)).toEqual(bitsOf(list))
      }),
    )
  })

  test('holds, hull and totalMs agree with the bits', () => {
    fc.assert(
      fc.property(sets, fc.nat(SIZE - 1), (set, ms) => {
        const bits = bitsOf(set)
        expect(holds(set, ms)).toBe(bits[ms])
        expect(totalMs(set)).toBe(bits.filter(Boolean).length)
        expect(hull(set)?.startMs).toBe(bits.includes(true) ? bits.indexOf(true) : undefined)
        expect(hull(set)?.endMs).toBe(bits.includes(true) ? bits.lastIndexOf(true) + 1 : undefined)
      }),
    )
  })
})
