import type { EpochMs } from '../model/time.ts'
import type { ChunkMetadata } from './definitions.ts'

/** Where an endpoint says an answer goes on. */
export type Cursor = string | number

/**
 * What is wanted of an endpoint. Times are half-open whatever the endpoint's own bounds are: points from `startMs` up
 * to, not including, `endMs`.
 *
 * With a timeframe, `limit` counts bars' worth of time: the last `limit` bars before the end, or the first after the
 * start. A venue that leaves quiet bars out has fewer points there, and the result has fewer. Without a timeframe,
 * and with a cursor, `limit` counts points found.
 */
export interface ChunkRequest {
  readonly symbol?: string
  readonly timeframe?: string
  readonly startMs?: EpochMs
  readonly endMs?: EpochMs
  readonly limit?: number
  /** Where to go on from, for endpoints that page by cursor. */
  readonly cursor?: Cursor
  /** A known open time, for timeframes whose grid nobody documents (`3d`). */
  readonly anchorMs?: EpochMs
  /**
   * Take a page with fewer points than its limit for the end of the data. Right where a request has no end of its own
   * (open-ended, limit only, cursor) and the venue has no quiet times; refused for a request with start and end.
   */
  readonly stopOnShortPage?: boolean
}

/** One request of a run, and for planned windows all that belongs to the window. Half-open, as in `ChunkRequest`. */
export interface ChunkPlan {
  readonly index: number
  /** Absent where the endpoint is asked for the newest points before `endMs`, or by cursor. */
  readonly startMs?: EpochMs
  readonly endMs?: EpochMs
  /** Points to ask for. */
  readonly limit: number
  readonly cursor?: Cursor
}

/** What a `clamp` policy cut off a request. */
export interface Clamp {
  /** The start used in place of an earlier one. */
  readonly clampedFrom?: EpochMs
  /** The end used in place of a later one. */
  readonly clampedTo?: EpochMs
  /** The limit used in place of a larger one. */
  readonly clampedLimit?: number
}

/** A request as chunks: what `ChunkPlanner` gives and `ChunkExecutor` takes. */
export interface ChunkRun {
  readonly metadata: ChunkMetadata
  readonly request: ChunkRequest
  readonly paging: 'time' | 'cursor'
  /** Whether the first chunk is the oldest or the newest. Points within a chunk ascend in either case. */
  readonly direction: 'forwards' | 'backwards'
  readonly pageSize: number
  /** Points at most, over the whole run. */
  readonly limit?: number
  /** What the chunks cover together, after clamping. */
  readonly startMs?: EpochMs
  readonly endMs?: EpochMs
  /** Known for runs by time; a cursor tells only as it goes. */
  readonly totalChunks?: number
  /** Made as they are taken and never all at once; may be iterated again. */
  readonly chunks: Iterable<ChunkPlan>
  /** Present when something was cut. */
  readonly clamped?: Clamp
}
