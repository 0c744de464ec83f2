import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { type OnEvent, silent } from '../model/events.ts'
import { type EpochMs, iso } from '../model/time.ts'
import type { ParquetLoaderConfig } from './config.ts'
import { DataNotFoundError } from './errors.ts'
import { fileKey, type ParquetFileInfo } from './files.ts'
import { writeAtomic } from './state/atomic.ts'
import { withLock } from './state/lock.ts'

const entrySchema = z.object({
  file_path: z.string(),
  processed_at: z.string(),
  checksum: z.string(),
  status: z.string(),
  /** The first time whose rows were given; not there where all were. */
  from: z.string().optional(),
})
const stateSchema = z.object({
  version: z.literal(1),
  processed_files: z.record(z.string(), z.record(z.string(), entrySchema)),
})
type State = z.output<typeof stateSchema>
/** What the state file says of one processed file. */
export type ProcessedFile = Readonly<z.output<typeof entrySchema>>

/** One reading of a file: what the file was then, and which of its rows were given. */
export interface Reading {
  readonly file: ParquetFileInfo
  /** What it was when it was read, so that a change made meanwhile is not lost. */
  readonly checksum: string
  /** The first time whose rows were given; all were unless said. */
  readonly fromMs?: EpochMs
}

export interface TrackerOptions {
  readonly onEvent?: OnEvent
  readonly nowMs?: () => number
  /** How long to wait for another process; ten seconds unless said. */
  readonly lockWaitMs?: number
}

/**
 * Remembers, for each consumer by name, which files it has processed, in `.processed_files.json` in the root. Reading
 * twice is not processing twice: only incremental loads ask here. Any number of processes may share the file; each
 * change is made to what is on disk at that moment and replaces it whole.
 */
export class IdempotencyTracker {
  readonly path: string
  readonly #algorithm: 'md5' | 'sha256'
  readonly #options: Required<TrackerOptions>

  constructor(config: Pick<ParquetLoaderConfig, 'rootDir' | 'idempotency'>, options: TrackerOptions = {}) {
    this.path = join(config.rootDir, config.idempotency.state_file)
    this.#algorithm = config.idempotency.checksum_algorithm
    this.#options = {
      onEvent: options.onEvent ?? silent,
      nowMs: options.nowMs ?? Date.now,
      lockWaitMs: options.lockWaitMs ?? 10_000,
    }
  }

  /** Whether `consumer` has processed the file as it is now. One that has changed since is not processed. */
  async isProcessed(consumer: string, file: ParquetFileInfo): Promise<boolean> {
    return this.covers(consumer, { file, checksum: await this.checksum(file) })
  }

  /** Whether what `consumer` has processed of a file holds all that `reading` would give. */
  async covers(consumer: string, { file, checksum, fromMs = 0 }: Reading): Promise<boolean> {
    const entry = (await this.#read()).processed_files[consumer]?.[fileKey(file)]
    if (entry?.status !== 'completed' || entry.checksum !== checksum) return false
    return entry.from === undefined || Date.parse(entry.from) <= fromMs
  }

  /** Records that `consumer` is done with the file, as of `checksum`. As `markAll`. */
  markProcessed(consumer: string, file: ParquetFileInfo, checksum: string): Promise<void> {
    return this.markAll(consumer, [{ file, checksum }])
  }

  /**
   * Records that `consumer` is done with every one of `readings`, or with none where it fails. Durable when it resolves.
   *
   * @throws ParquetLoaderError `loader.state-locked` (retry), `loader.not-writable`, `loader.disk-full` (abort).
   */
  async markAll(consumer: string, readings: readonly Reading[]): Promise<void> {
    if (readings.length === 0) return
    await withLock(`${this.path}.lock`, this.#options.lockWaitMs, async () => {
      const state = await this.#read(true)
      const files = (state.processed_files[consumer] ??= {})
      for (const { file, checksum, fromMs } of readings) {
        files[fileKey(file)] = {
          file_path: file.path,
          processed_at: iso(this.#options.nowMs()),
          checksum,
          status: 'completed',
          ...(fromMs === undefined ? {} : { from: iso(fromMs) }),
        }
      }
      await writeAtomic(this.path, `${JSON.stringify(state, null, 2)}\n`)
    })
  }

  /** Every file `consumer` has processed, by key. */
  async processed(consumer: string): Promise<Readonly<Record<string, ProcessedFile>>> {
    return (await this.#read()).processed_files[consumer] ?? {}
  }

  /**
   * Hexadecimal digest of the file's bytes, in constant memory.
   *
   * @throws DataNotFoundError `loader.file-gone`.
   */
  async checksum(file: ParquetFileInfo): Promise<string> {
    const hash = createHash(this.#algorithm)
    try {
      for await (const piece of createReadStream(file.path)) hash.update(piece as Buffer)
    } catch (cause) {
      throw new DataNotFoundError('loader.file-gone', 'the file cannot be read any more', {
        path: file.path,
        cause,
        recovery: 'retry',
        hint: 'It may have been replaced meanwhile: run again.',
      })
    }
    return hash.digest('hex')
  }

  /** `mend`: set a damaged file aside. Only under the lock, for a healthy one may be about to take its place. */
  async #read(mend = false): Promise<State> {
    const text = await readFile(this.path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw error
    })
    const nothing: State = { version: 1, processed_files: {} }
    if (text === undefined) return nothing
    const parsed = parse(text)
    if (parsed) return parsed
    const aside = `${this.path}.damaged-${this.#options.nowMs()}`
    if (mend) await rename(this.path, aside)
    this.#options.onEvent({
      event: 'loader_state_damaged',
      level: 'warn',
      path: this.path,
      aside: mend ? aside : null,
      detail: 'the state file cannot be read; every file counts as not processed',
    })
    return nothing
  }
}

function parse(text: string): State | undefined {
  try {
    return stateSchema.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}
