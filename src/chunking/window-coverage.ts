import { EverybarError } from '../model/errors.ts'
import type { EpochMs } from '../model/time.ts'
import type { ChunkMetadata } from './definitions.ts'
import { gridOf } from './grid.ts'
import type { OpenWindow } from './page.ts'
import type { ChunkRequest } from './plan.ts'
import type { PageFacts } from './points.ts'

/** What the answers of a run have shown of how many points the venue puts in one. */
export interface PageCap {
  /** Points of the fullest answer so far: the venue gives at least as many, where there are as many. */
  mostPoints: number
  /** Present when answers stop below the limit they were given although there is more. */
  cappedAt?: number
}

/** The next request for a window: what of it is open, and the limit to ask with. */
export interface Remainder {
  readonly open: OpenWindow
  readonly limit: number
}

/** Answers of so few points before the window asked for are overlap; more mean that the start was ignored. */
const overlapMax = 2

/**
 * Decides, answer by answer, whether a window is covered. An answer's count of points never says so by itself. A
 * window is covered when an answer reaches its end, when nothing is left in it, or when an answer cannot have been
 * cut: fuller ones were seen. Otherwise what is left of the window is asked for. So a venue that gives fewer points
 * than its policy promises costs requests, not points.
 *
 * Rests on two things: a venue's cap is a number that does not change during a run, and on a timeframe no bar follows
 * another within one slot.
 */
export class WindowCoverage {
  readonly #request: ChunkRequest
  readonly #metadata: ChunkMetadata
  readonly #uniqueTimes: boolean
  readonly #cap: PageCap
  /** Requests the window can take at most; no bound without a timeframe. */
  readonly #requestsMax: number
  #requests = 0
  /** Points of the last answer, where they were fewer than its limit. */
  #shortOf: number | undefined
  /** The last answer brought nothing new, and paging stepped over the one instant it was about. */
  #stepped = false

  /** @param bars bars the window holds at most, on a timeframe. */
  constructor(
    request: ChunkRequest,
    metadata: ChunkMetadata,
    uniqueTimes: boolean,
    cap: PageCap,
    bars: number,
  ) {
    this.#request = request
    this.#metadata = metadata
    this.#uniqueTimes = uniqueTimes
    this.#cap = cap
    // Each request but the last brings a bar; one bar may stand off the grid at an outer end, and one limit be raised.
    const bounded = uniqueTimes && request.timeframe !== undefined
    this.#requestsMax = bounded ? bars + 3 : Number.POSITIVE_INFINITY
  }

  /**
   * What is left to ask for after an answer to `open`; `undefined` when the window is covered.
   *
   * @throws EverybarError `chunking.no-progress` (abort) when asking again would bring the same.
   */
  after(open: OpenWindow, facts: PageFacts): Remainder | undefined {
    this.#learn(facts)
    const { raw, limit, inOpen, fresh } = facts
    if (raw === 0) return undefined
    if (inOpen === 0) return this.#foreign(open, facts)
    if (raw < Math.min(limit, this.#cap.mostPoints)) return undefined
    let stepOver = this.#uniqueTimes
    if (!stepOver && fresh === 0) {
      if (raw >= limit)
        return this.#largerPage(open, limit, 'more points share one time than an answer holds')
      stepOver = true
      this.#stepped = true
    }
    const rest = this.#rest(open, facts, stepOver)
    if (rest && ++this.#requests >= this.#requestsMax)
      throw this.#noProgress('points come closer than bars can')
    return rest && { open: rest, limit }
  }

  #learn({ raw, limit, fresh, distinct }: PageFacts): void {
    if (fresh > 0 && this.#stepped) throw this.#noProgress('more points share one time than an answer holds')
    if (fresh > 0 && this.#shortOf !== undefined) {
      this.#cap.cappedAt = Math.min(this.#cap.cappedAt ?? this.#shortOf, this.#shortOf)
    }
    this.#shortOf = raw < limit ? raw : undefined
    this.#cap.mostPoints = Math.max(this.#cap.mostPoints, distinct)
  }

  /** An answer without a point of what was asked for. */
  #foreign(open: OpenWindow, { raw, limit, before, after }: PageFacts): Remainder | undefined {
    const [short, passed] = this.#keeps(open) === 'oldest' ? [before, after] : [after, before]
    const why = 'answers hold only points that were not asked for'
    // Points from before the window may have taken the room of those within.
    if (raw >= limit && short > 0 && limit < this.#metadata.policy.maxPoints) {
      return this.#largerPage(open, limit, why)
    }
    if (passed > 0) return undefined // the venue's paging has gone past the window, so nothing is in it
    if (raw < limit && (raw <= overlapMax || raw < this.#cap.mostPoints)) return undefined
    throw this.#noProgress(why)
  }

  #largerPage(open: OpenWindow, limit: number, why: string): Remainder {
    const { maxPoints } = this.#metadata.policy
    if (limit >= maxPoints) throw this.#noProgress(why)
    return { open, limit: maxPoints }
  }

  #rest(open: OpenWindow, { firstMs, lastMs }: PageFacts, stepOver: boolean): OpenWindow | undefined {
    const { startMs, endMs } = open
    if (this.#keeps(open) === 'oldest') {
      const from = stepOver ? lastMs + 1 : lastMs
      return this.#holdsNone(from, endMs, lastMs) ? undefined : { ...open, startMs: from }
    }
    const to = stepOver ? firstMs : firstMs + 1
    return startMs !== undefined && this.#holdsNone(startMs, to, firstMs) ? undefined : { ...open, endMs: to }
  }

  #holdsNone(startMs: EpochMs, endMs: EpochMs | undefined, known: EpochMs): boolean {
    if (endMs === undefined) return false
    if (startMs >= endMs) return true
    const grid = this.#uniqueTimes ? gridOf(this.#request, known) : undefined
    return grid !== undefined && grid.ceil(startMs) >= endMs
  }

  #keeps(open: OpenWindow): 'oldest' | 'newest' {
    return open.startMs === undefined ? 'newest' : this.#metadata.keeps
  }

  #noProgress(why: string): EverybarError {
    return new EverybarError('chunking.no-progress', `${this.#metadata.endpointId}: ${why}`, {
      recovery: 'abort',
      hint: 'Check the endpoint’s bounds, order and parameter names against what it really answers.',
    })
  }
}
