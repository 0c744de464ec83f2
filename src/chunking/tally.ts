import type { EpochMs } from '../model/time.ts'
import type { ChunkRun, Cursor } from './plan.ts'
import type { PointReader } from './points.ts'
import type { ChunkSummary, CompletedChunk, EndedBy } from './result.ts'
import type { PageCap } from './window-coverage.ts'

/** Sums up the chunks of a run as they are handed over. */
export class Tally<T> {
  totalPoints = 0
  nextCursor: Cursor | undefined
  readonly #reader: PointReader<T>
  #chunksUsed = 0
  #requests = 0
  #weight = 0
  #throttledMs = 0
  #outOfRange = 0
  #duplicates = 0
  #stale = 0
  #firstTime: EpochMs | undefined
  #lastTime: EpochMs | undefined

  constructor(reader: PointReader<T>) {
    this.#reader = reader
  }

  add(chunk: CompletedChunk<T>): void {
    this.#chunksUsed++
    this.#requests += chunk.requests
    this.#weight += chunk.weight
    this.#throttledMs += chunk.throttledMs
    this.#outOfRange += chunk.outOfRange
    this.#duplicates += chunk.duplicates
    this.#stale += chunk.stale
    this.totalPoints += chunk.data.length
    if (chunk.data.length === 0) return
    const first = this.#reader.timeOf(chunk.data[0]!)
    const last = this.#reader.timeOf(chunk.data.at(-1)!)
    this.#firstTime = Math.min(first, this.#firstTime ?? first)
    this.#lastTime = Math.max(last, this.#lastTime ?? last)
  }

  summary(run: ChunkRun, endedBy: EndedBy, { cappedAt }: PageCap): ChunkSummary {
    return {
      chunksUsed: this.#chunksUsed,
      requests: this.#requests,
      weightConsumed: this.#weight,
      throttleApplied: this.#throttledMs > 0,
      throttledMs: this.#throttledMs,
      totalPoints: this.totalPoints,
      outOfRange: this.#outOfRange,
      duplicates: this.#duplicates,
      stale: this.#stale,
      endedBy,
      ...(this.#firstTime !== undefined && { firstTime: this.#firstTime }),
      ...(this.#lastTime !== undefined && { lastTime: this.#lastTime }),
      ...(this.nextCursor !== undefined && { nextCursor: this.nextCursor }),
      ...(run.clamped && { clamped: run.clamped }),
      ...(cappedAt !== undefined && { cappedAt }),
    }
  }
}
