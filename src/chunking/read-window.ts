import { EverybarError } from '../model/errors.ts'
import type { Clock } from '../model/events.ts'
import { weightOf } from './definitions.ts'
import { type ChunkCall, type ChunkPage, callOf, type FetchPage } from './page.ts'
import type { ChunkPlan, ChunkRun, Cursor } from './plan.ts'
import { ChunkPoints, type PointReader } from './points.ts'
import type { EndedBy } from './result.ts'
import { type PageCap, type Remainder, WindowCoverage } from './window-coverage.ts'

/** What reading chunks needs, beside the chunk. */
export interface ReadContext<T> {
  readonly run: ChunkRun
  readonly reader: PointReader<T>
  readonly cap: PageCap
  readonly fetchPage: FetchPage<T>
  readonly clock: Pick<Clock, 'monotonicMs'>
}

/** A chunk as read, not yet joined to the one before it. */
export interface ReadChunk<T> {
  readonly data: readonly T[]
  readonly weight: number
  readonly requests: number
  readonly throttledMs: number
  readonly latencyMs: number
  readonly outOfRange: number
  readonly duplicates: number
  /** Its last answer held fewer points than its limit. */
  readonly pageWasShort: boolean
  readonly nextCursor?: Cursor
  readonly endedBy?: EndedBy
}

/** What the requests of one chunk came to. */
export class Spending {
  weight = 0
  requests = 0
  throttledMs = 0
  readonly #startedMs: number
  readonly #clock: Pick<Clock, 'monotonicMs'>

  constructor(clock: Pick<Clock, 'monotonicMs'>) {
    this.#clock = clock
    this.#startedMs = clock.monotonicMs()
  }

  /** Sends the request and notes what it cost. @throws EverybarError `chunking.bad-page` (quarantine). */
  async send<T>(context: ReadContext<T>, call: ChunkCall, signal: AbortSignal): Promise<ChunkPage<T>> {
    const page = await context.fetchPage(call, { signal })
    if (!Array.isArray(page?.points)) {
      throw new EverybarError('chunking.bad-page', `${call.endpointId}: an answer without points`, {
        recovery: 'quarantine',
        hint: 'The fetch function has to give { points: [...] }, empty where the venue has none.',
      })
    }
    this.requests++
    this.weight += page.weight ?? weightOf(context.run.metadata.weightPolicy, call.limit)
    this.throttledMs += page.throttledMs ?? 0
    return page
  }

  total(): Pick<ReadChunk<unknown>, 'weight' | 'requests' | 'throttledMs' | 'latencyMs'> {
    const { weight, requests, throttledMs } = this
    return { weight, requests, throttledMs, latencyMs: this.#clock.monotonicMs() - this.#startedMs }
  }
}

/** Reads one planned window whole, with as many requests as that takes. */
export function windowReader<T>(context: ReadContext<T>) {
  const { run, reader, cap, clock } = context
  const { metadata, request } = run
  return async (plan: ChunkPlan, { signal }: { readonly signal: AbortSignal }): Promise<ReadChunk<T>> => {
    const spending = new Spending(clock)
    const coverage = new WindowCoverage(request, metadata, reader.uniqueTimes, cap, plan.limit)
    const window = windowOf(plan)
    const newestFirst = window.startMs === undefined || metadata.keeps === 'newest'
    const points = new ChunkPoints(reader, window, {
      points: metadata.order === 'descending',
      pages: newestFirst,
    })
    // Enough is known only when paging within the window goes the way the run goes.
    const enough =
      request.timeframe === undefined && newestFirst === (run.direction === 'backwards')
        ? (run.limit ?? Number.POSITIVE_INFINITY)
        : Number.POSITIVE_INFINITY
    let pageWasShort = false
    let next: Remainder | undefined = { open: window, limit: plan.limit }
    for (let page = 0; next; page++) {
      const { open, limit }: Remainder = next
      const call = callOf(request, metadata, { ...plan, limit }, open, page)
      const answer = await spending.send(context, call, signal)
      const facts = points.add(answer, open, limit)
      pageWasShort = facts.raw < limit
      if (points.size >= enough || (request.stopOnShortPage && pageWasShort)) break
      next = coverage.after(open, facts)
    }
    const { outOfRange, duplicates } = points
    return { data: points.ascending(), ...spending.total(), outOfRange, duplicates, pageWasShort }
  }
}

export const windowOf = ({ startMs, endMs }: Pick<ChunkPlan, 'startMs' | 'endMs'>) => ({
  ...(startMs !== undefined && { startMs }),
  ...(endMs !== undefined && { endMs }),
})
