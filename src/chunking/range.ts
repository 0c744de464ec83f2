import { EverybarError } from '../model/errors.ts'
import { type EpochMs, iso } from '../model/time.ts'
import type { ChunkMetadata } from './definitions.ts'
import { gridOf } from './grid.ts'
import type { ChunkRequest, ChunkRun, Clamp } from './plan.ts'

/** What a request by time covers, and from which end. Nothing at all where both times are absent or equal. */
export interface RunRange {
  /** Absent where the endpoint is asked for the newest points before `endMs`, however far back they reach. */
  readonly startMs?: EpochMs
  readonly endMs?: EpochMs
  readonly direction: ChunkRun['direction']
  readonly clamped?: Clamp
}

/**
 * Settles both ends of a request: what it says, within what the endpoint serves, and where it says nothing, counted
 * from the other end by the limit, or now.
 */
export function rangeOf(
  request: ChunkRequest,
  metadata: ChunkMetadata,
  nowMs: EpochMs | undefined,
): RunRange {
  const { limit, startMs, endMs } = request
  if (limit === 0 || (startMs !== undefined && startMs === endMs)) return { direction: 'forwards' }
  const served = withinServed(request, metadata)
  const { earliestMs, latestMs } = metadata.policy.serves ?? {}
  const asked = { ...request, ...served }
  const end = served.endMs ?? least(nowMs, latestMs)
  const backwards =
    startMs === undefined &&
    limit !== undefined &&
    !(endMs === undefined && metadata.policy.limitOnly === 'forwards')
  const { clamped } = served
  const range = backwards
    ? { direction: 'backwards' as const, ...backFrom(asked, metadata, end) }
    : { direction: 'forwards' as const, ...onFrom(asked, metadata, served.startMs ?? earliestMs, end) }
  return clamped ? { ...range, clamped } : range
}

function onFrom(
  request: ChunkRequest,
  metadata: ChunkMetadata,
  startMs: EpochMs | undefined,
  endMs: EpochMs | undefined,
): { startMs: EpochMs; endMs: EpochMs } {
  if (startMs === undefined) throw startRequired(metadata)
  const grid = gridOf(request, startMs)
  const counted =
    grid && request.limit !== undefined ? grid.shift(grid.ceil(startMs), request.limit) : undefined
  const end = least(endMs, counted)
  if (end === undefined) throw endRequired(metadata)
  return { startMs, endMs: end }
}

function backFrom(
  request: ChunkRequest & { readonly limit?: number },
  metadata: ChunkMetadata,
  endMs: EpochMs | undefined,
): { startMs?: EpochMs; endMs: EpochMs } {
  if (endMs === undefined) throw endRequired(metadata)
  const { maxSpanMs, requiresStartTime, serves } = metadata.policy
  const grid = gridOf(request, endMs)
  const earliest = serves?.earliestMs ?? 0
  if (grid) {
    const first = grid.shift(grid.ceil(endMs), -(request.limit ?? 0))
    return { startMs: Math.min(Math.max(first, earliest), endMs), endMs }
  }
  return maxSpanMs === undefined && !requiresStartTime
    ? { endMs }
    : { startMs: Math.min(earliest, endMs), endMs }
}

interface Ends {
  readonly startMs?: EpochMs
  readonly endMs?: EpochMs
  readonly clamped?: Clamp
}

/** The ends a request names. */
export const endsOf = ({ startMs, endMs }: ChunkRequest): Ends => ({
  ...(startMs !== undefined && { startMs }),
  ...(endMs !== undefined && { endMs }),
})

/**
 * The ends a request names, trimmed where the endpoint does not serve them.
 *
 * @throws EverybarError `chunking.out-of-range` (abort) with a strict policy.
 */
export function withinServed(request: ChunkRequest, { endpointId, policy }: ChunkMetadata): Ends {
  const { startMs, endMs } = request
  const { earliestMs = 0, latestMs = Number.POSITIVE_INFINITY } = policy.serves ?? {}
  const bound = (ms: EpochMs) => Math.min(Math.max(ms, earliestMs), latestMs)
  const from = startMs === undefined ? undefined : bound(startMs)
  const to = endMs === undefined ? undefined : bound(endMs)
  const ends = { ...(from !== undefined && { startMs: from }), ...(to !== undefined && { endMs: to }) }
  if (from === startMs && to === endMs) return ends
  if (policy.outOfRange !== 'clamp') {
    const permitted = `${iso(earliestMs)} … ${Number.isFinite(latestMs) ? iso(latestMs) : 'now'}`
    const asked = `${startMs === undefined ? '…' : iso(startMs)} … ${endMs === undefined ? 'now' : iso(endMs)}`
    throw new EverybarError(
      'chunking.out-of-range',
      `${endpointId}: asked for ${asked}, but only ${permitted} is served`,
      { recovery: 'abort', hint: `Ask within ${permitted}, or use a clamp policy.` },
    )
  }
  return {
    ...ends,
    clamped: {
      ...(from !== undefined && from !== startMs && { clampedFrom: from }),
      ...(to !== undefined && to !== endMs && { clampedTo: to }),
    },
  }
}

const least = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined ? b : b === undefined ? a : Math.min(a, b)

export function startRequired({ endpointId }: ChunkMetadata): EverybarError {
  return new EverybarError('chunking.start-required', `${endpointId}: nothing tells where to start`, {
    recovery: 'abort',
    hint: 'Give startMs, or a limit to count back from the end.',
  })
}

function endRequired({ endpointId }: ChunkMetadata): EverybarError {
  return new EverybarError('chunking.end-required', `${endpointId}: nothing tells where to end`, {
    recovery: 'abort',
    hint: 'Give endMs, or hand the planner a clock.',
  })
}
