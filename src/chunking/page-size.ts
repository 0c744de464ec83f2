import { type ChunkPolicy, type WeightPolicy, weightOf } from './definitions.ts'

/**
 * The limit that brings the most points for its weight, `maxPoints` at most; of equals the largest, because it takes
 * fewer requests. With tiers up to 100, 500 and 1,001 at weights 1, 2 and 5 that is 499: 249 points a weight, where
 * 1,500 at weight 10 would bring 150.
 *
 * @param atLeast points a page has to hold, as far as `maxPoints` allows: where few requests are allowed, a cheap page
 *   is of no use that is too small for what is wanted.
 */
export function cheapestPageSize(
  policy: Pick<ChunkPolicy, 'maxPoints'>,
  weightPolicy?: WeightPolicy,
  atLeast = 1,
): number {
  const { maxPoints } = policy
  if (!weightPolicy || 'staticWeight' in weightPolicy) return maxPoints
  let best = maxPoints
  for (const { maxLimit } of weightPolicy.tiers) {
    // Within a tier the weight is the same, so only its largest limit can be the best one.
    const limit = Math.min(maxPoints, (maxLimit ?? Number.POSITIVE_INFINITY) - 1)
    if (limit < Math.max(1, atLeast)) continue
    const gain = limit / weightOf(weightPolicy, limit) - best / weightOf(weightPolicy, best)
    if (gain > 0 || (gain === 0 && limit > best)) best = limit
  }
  return best
}
