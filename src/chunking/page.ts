import type { EpochMs } from '../model/time.ts'
import type { ChunkMetadata } from './definitions.ts'
import type { ChunkPlan, ChunkRequest, Cursor } from './plan.ts'

/** What one request asks, in chunking's words and in the endpoint's. */
export interface ChunkCall {
  readonly endpointId: string
  readonly symbol?: string
  readonly timeframe?: string
  readonly chunkIndex: number
  /** 0 for a chunk's first request; more where its window was not covered by one answer. */
  readonly page: number
  /** Inclusive; absent where the endpoint is asked for the newest points before `endMs`. */
  readonly startMs?: EpochMs
  /** Exclusive. */
  readonly endMs?: EpochMs
  readonly limit: number
  readonly cursor?: Cursor
  /**
   * Request parameters by the names of the endpoint's hint, times in epoch ms moved to the endpoint's own bounds: an
   * inclusive end is the last millisecond of the window. With a cursor they hold no times, since the cursor says
   * where to go on. The symbol is not in them.
   */
  readonly params: Readonly<Record<string, string | number>>
}

/** One answer, as the fetch function hands it over: points in any order, not deduped, not checked. */
export interface ChunkPage<T> {
  readonly points: readonly T[]
  /** Rows of the answer, where not all of them gave a point: what tells a page that is full from a short one. */
  readonly rows?: number
  /** What the request cost; the weight policy's word for its limit unless given. */
  readonly weight?: number
  /** How long the request waited for a rate limit. */
  readonly throttledMs?: number
  /** Where to go on; absent at the end. Only read where the endpoint pages by cursor. */
  readonly nextCursor?: Cursor
}

/**
 * Sends one request. Retrying is its own business: what it throws ends the chunk. It should give up when `signal`
 * aborts.
 */
export type FetchPage<T> = (
  call: ChunkCall,
  context: { readonly signal: AbortSignal },
) => Promise<ChunkPage<T>>

/** A part of time that is still to be asked for; without a start, all before `endMs`. */
export interface OpenWindow {
  readonly startMs?: EpochMs
  readonly endMs?: EpochMs
}

export function callOf(
  request: ChunkRequest,
  metadata: ChunkMetadata,
  plan: Pick<ChunkPlan, 'index' | 'limit' | 'cursor'>,
  { startMs, endMs }: OpenWindow,
  page: number,
): ChunkCall {
  const { symbol, timeframe } = request
  return {
    endpointId: metadata.endpointId,
    chunkIndex: plan.index,
    page,
    limit: plan.limit,
    params: paramsOf(request, metadata, plan, {
      ...(startMs !== undefined && { startMs }),
      ...(endMs !== undefined && { endMs }),
    }),
    ...(symbol !== undefined && { symbol }),
    ...(timeframe !== undefined && { timeframe }),
    ...(startMs !== undefined && { startMs }),
    ...(endMs !== undefined && { endMs }),
    ...(plan.cursor !== undefined && { cursor: plan.cursor }),
  }
}

function paramsOf(
  { timeframe }: ChunkRequest,
  { hint, bounds }: ChunkMetadata,
  { limit, cursor }: Pick<ChunkPlan, 'limit' | 'cursor'>,
  { startMs, endMs }: OpenWindow,
): Record<string, string | number> {
  const params: Record<string, string | number> = { [hint.limitField ?? 'limit']: limit }
  if (timeframe !== undefined && hint.timeframeField !== undefined) params[hint.timeframeField] = timeframe
  if (cursor !== undefined && hint.cursorField !== undefined) {
    params[hint.cursorField] = cursor
    return params
  }
  if (startMs !== undefined) {
    // An exclusive start before the epoch cannot be written; a point at the epoch itself stays unasked then.
    params[hint.startTimeField ?? 'start_time'] =
      bounds.start === 'inclusive' ? startMs : Math.max(0, startMs - 1)
  }
  if (endMs !== undefined) {
    params[hint.endTimeField ?? 'end_time'] = bounds.end === 'inclusive' ? endMs - 1 : endMs
  }
  return params
}
