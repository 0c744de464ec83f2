export {
  type ChunkHint,
  type ChunkPolicy,
  type WeightPolicy,
  type WeightTier,
  weightOf,
} from './definitions.ts'
export { cheapestPageSize } from './page-size.ts'
export { type ChunkOutcome, type RunChunksOptions, runChunks } from './run-chunks.ts'
