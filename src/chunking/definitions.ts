import { EverybarError } from '../model/errors.ts'
import type { EpochMs } from '../model/time.ts'

/** What one request of an endpoint may hold, and how a range has to be asked. */
export interface ChunkPolicy {
  /** Data points a request can give at most. */
  readonly maxPoints: number
  /** Longest time one request may span, for endpoints that cap it by days or hours; no bound when absent. */
  readonly maxSpanMs?: number
  /** Chunks a plan may have; no bound when absent. */
  readonly maxChunks?: number
  /** The endpoint refuses a request without a start. */
  readonly requiresStartTime?: boolean
  /** What the endpoint serves: from `earliestMs` up to, not including, `latestMs`. An end left out has no bound. */
  readonly serves?: { readonly earliestMs?: EpochMs; readonly latestMs?: EpochMs }
  /** Where a request with nothing but a limit begins: `backwards` from now, unless said, or at the earliest served. */
  readonly limitOnly?: 'backwards' | 'forwards'
  /** Whether a request for more than `maxPoints` may be cut into chunks at all; true unless said. */
  readonly supportsAutoChunking?: boolean
  /**
   * What to do with a request outside what the endpoint serves: `strict` refuses it with an error that names what
   * is allowed, `clamp` trims it and says in the result what was cut. `strict` unless said.
   */
  readonly outOfRange?: 'strict' | 'clamp'
}

/** Chunks a run may have at most. */
export const chunksMax = ({
  supportsAutoChunking = true,
  maxChunks = Number.POSITIVE_INFINITY,
}: ChunkPolicy): number => (supportsAutoChunking ? maxChunks : 1)

/** The names an endpoint's request and data points use. */
export interface ChunkHint {
  /** Request parameter that carries a cursor; absent for endpoints that page by time. */
  readonly cursorField?: string
  /** Field of a data point that dates it (epoch ms) and dedupes it; `timestamp` unless said. */
  readonly timestampKey?: string
  /** Field of a data point that names its symbol, for endpoints that answer for several at once. */
  readonly symbolKey?: string
  /** Request parameters; `limit`, `start_time` and `end_time` unless said. */
  readonly limitField?: string
  readonly startTimeField?: string
  readonly endTimeField?: string
  /** Request parameter that carries the timeframe; not sent when absent. */
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

/** Whether a point exactly at the start or end parameter of a request is in its answer. */
export interface Bounds {
  readonly start: 'inclusive' | 'exclusive'
  readonly end: 'inclusive' | 'exclusive'
}

/** What a policy may depend on. */
export interface PolicyRequest {
  /** Empty for endpoints without timeframes. */
  readonly timeframe: string
  readonly symbol?: string
  readonly startMs?: EpochMs
  readonly endMs?: EpochMs
  readonly limit?: number
}

/** All that chunking has to know of an endpoint. Every `EndpointSpec` is one. */
export interface ChunkEndpoint {
  readonly id: string
  readonly chunkPolicy: ChunkPolicy | ((request: PolicyRequest) => ChunkPolicy)
  readonly chunkHint: ChunkHint
  readonly weightPolicy?: WeightPolicy
  readonly bounds: Bounds
  /** How the points of one answer are ordered. */
  readonly order: 'ascending' | 'descending'
  /**
   * Which points an answer keeps when more lie between start and end than fit. `oldest` for ascending endpoints and
   * `newest` for descending ones unless said: some answer ascending, with the newest. Without a start, every
   * endpoint is taken to keep the newest.
   */
  readonly keeps?: 'oldest' | 'newest'
}

/** An endpoint's metadata for one request: the policy settled, defaults filled in. */
export interface ChunkMetadata {
  readonly endpointId: string
  readonly policy: ChunkPolicy
  readonly hint: ChunkHint
  readonly weightPolicy: WeightPolicy
  readonly bounds: Bounds
  readonly order: 'ascending' | 'descending'
  readonly keeps: 'oldest' | 'newest'
}

/**
 * What an endpoint says of itself for this request. A policy that is a function is asked once, here.
 *
 * @throws EverybarError `chunking.bad-policy` (abort) for `maxPoints`, `maxChunks` or `maxSpanMs` below 1.
 */
export function chunkMetadataOf(endpoint: ChunkEndpoint, request: PolicyRequest): ChunkMetadata {
  const { chunkPolicy, order } = endpoint
  const policy = typeof chunkPolicy === 'function' ? chunkPolicy(request) : chunkPolicy
  for (const field of ['maxPoints', 'maxChunks', 'maxSpanMs'] as const) {
    const value = policy[field]
    if (value === undefined || (Number.isInteger(value) && value >= 1)) continue
    throw new EverybarError('chunking.bad-policy', `${endpoint.id}: ${field} is ${value}`, {
      recovery: 'abort',
      hint: `The endpoint's chunk policy has to give ${field} as a whole number of 1 or more.`,
    })
  }
  return {
    endpointId: endpoint.id,
    policy,
    hint: endpoint.chunkHint,
    weightPolicy: endpoint.weightPolicy ?? { staticWeight: 1 },
    bounds: endpoint.bounds,
    order,
    keeps: endpoint.keeps ?? (order === 'ascending' ? 'oldest' : 'newest'),
  }
}
