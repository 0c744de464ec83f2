import { EverybarError } from '../model/errors.ts'
import { type EpochMs, iso } from '../model/time.ts'
import { type ChunkMetadata, chunksMax } from './definitions.ts'
import { type Grid, gridOf } from './grid.ts'
import type { ChunkPlan, ChunkRequest, Clamp } from './plan.ts'
import type { RunRange } from './range.ts'

/** A range cut into windows, and what a clamp took off it. */
export interface Windows {
  readonly chunks: Iterable<ChunkPlan>
  readonly total: number
  readonly startMs?: EpochMs
  readonly endMs?: EpochMs
  readonly limit?: number
  readonly clamped?: Clamp
}

/** Where windows of a range lie: window k is `[edge(k), edge(k + 1))`, ascending. */
interface Cuts {
  readonly total: number
  readonly edge: (k: number) => EpochMs
  readonly limitOf: (startMs: EpochMs, endMs: EpochMs) => number
  /** Points a window may hold, as far as that is known. */
  readonly pointsMax: number
  /** On a timeframe a limit is a length of time, which the range has been held to already. */
  readonly onGrid: boolean
}

/**
 * Cuts `range` into windows of a page each that touch and never overlap. The inner edges lie on the timeframe's grid,
 * counted from the first open in the range, or from the one before where the first window would span too long; bars
 * wider than a request may span are cut by time. Backwards, the newest window comes first.
 *
 * @throws EverybarError `chunking.too-many-chunks` (abort) with a strict policy.
 */
export function windowsOf(
  request: ChunkRequest,
  metadata: ChunkMetadata,
  pageSize: number,
  range: RunRange,
): Windows {
  const { startMs, endMs } = range
  const limited = request.limit !== undefined && { limit: request.limit }
  if (endMs === undefined || (startMs !== undefined && startMs >= endMs)) {
    return { chunks: [], total: 0, ...limited, ...(range.clamped && { clamped: range.clamped }) }
  }
  const cuts = startMs === undefined ? undefined : cutsOf(request, metadata, pageSize, startMs, endMs)
  const fit = withinMaxChunks(request, metadata, cuts ?? wholeCut(pageSize), range)
  const { from, total, limit, clamped } = fit
  const edge = (k: number) => (cuts ? cuts.edge(from + k) : undefined)
  const first = edge(0)
  return {
    total,
    chunks: cuts
      ? chunksOf(cuts, from, total, range.direction === 'backwards')
      : [{ index: 0, endMs, limit: pageSize }],
    endMs: edge(total) ?? endMs,
    ...(first !== undefined && { startMs: first }),
    ...(limit !== undefined && { limit }),
    ...(clamped && { clamped }),
  }
}

function chunksOf(cuts: Cuts, from: number, total: number, backwards: boolean): Iterable<ChunkPlan> {
  return {
    *[Symbol.iterator]() {
      for (let index = 0; index < total; index++) {
        const k = from + (backwards ? total - 1 - index : index)
        const startMs = cuts.edge(k)
        const endMs = cuts.edge(k + 1)
        yield { index, startMs, endMs, limit: cuts.limitOf(startMs, endMs) }
      }
    },
  }
}

function cutsOf(
  request: ChunkRequest,
  { policy }: ChunkMetadata,
  pageSize: number,
  startMs: EpochMs,
  endMs: EpochMs,
): Cuts {
  const { maxSpanMs = Number.POSITIVE_INFINITY } = policy
  const grid = gridOf(request, startMs)
  if (grid && grid.widthMs <= maxSpanMs) return gridCuts(grid, maxSpanMs, pageSize, startMs, endMs)
  const span = Math.min(maxSpanMs, endMs - startMs)
  return {
    total: Math.ceil((endMs - startMs) / span),
    edge: (k) => Math.min(startMs + k * span, endMs),
    limitOf: (from, to) => (grid ? Math.max(1, grid.count(from, to)) : pageSize),
    pointsMax: grid ? 1 : pageSize,
    onGrid: grid !== undefined,
  }
}

function gridCuts(grid: Grid, maxSpanMs: number, pageSize: number, startMs: EpochMs, endMs: EpochMs): Cuts {
  const bars = Math.min(pageSize, Math.floor(maxSpanMs / grid.widthMs))
  const firstOpen = grid.ceil(startMs)
  const tooLong = grid.shift(firstOpen, bars) - startMs > maxSpanMs
  const from = tooLong ? grid.shift(firstOpen, -1) : firstOpen
  const total = Math.max(1, Math.ceil(grid.count(from, endMs) / bars))
  return {
    total,
    edge: (k) => (k <= 0 ? startMs : k >= total ? endMs : grid.shift(from, k * bars)),
    limitOf: (from, to) => Math.max(1, grid.count(from, to)),
    pointsMax: bars,
    onGrid: true,
  }
}

/** One window without a start: the endpoint gives the newest points before the end. */
const wholeCut = (pageSize: number): Cuts => ({
  total: 1,
  edge: () => 0,
  limitOf: () => pageSize,
  pointsMax: pageSize,
  onGrid: false,
})

/** Which of the windows may be asked for: from which on, and how many. */
function withinMaxChunks(
  request: ChunkRequest,
  metadata: ChunkMetadata,
  { total, edge, pointsMax, onGrid }: Cuts,
  { direction, clamped }: RunRange,
): { from: number; total: number; limit?: number; clamped?: Clamp } {
  const { endpointId, policy } = metadata
  const { limit } = request
  const allowed = chunksMax(policy)
  const limitMax = allowed * pointsMax
  const tooMany = limit !== undefined && limit > limitMax && !(onGrid && total <= allowed)
  const kept = { ...(limit !== undefined && { limit }), ...(clamped && { clamped }) }
  if (total <= allowed && !tooMany) return { from: 0, total, ...kept }
  const count = Math.min(total, allowed)
  const from = direction === 'backwards' ? total - count : 0
  const permitted = `${iso(edge(from))} … ${iso(edge(from + count))}`
  if (policy.outOfRange !== 'clamp') {
    const needed = total > allowed ? total : Math.ceil((limit ?? 0) / pointsMax)
    throw new EverybarError(
      'chunking.too-many-chunks',
      `${endpointId}: the request needs ${needed} chunks, and ${allowed} of ${pointsMax} points are allowed`,
      {
        recovery: 'abort',
        hint: total > allowed ? `Ask within ${permitted}.` : `Ask for ${limitMax} points at most.`,
      },
    )
  }
  const cut: Clamp = {
    ...clamped,
    ...(count < total && (from > 0 ? { clampedFrom: edge(from) } : { clampedTo: edge(count) })),
    ...(tooMany && { clampedLimit: limitMax }),
  }
  return {
    from,
    total: count,
    clamped: cut,
    ...(limit !== undefined && { limit: Math.min(limit, limitMax) }),
  }
}
