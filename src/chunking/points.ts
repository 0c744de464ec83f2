import { EverybarError } from '../model/errors.ts'
import type { EpochMs } from '../model/time.ts'
import type { ChunkMetadata } from './definitions.ts'
import type { ChunkPage, OpenWindow } from './page.ts'

/** How points are dated and told apart. */
export interface PointReader<T> {
  /** @throws EverybarError `chunking.bad-point` (quarantine) for a point without a time. */
  readonly timeOf: (point: T) => EpochMs
  readonly keyOf: (point: T) => string | number
  /** At most one point at a time. Where false, paging by time asks again for the last instant it has seen. */
  readonly uniqueTimes: boolean
}

export interface PointOptions<T> {
  /** Epoch ms of a point; the field the hint's `timestampKey` names unless given. */
  readonly timeOf?: (point: T) => EpochMs
  /**
   * What makes two points the same. Symbol, timeframe and time unless given; give one (a trade's id) where several
   * points may share a time.
   */
  readonly keyOf?: (point: T) => string | number
}

export function pointReader<T>(
  { endpointId, hint }: Pick<ChunkMetadata, 'endpointId' | 'hint'>,
  options: PointOptions<T>,
): PointReader<T> {
  const { timestampKey = 'timestamp', symbolKey } = hint
  const field = (point: T, name: string): unknown => (point as Readonly<Record<string, unknown>>)?.[name]
  const read = options.timeOf ?? ((point: T) => field(point, timestampKey) as EpochMs)
  const timeOf = (point: T): EpochMs => {
    const time: unknown = read(point)
    if (typeof time === 'number' && Number.isFinite(time)) return time
    throw new EverybarError('chunking.bad-point', `${endpointId}: a point has no time (${String(time)})`, {
      recovery: 'quarantine',
      hint: `Every point needs a number of epoch milliseconds in "${timestampKey}", or give timeOf.`,
    })
  }
  // A run is of one timeframe, and of one symbol unless the points name theirs: what is constant tells nothing apart.
  const byTime: (point: T) => string | number =
    symbolKey === undefined ? timeOf : (point) => `${String(field(point, symbolKey))} ${timeOf(point)}`
  return {
    timeOf,
    keyOf: options.keyOf ?? byTime,
    uniqueTimes: options.keyOf === undefined && symbolKey === undefined,
  }
}

/** What one answer held, seen from the window it was asked for. */
export interface PageFacts {
  /** Points in the answer, whatever they were. */
  readonly raw: number
  readonly limit: number
  /** Different points within the part of the chunk that was asked for: no more than the venue's cap, ever. */
  readonly distinct: number
  /** Those not seen in an earlier answer. */
  readonly fresh: number
  /** Points within the part of the chunk that was asked for, and their first and last times. */
  readonly inOpen: number
  readonly firstMs: EpochMs
  readonly lastMs: EpochMs
  /** Points before and after that part. */
  readonly before: number
  readonly after: number
}

interface Entry<T> {
  time: EpochMs
  point: T
  page: number
}

/** The points of one chunk as its answers come in. Of two with the same key the later one is kept. */
export class ChunkPoints<T> {
  outOfRange = 0
  duplicates = 0
  readonly #reader: PointReader<T>
  readonly #window: OpenWindow
  readonly #newestFirst: { readonly points: boolean; readonly pages: boolean }
  readonly #byKey = new Map<string | number, Entry<T>>()
  readonly #pages: Entry<T>[][] = []

  constructor(reader: PointReader<T>, window: OpenWindow, newestFirst: { points: boolean; pages: boolean }) {
    this.#reader = reader
    this.#window = window
    this.#newestFirst = newestFirst
  }

  get size(): number {
    return this.#byKey.size
  }

  /** Takes an answer to the request for `open`, a part of the chunk's window. */
  add({ points, rows = points.length }: ChunkPage<T>, open: OpenWindow, limit: number): PageFacts {
    const page = this.#pages.length
    const entries: Entry<T>[] = []
    this.#pages.push(entries)
    const raw = points.length === 0 ? 0 : Math.max(rows, points.length)
    const facts = { raw, limit, distinct: 0, fresh: 0, inOpen: 0, before: 0, after: 0 }
    let firstMs = Number.POSITIVE_INFINITY
    let lastMs = Number.NEGATIVE_INFINITY
    for (const point of points) {
      const time = this.#reader.timeOf(point)
      const side = sideOf(open, time)
      if (side < 0) facts.before++
      if (side > 0) facts.after++
      if (sideOf(this.#window, time) !== 0) {
        this.outOfRange++
        continue
      }
      if (side === 0) {
        facts.inOpen++
        firstMs = Math.min(firstMs, time)
        lastMs = Math.max(lastMs, time)
      }
      const key = this.#reader.keyOf(point)
      const known = this.#byKey.get(key)
      if (known) {
        this.duplicates++
        if (known.page !== page && side === 0) facts.distinct++
        Object.assign(known, { point, page })
        continue
      }
      const entry = { time, point, page }
      this.#byKey.set(key, entry)
      entries.push(entry)
      if (side === 0) facts.distinct++
      facts.fresh++
    }
    return { ...facts, firstMs, lastMs }
  }

  /** All points by time. Those of one time stand as the venue ordered them. */
  ascending(): readonly T[] {
    const { points, pages } = this.#newestFirst
    const inOrder = (points ? this.#pages.map((page) => page.toReversed()) : this.#pages).slice()
    const entries = (pages ? inOrder.reverse() : inOrder).flat()
    return entries.sort((a, b) => a.time - b.time).map(({ point }) => point)
  }
}

/** -1 before the window, 1 after it, 0 within. */
function sideOf({ startMs, endMs }: OpenWindow, time: EpochMs): -1 | 0 | 1 {
  if (startMs !== undefined && time < startMs) return -1
  if (endMs !== undefined && time >= endMs) return 1
  return 0
}
