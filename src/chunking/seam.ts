import type { EpochMs } from '../model/time.ts'
import type { ChunkRun } from './plan.ts'
import type { PointReader } from './points.ts'

/**
 * Joins chunk to chunk: drops points older than the last one handed over (newer, where a run goes backwards), and
 * those of the same time that were handed over already. Remembers one instant's keys, whatever the run's length.
 */
export class Seam<T> {
  readonly #reader: PointReader<T>
  readonly #forwards: boolean
  #lastMs: EpochMs | undefined
  #keysAtLast = new Set<string | number>()

  constructor(reader: PointReader<T>, direction: ChunkRun['direction']) {
    this.#reader = reader
    this.#forwards = direction === 'forwards'
  }

  /** The points of an ascending chunk that may follow, and how many may not. */
  join(points: readonly T[]): {
    readonly data: readonly T[]
    readonly stale: number
    readonly duplicates: number
  } {
    let stale = 0
    let duplicates = 0
    const data = points.filter((point) => {
      const side = this.#side(this.#reader.timeOf(point))
      const again = side === 0 && this.#keysAtLast.has(this.#reader.keyOf(point))
      if (side < 0) stale++
      if (again) duplicates++
      return side >= 0 && !again
    })
    this.#note(data)
    return { data, stale, duplicates }
  }

  /** 1 for a time that is further on, 0 for the last one's, -1 for one that lies behind. */
  #side(time: EpochMs): number {
    if (this.#lastMs === undefined) return 1
    return Math.sign(this.#forwards ? time - this.#lastMs : this.#lastMs - time)
  }

  #note(data: readonly T[]): void {
    const edge = this.#forwards ? data.at(-1) : data[0]
    if (edge === undefined) return
    const edgeMs = this.#reader.timeOf(edge)
    if (edgeMs !== this.#lastMs) this.#keysAtLast = new Set()
    this.#lastMs = edgeMs
    for (let i = 0; i < data.length; i++) {
      const point = this.#forwards ? data[data.length - 1 - i]! : data[i]!
      if (this.#reader.timeOf(point) !== edgeMs) break
      this.#keysAtLast.add(this.#reader.keyOf(point))
    }
  }
}
