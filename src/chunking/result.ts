import type { EpochMs } from '../model/time.ts'
import type { ChunkPlan, Clamp, Cursor } from './plan.ts'

/** One chunk that is done. */
export interface CompletedChunk<T> {
  readonly index: number
  readonly plan: ChunkPlan
  /** Ascending by time, each point once, all within the chunk's window. May be empty: that says nothing of the end. */
  readonly data: readonly T[]
  readonly weight: number
  /** Requests it took; more than one where an answer did not cover the window. */
  readonly requests: number
  readonly throttledMs: number
  readonly latencyMs: number
  /** Points the venue sent from outside the window; dropped. */
  readonly outOfRange: number
  /** Points that came more than once; dropped but for one. */
  readonly duplicates: number
  /** Points older than the last one handed over (by cursor; newer, where paging goes back); dropped. */
  readonly stale: number
  readonly error?: never
}

/** One chunk that failed, where the run goes on past errors. */
export interface FailedChunk {
  readonly index: number
  readonly plan: ChunkPlan
  readonly error: unknown
  readonly data?: never
}

/**
 * Why a run ended: its range was covered, so many points were found, the cursor came to its end, a page was short
 * (only where asked for), `maxChunks` pages were taken, or a page by cursor failed in a run that goes on past errors.
 */
export type EndedBy = 'range' | 'limit' | 'cursor-end' | 'short-page' | 'max-chunks' | 'error'

/** What a run came to, without its data. */
export interface ChunkSummary {
  readonly chunksUsed: number
  readonly requests: number
  readonly weightConsumed: number
  /** Whether any request waited for a rate limit, and how long all of them did together. */
  readonly throttleApplied: boolean
  readonly throttledMs: number
  readonly totalPoints: number
  /** Times of the first and last point, epoch ms; absent when there is none. */
  readonly firstTime?: EpochMs
  readonly lastTime?: EpochMs
  readonly outOfRange: number
  readonly duplicates: number
  readonly stale: number
  readonly endedBy: EndedBy
  /** Where a run by cursor can be taken up again; absent at the cursor's end. */
  readonly nextCursor?: Cursor
  /** What a clamp policy cut off the request. */
  readonly clamped?: Clamp
  /** Points a page the venue really gives, where that is less than the limit it was asked with. */
  readonly cappedAt?: number
}

/** A whole run in memory. `data` ascends by time, each point once. */
export interface ChunkResult<T> extends ChunkSummary {
  readonly data: readonly T[]
}
