import { EverybarError } from '../model/errors.ts'

/** What one request of an endpoint may hold, and how a range has to be asked. */
export interface ChunkPolicy {
  /** Data points a request can give at most. */
  readonly maxPoints: number
  /** Chunks a plan may have; no bound when absent. */
  readonly maxChunks?: number
  /** The endpoint refuses a request without a start. */
  readonly requiresStartTime?: boolean
  /** Whether a request for more than `maxPoints` may be cut into chunks at all; true unless said. */
  readonly supportsAutoChunking?: boolean
  /**
   * What to do with a request outside what the endpoint serves: `strict` refuses it with an error that names what
   * is allowed, `clamp` trims it and says in the result what was cut. `strict` unless said.
   */
  readonly outOfRange?: 'strict' | 'clamp'
}

/** The names an endpoint's request and data points use. */
export interface ChunkHint {
  /** Request parameter that carries a cursor; absent for endpoints that page by time. */
  readonly cursorField?: string
  /** Field of a data point that dates it and dedupes it; `timestamp` unless said. */
  readonly timestampKey?: string
  readonly limitField?: string
  readonly startTimeField?: string
  readonly endTimeField?: string
  readonly timeframeField?: string
}

/** Requests whose limit is at least `minLimit` and below `maxLimit` cost `weight`. */
export interface WeightTier {
  /** Inclusive. */
  readonly minLimit: number
  /** Exclusive; no upper bound when absent. */
  readonly maxLimit?: number
  readonly weight: number
}

/** What a request costs: always the same, or by its limit. */
export type WeightPolicy = { readonly staticWeight: number } | { readonly tiers: readonly WeightTier[] }

/**
 * Weight of a request for `limit` points. A limit no tier holds costs what the last tier does.
 *
 * @throws EverybarError `chunking.no-tiers` (abort) for an empty list of tiers.
 */
export function weightOf(policy: WeightPolicy, limit: number): number {
  if ('staticWeight' in policy) return policy.staticWeight
  const last = policy.tiers.at(-1)
  if (!last) {
    throw new EverybarError('chunking.no-tiers', 'a weight policy has no tiers', {
      recovery: 'abort',
      hint: 'Give at least one tier, or a static weight.',
    })
  }
  const tier = policy.tiers.find(
    (t) => limit >= t.minLimit && (t.maxLimit === undefined || limit < t.maxLimit),
  )
  return (tier ?? last).weight
}
