import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cheapestPageSize, type WeightPolicy, weightOf } from '../../src/chunking/index.ts'

const umKlines: WeightPolicy = {
  tiers: [
    { minLimit: 1, maxLimit: 100, weight: 1 },
    { minLimit: 100, maxLimit: 500, weight: 2 },
    { minLimit: 500, maxLimit: 1001, weight: 5 },
    { minLimit: 1001, weight: 10 },
  ],
}

describe('weightOf', () => {
  test.each([
    [1, 1],
    [99, 1],
    [100, 2],
    [499, 2],
    [500, 5],
    [1000, 5],
    [1001, 10],
    [1500, 10],
  ])('limit %i costs %i', (limit, weight) => expect(weightOf(umKlines, limit)).toBe(weight))

  test('static: the same for every limit', () => {
    expect([1, 500, 1000].map((limit) => weightOf({ staticWeight: 2 }, limit))).toEqual([2, 2, 2])
  })

  test('a limit no tier holds costs what the last tier does', () => {
    expect(weightOf({ tiers: [{ minLimit: 1, maxLimit: 100, weight: 3 }] }, 100)).toBe(3)
  })

  test('no tiers is an error', () => {
    expect(() => weightOf({ tiers: [] }, 1)).toThrow(expect.objectContaining({ code: 'chunking.no-tiers' }))
  })
})

describe('cheapestPageSize', () => {
  test.each<[string, number, WeightPolicy | undefined, number]>([
    ['futures tiers', 1500, umKlines, 499],
    ['a maximum below the best tier', 400, umKlines, 400],
    ['a maximum in the first tier', 50, umKlines, 50],
    ['a maximum just into the second tier', 110, umKlines, 99],
    ['one weight for all', 1000, { staticWeight: 2 }, 1000],
    ['no weights', 1000, undefined, 1000],
    ['one tier without an end', 700, { tiers: [{ minLimit: 1, weight: 4 }] }, 700],
    [
      'equal points a weight: the larger page',
      200,
      {
        tiers: [
          { minLimit: 1, maxLimit: 101, weight: 1 },
          { minLimit: 101, weight: 2 },
        ],
      },
      200,
    ],
  ])('%s', (_, maxPoints, weights, expected) => {
    expect(cheapestPageSize({ maxPoints }, weights)).toBe(expected)
  })

  test('no limit brings more points for its weight', () => {
    const tiers = fc
      .array(fc.tuple(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 20 })), { minLength: 1 })
      .map((steps) => {
        let minLimit = 1
        return steps.map(([width, weight]) => {
          const tier = { minLimit, maxLimit: minLimit + width, weight }
          minLimit += width
          return tier
        })
      })
    fc.assert(
      fc.property(tiers, fc.integer({ min: 1, max: 300 }), (list, maxPoints) => {
        const policy = { tiers: list }
        const best = cheapestPageSize({ maxPoints }, policy)
        const gain = best / weightOf(policy, best)
        for (let limit = 1; limit <= maxPoints; limit++) {
          expect(limit / weightOf(policy, limit)).toBeLessThanOrEqual(gain)
        }
      }),
    )
  })
})
