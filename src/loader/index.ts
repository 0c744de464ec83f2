/** `everybar/loader`: Parquet months as columns, and as files the model trainers accept. */
export { frameToArrow } from './arrow.ts'
export { AuditLogger, type AuditRecord, type AuditSession, type SessionStatus } from './audit.ts'
export {
  ChronosLoader,
  ChronosTrainer,
  type Context,
  type TrainerOptions,
  type TrainingOutcome,
} from './chronos.ts'
export { type ParquetLoaderConfig, readLoaderConfig } from './config.ts'
export { byClass, type Coverage, isSettled, type MissingRun } from './coverage.ts'
export { FileDiscovery, type FileQuery, type Instant } from './discovery.ts'
export {
  ConfigError,
  DataNotFoundError,
  DataQualityError,
  IncompleteContextError,
  InvalidFilenameError,
  ParquetLoaderError,
  SchemaValidationError,
} from './errors.ts'
export type { Manifest, ManifestSeries } from './export/manifest.ts'
export { type Definition, type ExportSettings, exportColumns } from './export/options.ts'
export { type ExportOptions, type ExportSurroundings, exportDataset, exportLocked } from './export.ts'
export { parseFeature } from './feature-text.ts'
export { type Feature, featureName } from './features.ts'
export { fileKey, type ParquetFileInfo } from './files.ts'
export { concatFrames, type Frame, filterFrame, rowAt, sliceFrame } from './frame.ts'
export { IdempotencyTracker, type ProcessedFile } from './idempotency.ts'
export type { LoadQuery } from './load/common.ts'
export type { IncrementalData, IncrementalFile, IncrementalQuery } from './load/incremental.ts'
export type { PredictionData, PredictionQuery } from './load/prediction.ts'
export type { TrainingData } from './load/training.ts'
export { type LoaderOptions, ParquetDataLoader } from './loader.ts'
export type { QualityFinding, QualityKind } from './quality.ts'
