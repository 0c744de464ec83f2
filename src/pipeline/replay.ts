import type { SliceRecord } from '../ledger/ledger.ts'
import { isEverybarError } from '../model/errors.ts'
import { slice } from '../model/slice.ts'
import type { TimeRange } from '../model/time.ts'
import type { Store } from '../store/store.ts'
import { knownEdge } from './edges.ts'
import type { House, SeriesJob } from './house.ts'
import { type Settled, Settler } from './settle.ts'
import { type Acquired, olderAnswers, settleable } from './slice-answers.ts'

export interface Replayed extends Settled {
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
  let slices = 0
  for await (const record of house.ledger.unstored(job.ref, store.name, options.range)) {
    if (options.signal?.aborted || settler.stuck) break
    if (options.asked?.aborted && slices >= SLICES_A_TURN) break
    const acquired = await readBack(house, job, record, anchorMs)
    if (!acquired) continue
    await settler.add(acquired)
    slices++
  }
  const settled = await settler.finish()
  if (slices > 0) house.onEvent({ event: 'replayed', series: job.id, store: store.name, slices })
  return { ...settled, slices }
}

/** An archived slice as it was when it came; `undefined`, and a word in the log, when its file is gone or damaged. */
export async function readBack(
  house: Pick<House, 'archive' | 'onEvent'>,
  job: SeriesJob,
  record: SliceRecord,
  anchorMs: number | undefined,
): Promise<Acquired | undefined> {
  try {
    const current = await house.archive.get(job.folder, record.sliceId)
    if (!current) return undefined
    const own = slice(job.series, job.source.spec.id, record.range, record.limit)
    const answers = [...(await olderAnswers(house, job, record.sliceId)), current]
    const acquired = await settleable(job, own, answers, anchorMs)
    return { ...acquired, record: { ...acquired.record, sha256: record.sha256 } }
  } catch (error) {
    if (!isEverybarError(error, 'archive.corrupt')) throw error
    house.onEvent({ event: 'archive_corrupt', level: 'error', series: job.id, message: error.message })
    return undefined
  }
}
