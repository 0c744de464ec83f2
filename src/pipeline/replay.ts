import type { TimeRange } from '../model/time.ts'
import type { Store } from '../store/store.ts'
import { knownEdge } from './edges.ts'
import type { House, SeriesJob } from './house.ts'
import { readBack } from './read-back.ts'
import { type Settled, Settler } from './settle.ts'

export interface Replayed extends Settled {
  /** Those the store has taken. */
  readonly slices: number
}

export interface ReplayOptions {
  /** All there is, without one. */
  readonly range?: TimeRange
  /** Once aborted nothing more is read. */
  readonly signal?: AbortSignal
  /** Once aborted nothing more is read either, but for the first few: whoever gives way gets somewhere first. */
  readonly asked?: AbortSignal
}

const SLICES_A_TURN = 16

/**
 * archived − stored: settles what a store lacks, from archived bytes, with no request. A store that was just added
 * gets everything; one that is level gets nothing and costs one query.
 */
export async function replay(
  house: House,
  job: SeriesJob,
  store: Store,
  options: ReplayOptions = {},
): Promise<Replayed> {
  const settler = new Settler(house, job, { stores: [store], recordSlices: false })
  const anchorMs = (await knownEdge(house, job, 'first-bar'))?.openTimeMs ?? undefined
  let read = 0
  for await (const record of house.ledger.unstored(job.ref, store.name, options.range)) {
    if (options.signal?.aborted || settler.stuck) break
    if (options.asked?.aborted && read >= SLICES_A_TURN) break
    const acquired = await readBack(house, job, record, anchorMs)
    if (!acquired) continue
    await settler.add(acquired)
    read++
  }
  const settled = await settler.finish()
  const slices = settled.slicesStored
  if (slices > 0) house.onEvent({ event: 'replayed', series: job.id, store: store.name, slices })
  return { ...settled, slices }
}
