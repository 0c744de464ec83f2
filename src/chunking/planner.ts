import { EverybarError } from '../model/errors.ts'
import { type Clock, type OnEvent, silent } from '../model/events.ts'
import { type ChunkEndpoint, type ChunkMetadata, chunkMetadataOf, chunksMax } from './definitions.ts'
import { gridOf } from './grid.ts'
import { cheapestPageSize } from './page-size.ts'
import type { ChunkRequest, ChunkRun } from './plan.ts'
import { endsOf, type RunRange, rangeOf, startRequired, withinServed } from './range.ts'
import { planCreated } from './telemetry.ts'
import { windowsOf } from './windows.ts'

export interface ChunkPlannerOptions {
  /** Tells now, where a request leaves its end open. The venue's clock, where that is known. */
  readonly clock?: Pick<Clock, 'nowMs'>
  readonly onEvent?: OnEvent
}

/** Cuts requests for one endpoint into chunks, from the endpoint's metadata alone. */
export class ChunkPlanner {
  readonly #endpoint: ChunkEndpoint
  readonly #clock: Pick<Clock, 'nowMs'> | undefined
  readonly #onEvent: OnEvent

  constructor(endpoint: ChunkEndpoint, options: ChunkPlannerOptions = {}) {
    this.#endpoint = endpoint
    this.#clock = options.clock
    this.#onEvent = options.onEvent ?? silent
  }

  /**
   * The chunks of `request`, in the order they are to be taken. Arithmetic: nothing is asked of the venue.
   *
   * A limit of 0 and a start that equals the end give a run without chunks. Windows end on timeframe boundaries, but
   * for the outer ends, which stay where the request has them. A page is `maxPoints` or the cheapest page of the
   * weight policy, a dearer one where only so few chunks are allowed that the cheapest could not hold what is wanted,
   * never more than the limit.
   *
   * @throws EverybarError (abort) `chunking.bad-limit`, `chunking.bad-range` for a start after the end,
   *   `chunking.bad-policy`, `chunking.start-required` and `chunking.end-required` where the request leaves an end open
   *   that nothing tells, `chunking.short-page-over-range`, and with a strict policy `chunking.out-of-range` and
   *   `chunking.too-many-chunks`, which name what is permitted.
   */
  plan(request: ChunkRequest): ChunkRun {
    const metadata = this.#metadata(request)
    checkRequest(request, metadata)
    const run =
      metadata.hint.cursorField === undefined ? this.#byTime(request, metadata) : byCursor(request, metadata)
    this.#onEvent(planCreated(run))
    return run
  }

  #metadata(request: ChunkRequest): ChunkMetadata {
    const { symbol, timeframe = '', startMs, endMs, limit } = request
    return chunkMetadataOf(this.#endpoint, {
      timeframe,
      ...(symbol !== undefined && { symbol }),
      ...(startMs !== undefined && { startMs }),
      ...(endMs !== undefined && { endMs }),
      ...(limit !== undefined && { limit }),
    })
  }

  #byTime(request: ChunkRequest, metadata: ChunkMetadata): ChunkRun {
    const range = rangeOf(request, metadata, this.#clock?.nowMs())
    const pageSize = pageSizeOf(request, metadata, barsIn(request, range) ?? request.limit)
    const { chunks, total, startMs, endMs, limit, clamped } = windowsOf(request, metadata, pageSize, range)
    return {
      metadata,
      request,
      paging: 'time',
      direction: range.direction,
      pageSize,
      totalChunks: total,
      chunks,
      ...(startMs !== undefined && { startMs }),
      ...(endMs !== undefined && { endMs }),
      ...(limit !== undefined && { limit }),
      ...(clamped && { clamped }),
    }
  }
}

function byCursor(request: ChunkRequest, metadata: ChunkMetadata): ChunkRun {
  const { limit, cursor } = request
  const { policy, order } = metadata
  const pageSize = pageSizeOf(request, metadata, limit)
  if (policy.requiresStartTime && request.startMs === undefined && cursor === undefined)
    throw startRequired(metadata)
  const empty = limit === 0 || (request.startMs !== undefined && request.startMs === request.endMs)
  const { clamped, ...bounds } = empty ? endsOf(request) : withinServed(request, metadata)
  const { startMs, endMs } = bounds
  const nothing = empty || (startMs !== undefined && endMs !== undefined && startMs >= endMs)
  const first = { index: 0, limit: pageSize, ...bounds, ...(cursor !== undefined && { cursor }) }
  return {
    metadata,
    request,
    paging: 'cursor',
    direction: order === 'ascending' ? 'forwards' : 'backwards',
    pageSize,
    ...bounds,
    ...(limit !== undefined && { limit }),
    ...(clamped && { clamped }),
    ...(nothing && { totalChunks: 0 }),
    chunks: nothing ? [] : [first],
  }
}

/** Bars a range has room for; `undefined` where nothing tells. */
function barsIn(request: ChunkRequest, { startMs, endMs }: RunRange): number | undefined {
  if (startMs === undefined || endMs === undefined) return undefined
  return gridOf(request, startMs)?.count(startMs, endMs)
}

/** Most points for the weight, of the sizes that bring what is wanted in the chunks allowed; never above the limit. */
function pageSizeOf(
  { limit }: ChunkRequest,
  { policy, weightPolicy }: ChunkMetadata,
  wanted: number | undefined,
): number {
  const best = cheapestPageSize(policy, weightPolicy, Math.ceil((wanted ?? 0) / chunksMax(policy)))
  return limit === undefined ? best : Math.max(1, Math.min(best, limit))
}

function checkRequest(request: ChunkRequest, { endpointId }: ChunkMetadata): void {
  const { startMs, endMs, limit, stopOnShortPage } = request
  const refuse = (code: string, message: string, hint: string) => {
    throw new EverybarError(code, `${endpointId}: ${message}`, { recovery: 'abort', hint })
  }
  if (limit !== undefined && !(Number.isSafeInteger(limit) && limit >= 0)) {
    refuse('chunking.bad-limit', `a limit of ${limit}`, 'A limit is a whole number of points, 0 or more.')
  }
  for (const ms of [startMs, endMs]) {
    if (ms === undefined || (Number.isSafeInteger(ms) && ms >= 0)) continue
    refuse('chunking.bad-range', `${ms} is not a time`, 'Times are whole milliseconds since 1970, UTC.')
  }
  if (startMs === undefined || endMs === undefined) return
  if (startMs > endMs) {
    const message = `the start ${startMs} comes after the end ${endMs}`
    refuse('chunking.bad-range', message, 'Swap the two: a range holds its start and not its end.')
  }
  if (stopOnShortPage) {
    const message = 'stopOnShortPage was asked for a run over a planned range'
    const hint =
      'A short page says nothing about the end of data. Leave the option out, or the end of the range.'
    refuse('chunking.short-page-over-range', message, hint)
  }
}
