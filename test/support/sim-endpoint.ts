import type { Bounds, ChunkCall, ChunkEndpoint, ChunkPage, ChunkPolicy } from '../../src/chunking/index.ts'

export interface SimPoint {
  readonly timestamp: number
  /** Tells points of one time apart. */
  readonly id?: number
}

export interface SimOptions {
  /** All the venue has, ascending. */
  readonly truth: readonly SimPoint[]
  readonly policy: ChunkPolicy
  readonly bounds?: Bounds
  readonly order?: 'ascending' | 'descending'
  readonly keeps?: 'oldest' | 'newest'
  /** Points an answer holds at most, whatever limit was asked for. */
  readonly cap?: number | undefined
  /** Sends every n-th point twice. */
  readonly duplicateEvery?: number | undefined
  /** Adds the point before the start (the one after the end, where the newest are kept). */
  readonly overlap?: boolean
  /** Adds points from far outside the window. */
  readonly stray?: boolean
  /** Whether what is added takes room from what was asked for. */
  readonly extrasCount?: boolean
}

const bothInclusive: Bounds = { start: 'inclusive', end: 'inclusive' }

/** An endpoint in memory that answers by its parameters alone, as a venue does, with the faults it is given. */
export function simEndpoint(options: SimOptions) {
  const { truth, policy, bounds = bothInclusive, order = 'ascending' } = options
  const keeps = options.keeps ?? (order === 'ascending' ? 'oldest' : 'newest')
  const calls: ChunkCall[] = []
  const endpoint: ChunkEndpoint = {
    id: 'sim.points',
    chunkPolicy: policy,
    chunkHint: {},
    bounds,
    order,
    ...(options.keeps && { keeps: options.keeps }),
  }

  const fetchPage = async (call: ChunkCall): Promise<ChunkPage<SimPoint>> => {
    calls.push(call)
    const start = call.params.start_time as number | undefined
    const end = call.params.end_time as number | undefined
    const limit = call.params.limit as number
    const fromStart = (t: number) =>
      start === undefined || (bounds.start === 'inclusive' ? t >= start : t > start)
    const toEnd = (t: number) => end === undefined || (bounds.end === 'inclusive' ? t <= end : t < end)
    const room = Math.min(limit, options.cap ?? Number.POSITIVE_INFINITY)
    const oldest = keeps === 'oldest' && start !== undefined

    let matching = truth.filter(({ timestamp: t }) => fromStart(t) && toEnd(t))
    if (options.duplicateEvery) {
      const every = options.duplicateEvery
      matching = matching.flatMap((point, i) => (i % every === 0 ? [point, point] : [point]))
    }
    const extras: SimPoint[] = []
    if (options.overlap) {
      const beside = oldest
        ? truth.findLast(({ timestamp }) => !fromStart(timestamp))
        : truth.find(({ timestamp }) => !toEnd(timestamp))
      if (beside) extras.push(beside)
    }
    const left = Math.max(0, options.extrasCount ? room - extras.length : room)
    const answer = oldest ? matching.slice(0, left) : matching.slice(Math.max(0, matching.length - left))
    if (options.stray && truth.length > 0) extras.push({ timestamp: truth.at(-1)!.timestamp + 9e8 })
    const points = [...extras, ...answer].sort((a, b) => a.timestamp - b.timestamp)
    return { points: order === 'ascending' ? points : points.reverse() }
  }
  return { endpoint, fetchPage, calls }
}
