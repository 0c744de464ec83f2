import { isEverybarError, messageOf } from '../model/errors.ts'
import type { EverybarEvent } from '../model/events.ts'
import type { ChunkRun } from './plan.ts'
import type { ChunkSummary, CompletedChunk } from './result.ts'

/** Where counts and times go. Must not throw and must not wait. Names and labels are few and fixed. */
export interface ChunkMetrics {
  /** Adds to a counter. */
  readonly count: (name: ChunkCounter, value: number, labels: ChunkLabels) => void
  /** Notes one value of a histogram. */
  readonly observe: (name: ChunkHistogram, value: number, labels: ChunkLabels) => void
}

export type ChunkCounter =
  | 'chunking_chunks_total'
  | 'chunking_requests_total'
  | 'chunking_points_total'
  | 'chunking_dropped_points_total'
  | 'chunking_weight_total'
  | 'chunking_throttled_ms_total'
  | 'chunking_errors_total'

export type ChunkHistogram = 'chunking_chunk_latency_ms' | 'chunking_chunk_points'

export interface ChunkLabels {
  readonly endpoint_id: string
  /** With `chunking_errors_total`. */
  readonly error_type?: string
}

/** Times are epoch ms, `window_size` seconds; what a run leaves open is null. */
export function planCreated(run: ChunkRun): EverybarEvent {
  const first = run.chunks[Symbol.iterator]().next().value
  const width =
    first?.startMs !== undefined && first.endMs !== undefined ? (first.endMs - first.startMs) / 1_000 : null
  return {
    event: 'chunk_plan_created',
    level: 'debug',
    endpoint_id: run.metadata.endpointId,
    total_chunks: run.totalChunks ?? null,
    window_size: width,
    total_limit: run.limit ?? null,
    start_time: run.startMs ?? null,
    end_time: run.endMs ?? null,
  }
}

export function chunkCompleted(run: ChunkRun, chunk: CompletedChunk<unknown>): EverybarEvent {
  return {
    event: 'chunk_completed',
    level: 'debug',
    endpoint_id: run.metadata.endpointId,
    chunk_index: chunk.index,
    rows_aggregated: chunk.data.length,
    weight: chunk.weight,
    latency_ms: chunk.latencyMs,
  }
}

export function executionComplete(run: ChunkRun, summary: ChunkSummary, latencyMs: number): EverybarEvent {
  return {
    event: 'chunk_execution_complete',
    level: 'info',
    endpoint_id: run.metadata.endpointId,
    chunks_used: summary.chunksUsed,
    total_points: summary.totalPoints,
    weight_consumed: summary.weightConsumed,
    start_timestamp: summary.firstTime ?? null,
    end_timestamp: summary.lastTime ?? null,
    total_latency_ms: latencyMs,
  }
}

export function chunkError(run: ChunkRun, chunkIndex: number, error: unknown): EverybarEvent {
  return {
    event: 'chunk_error',
    level: 'error',
    endpoint_id: run.metadata.endpointId,
    chunk_index: chunkIndex,
    error_type: errorType(error),
    error_message: messageOf(error),
  }
}

/** The code of a deliberate error, else the name of its class. */
export const errorType = (error: unknown): string =>
  isEverybarError(error) ? error.code : error instanceof Error ? error.name : typeof error

export function countChunk(metrics: ChunkMetrics, endpointId: string, chunk: CompletedChunk<unknown>): void {
  const labels = { endpoint_id: endpointId }
  metrics.count('chunking_chunks_total', 1, labels)
  metrics.count('chunking_requests_total', chunk.requests, labels)
  metrics.count('chunking_points_total', chunk.data.length, labels)
  metrics.count('chunking_dropped_points_total', chunk.outOfRange + chunk.duplicates + chunk.stale, labels)
  metrics.count('chunking_weight_total', chunk.weight, labels)
  metrics.count('chunking_throttled_ms_total', chunk.throttledMs, labels)
  metrics.observe('chunking_chunk_latency_ms', chunk.latencyMs, labels)
  metrics.observe('chunking_chunk_points', chunk.data.length, labels)
}
