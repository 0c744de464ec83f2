import { type OnEvent, silent } from '../model/events.ts'
import { AuditLogger } from './audit.ts'
import { type ParquetLoaderConfig, readLoaderConfig } from './config.ts'
import type { Coverage } from './coverage.ts'
import { FileDiscovery, type FileQuery } from './discovery.ts'
import type { ParquetFileInfo } from './files.ts'
import type { Frame } from './frame.ts'
import { IdempotencyTracker } from './idempotency.ts'
import type { LoadContext, LoadKind, LoadQuery } from './load/common.ts'
import {
  type IncrementalData,
  type IncrementalFile,
  type IncrementalQuery,
  incrementalFiles,
  loadIncremental,
} from './load/incremental.ts'
import { loadPrediction, type PredictionData, type PredictionQuery } from './load/prediction.ts'
import { loadTraining, type TrainingData, trainingFrames } from './load/training.ts'
import { Engine } from './read/engine.ts'

export interface LoaderOptions {
  readonly onEvent?: OnEvent
  /** The time of day for audit logs and state; the system's unless given. */
  readonly nowMs?: () => number
  /** Says why bars are missing. Without it a missing bar is one that nobody can account for. */
  readonly coverage?: Coverage<ParquetFileInfo>
}

/**
 * Loads Parquet months as columns, by a configuration that leaves nothing open. Every load is a session in the audit
 * log. Close the loader when done.
 */
export class ParquetDataLoader {
  readonly config: ParquetLoaderConfig
  readonly tracker: IdempotencyTracker
  readonly audit: AuditLogger
  readonly #context: LoadContext

  /** @throws ConfigError `loader.config`. */
  constructor(configPath: string, options: LoaderOptions = {}) {
    this.config = readLoaderConfig(configPath)
    this.tracker = new IdempotencyTracker(this.config, options)
    this.audit = new AuditLogger(this.config, options.nowMs)
    const { n_workers, memory_limit } = this.config.performance
    this.#context = {
      config: this.config,
      tracker: this.tracker,
      audit: this.audit,
      engine: new Engine({ threads: n_workers, memoryLimit: memory_limit.replace(/\s/, '') }),
      onEvent: options.onEvent ?? silent,
      coverage: options.coverage,
    }
  }

  /** Frees what reading has opened. Safe to call twice. */
  async close(): Promise<void> {
    await this.#context.engine.close()
  }

  /** The files of a query, by name only. See `FileDiscovery.discover`. */
  discoverFiles(query: FileQuery, kind: LoadKind = 'training'): Promise<ParquetFileInfo[]> {
    return new FileDiscovery(this.config, this.config.dirs[kind]).discover(query)
  }

  /**
   * Everything the query names, split by time: the earlier part to train on, the later to validate. Never at random.
   * Loading twice gives the same twice. Holds the whole result; use `trainingFrames` beyond memory.
   *
   * @throws DataNotFoundError `loader.no-data`. @throws ConfigError `loader.bad-range`, `loader.ambiguous`.
   * @throws InvalidFilenameError `loader.bad-filename`. @throws SchemaValidationError `loader.schema`.
   * @throws DataQualityError `loader.unreadable-file`, `loader.incomplete`.
   */
  loadTrainingData(query: LoadQuery): Promise<TrainingData> {
    return loadTraining(this.#context, query)
  }

  /** The rows of `loadTrainingData` before the split, in order, `chunk_size` at a time, in constant memory. */
  trainingFrames(query: LoadQuery): AsyncGenerator<Frame> {
    return trainingFrames(this.#context, query)
  }

  /**
   * The last `contextLength` bars that have closed by `at`, from as many months as it takes.
   *
   * @throws IncompleteContextError `loader.incomplete-context` saying how many bars are missing, and where.
   * @throws ConfigError `loader.bad-timeframe`, and what `loadTrainingData` throws.
   */
  async loadPredictionData(query: PredictionQuery): Promise<PredictionData> {
    return loadPrediction(this.#context, query)
  }

  /**
   * Month by month, the rows after `since` of files that `consumer` has not processed as they are now. A file counts
   * as processed once the loop asks for the next one: a consumer that throws, or is killed, is given it again. So it is
   * with an earlier `since`, and once more when the targets of its last bars have become known.
   */
  incremental(query: IncrementalQuery): AsyncGenerator<IncrementalFile> {
    return incrementalFiles(this.#context, query)
  }

  /**
   * All of `incremental` at once. Every file is marked, all together, as the last thing before this resolves; a load
   * that fails has marked none. Where losing rows to a crash of yours matters, loop over `incremental`. No new files is
   * an empty frame.
   */
  loadIncrementalData(query: IncrementalQuery): Promise<IncrementalData> {
    return loadIncremental(this.#context, query)
  }
}
