import { type Clock, type OnEvent, silent } from '../model/events.ts'
import type { ChunkEndpoint } from './definitions.ts'
import type { FetchPage } from './page.ts'
import type { ChunkPlan, ChunkRequest, ChunkRun } from './plan.ts'
import { ChunkPlanner } from './planner.ts'
import { type PointOptions, type PointReader, pointReader } from './points.ts'
import { pagesByCursor } from './read-cursor.ts'
import { type ReadChunk, windowReader } from './read-window.ts'
import type { ChunkResult, ChunkSummary, CompletedChunk, EndedBy, FailedChunk } from './result.ts'
import { type ChunkOutcome, runChunks } from './run-chunks.ts'
import { Seam } from './seam.ts'
import { Tally } from './tally.ts'
import {
  type ChunkMetrics,
  chunkCompleted,
  chunkError,
  countChunk,
  errorType,
  executionComplete,
} from './telemetry.ts'
import type { PageCap } from './window-coverage.ts'

export interface ChunkExecutorOptions<T> extends PointOptions<T> {
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly onEvent?: OnEvent
  readonly metrics?: ChunkMetrics
  /** Windows fetched at once; 1 unless said. Pages by cursor come one after another whatever it is. */
  readonly concurrency?: number
}

export interface IterateOptions {
  readonly signal?: AbortSignal
  /** `stop` (unless said) throws a chunk's error in its place; `continue` yields it there and goes on. */
  readonly onError?: 'stop' | 'continue'
}

/**
 * Runs the chunks of a plan through a fetch function and hands over each point once, in order. Knows nothing of the
 * endpoint but its metadata. One executor may run any number of plans, also at once.
 */
export class ChunkExecutor<T> {
  readonly #options: ChunkExecutorOptions<T>
  readonly #onEvent: OnEvent

  constructor(options: ChunkExecutorOptions<T>) {
    this.#options = options
    this.#onEvent = options.onEvent ?? silent
  }

  /**
   * Chunks in plan order as they are done. Requests run ahead of the consumer, `concurrency` chunks at most, and what
   * the generator returns at its end is the summary of the run. A consumer that leaves early stops the requests.
   *
   * @throws what the fetch function threw, unwrapped, after every chunk before it was handed over; the abort reason;
   *   EverybarError `chunking.no-progress`, `chunking.cursor-repeated` (abort), `chunking.bad-page`,
   *   `chunking.bad-point` (quarantine).
   */
  iterate(
    run: ChunkRun,
    fetchPage: FetchPage<T>,
    options?: { readonly signal?: AbortSignal; readonly onError?: 'stop' },
  ): AsyncGenerator<CompletedChunk<T>, ChunkSummary, undefined>
  iterate(
    run: ChunkRun,
    fetchPage: FetchPage<T>,
    options: IterateOptions,
  ): AsyncGenerator<CompletedChunk<T> | FailedChunk, ChunkSummary, undefined>
  async *iterate(
    run: ChunkRun,
    fetchPage: FetchPage<T>,
    options: IterateOptions = {},
  ): AsyncGenerator<CompletedChunk<T> | FailedChunk, ChunkSummary, undefined> {
    const { clock, metrics } = this.#options
    const startedMs = clock.monotonicMs()
    const reader = pointReader(run.metadata, this.#options)
    const state: RunState<T> = {
      run,
      reader,
      tally: new Tally(reader),
      seam: new Seam(reader, run.direction),
      cap: { mostPoints: 0 },
    }
    let endedBy: EndedBy | undefined
    for await (const outcome of this.#outcomes(state, fetchPage, options.signal)) {
      if ('error' in outcome) {
        this.#report(run, outcome)
        if (options.onError !== 'continue') throw outcome.error
        if (run.paging === 'cursor') endedBy = 'error' // only the page that failed could say where to go on
        yield { index: outcome.index, plan: outcome.plan, error: outcome.error }
        continue
      }
      const chunk = this.#append(state, outcome)
      this.#onEvent(chunkCompleted(run, chunk))
      if (metrics) countChunk(metrics, run.metadata.endpointId, chunk)
      yield chunk
      endedBy = endOf(state, outcome.result)
      if (endedBy) break
    }
    const summary = state.tally.summary(run, endedBy ?? 'range', state.cap)
    this.#onEvent(executionComplete(run, summary, clock.monotonicMs() - startedMs))
    return summary
  }

  /** The whole run as one result, held in memory. Throws as `iterate` does. */
  async execute(
    run: ChunkRun,
    fetchPage: FetchPage<T>,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<ChunkResult<T>> {
    const parts: (readonly T[])[] = []
    const chunks = this.iterate(run, fetchPage, options)
    for (;;) {
      const next = await chunks.next()
      if (next.done) {
        return { ...next.value, data: (run.direction === 'backwards' ? parts.reverse() : parts).flat() }
      }
      parts.push(next.value.data)
    }
  }

  #outcomes(
    { run, reader, tally, cap }: RunState<T>,
    fetchPage: FetchPage<T>,
    signal: AbortSignal | undefined,
  ): AsyncIterable<ChunkOutcome<ChunkPlan, ReadChunk<T>>> {
    const { clock, concurrency = 1 } = this.#options
    const context = { run, reader, cap, fetchPage, clock }
    const aborts = signal ? { signal } : {}
    if (run.paging === 'time') {
      return runChunks(run.chunks, windowReader(context), { concurrency, onError: 'continue', ...aborts })
    }
    return pagesByCursor(context, () => tally.totalPoints, signal)
  }

  #report(run: ChunkRun, { index, error }: { readonly index: number; readonly error?: unknown }): void {
    this.#onEvent(chunkError(run, index, error))
    const labels = { endpoint_id: run.metadata.endpointId, error_type: errorType(error) }
    this.#options.metrics?.count('chunking_errors_total', 1, labels)
  }

  #append(
    { run, seam, tally }: RunState<T>,
    {
      index,
      plan,
      result,
    }: { readonly index: number; readonly plan: ChunkPlan; readonly result: ReadChunk<T> },
  ): CompletedChunk<T> {
    const { data, stale, duplicates } = seam.join(result.data)
    const room = (run.limit ?? Number.POSITIVE_INFINITY) - tally.totalPoints
    const kept =
      data.length <= room ? data : run.direction === 'forwards' ? data.slice(0, room) : data.slice(-room)
    const { nextCursor, pageWasShort: _, ...rest } = result
    const chunk = { index, plan, ...rest, data: kept, stale, duplicates: result.duplicates + duplicates }
    tally.add(chunk)
    // A page that was cut has to be asked for again: going on after it would lose what was cut.
    tally.nextCursor = kept.length < data.length ? plan.cursor : nextCursor
    return chunk
  }
}

interface RunState<T> {
  readonly run: ChunkRun
  readonly reader: PointReader<T>
  readonly tally: Tally<T>
  readonly seam: Seam<T>
  readonly cap: PageCap
}

/** Why the run is over after this chunk; `undefined` when it goes on, or when its plans say so themselves. */
function endOf<T>({ run, tally }: RunState<T>, chunk: ReadChunk<T>): EndedBy | undefined {
  if (run.limit !== undefined && tally.totalPoints >= run.limit) return 'limit'
  if (run.request.stopOnShortPage && chunk.pageWasShort) return 'short-page'
  return chunk.endedBy
}

/**
 * Plans and executes in one call: all points of `request` that the endpoint has, in memory, from its metadata alone.
 * Throws as `ChunkPlanner.plan` and `ChunkExecutor.iterate` do.
 */
export async function fetchChunks<T>(
  endpoint: ChunkEndpoint,
  request: ChunkRequest,
  fetchPage: FetchPage<T>,
  options: Omit<ChunkExecutorOptions<T>, 'clock'> & {
    readonly clock: Pick<Clock, 'nowMs' | 'monotonicMs'>
    readonly signal?: AbortSignal
  },
): Promise<ChunkResult<T>> {
  const { signal, ...rest } = options
  const run = new ChunkPlanner(endpoint, rest).plan(request)
  return new ChunkExecutor<T>(rest).execute(run, fetchPage, signal ? { signal } : {})
}
