export {
  type Bounds,
  type ChunkEndpoint,
  type ChunkHint,
  type ChunkMetadata,
  type ChunkPolicy,
  chunkMetadataOf,
  type PolicyRequest,
  type WeightPolicy,
  type WeightTier,
  weightOf,
} from './definitions.ts'
export { ChunkExecutor, type ChunkExecutorOptions, fetchChunks, type IterateOptions } from './executor.ts'
export type { ChunkCall, ChunkPage, FetchPage } from './page.ts'
export { cheapestPageSize } from './page-size.ts'
export type { ChunkPlan, ChunkRequest, ChunkRun, Clamp, Cursor } from './plan.ts'
export { ChunkPlanner, type ChunkPlannerOptions } from './planner.ts'
export type { PointOptions } from './points.ts'
export type { ChunkResult, ChunkSummary, CompletedChunk, EndedBy, FailedChunk } from './result.ts'
export { type ChunkOutcome, type RunChunksOptions, runChunks } from './run-chunks.ts'
export type { ChunkCounter, ChunkHistogram, ChunkLabels, ChunkMetrics } from './telemetry.ts'
