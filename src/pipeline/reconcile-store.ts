import type { StoreFacet } from '../ledger/ledger.ts'
import { type BarBatch, batchWithin, concatBatches } from '../model/bar.ts'
import { monthOf, type TimeRange } from '../model/time.ts'
import { BarDigest } from '../store/digest.ts'
import type { Store } from '../store/store.ts'
import { knownEdge } from './edges.ts'
import type { House, SeriesJob } from './house.ts'
import { readBack } from './read-back.ts'

/** One calendar month of a series in a store, held against the archive. */
export interface ReconciledMonth {
  readonly series: string
  readonly month: TimeRange
  /** Bars the archive has, and bars the store has. */
  readonly archived: number
  readonly stored: number
  /** Digests of both, by value: equal means every bar is the same. */
  readonly archivedDigest: string
  readonly storedDigest: string
  readonly same: boolean
  readonly repaired: boolean
}

export interface ReconcileOptions {
  /** Makes a month that differs hold exactly the archive's bars. */
  readonly repair: boolean
  readonly signal?: AbortSignal
}

/**
 * Compares a store with the archive month by month, and mends what differs. The archive is read once, the store once;
 * two months are held at a time. What is mended counts as stored in the ledger; what the store had too much is gone.
 */
export async function* reconcileStore(
  house: House,
  job: SeriesJob,
  store: Store,
  options: ReconcileOptions,
): AsyncGenerator<ReconciledMonth> {
  for await (const { month, bars, facets } of archivedMonths(house, job, options)) {
    const stored = await digestStored(store, job, month)
    const archived = new BarDigest().add(bars)
    const same = archived.rows === stored.rows && archived.hex() === stored.hex()
    const repaired = !same && options.repair
    const { files = [] } = repaired ? await store.replace(job.series, month, bars, options.signal) : {}
    if (options.repair && facets.length + files.length > 0)
      await house.ledger.recordStored(job.ref, store.name, facets, files)
    yield {
      series: job.id,
      month,
      archived: archived.rows,
      stored: stored.rows,
      archivedDigest: archived.hex(),
      storedDigest: stored.hex(),
      same,
      repaired,
    }
  }
}

/**
 * Makes a store hold exactly what the archive holds, month by month, without reading what it holds now: damage there is
 * no obstacle. With a range, the months it touches. No request.
 *
 * @returns months written.
 */
export async function rebuildStore(
  house: ArchiveHouse,
  job: SeriesJob,
  store: Store,
  options: { readonly range?: TimeRange; readonly signal?: AbortSignal } = {},
): Promise<readonly TimeRange[]> {
  const months: TimeRange[] = []
  for await (const { month, bars, facets } of archivedMonths(house, job, options)) {
    const { files } = await store.replace(job.series, month, bars, options.signal)
    await house.ledger.recordStored(job.ref, store.name, facets, files)
    months.push(month)
  }
  return months
}

export interface ArchivedMonth {
  readonly month: TimeRange
  readonly bars: BarBatch
  /** Slices that end in this month: with it they are settled whole. */
  readonly facets: readonly StoreFacet[]
}

type ArchiveHouse = Pick<House, 'archive' | 'ledger' | 'onEvent'>

/** The bars of the archive by calendar month, ascending, also months between two that have none. Holds two months. */
export async function* archivedMonths(
  house: ArchiveHouse,
  job: SeriesJob,
  options: { readonly range?: TimeRange; readonly signal?: AbortSignal } = {},
): AsyncGenerator<ArchivedMonth> {
  const anchorMs = (await knownEdge(house, job, 'first-bar'))?.openTimeMs ?? undefined
  const range = options.range && wholeMonths(options.range)
  let month = range && monthOf(range.startMs)
  let waiting: BarBatch[] = []
  let facets: { readonly range: TimeRange; readonly facet: StoreFacet }[] = []
  const close = (done: TimeRange): ArchivedMonth => {
    const bars = concatBatches(waiting)
    const ended = facets.filter((one) => one.range.endMs <= done.endMs)
    waiting = [batchWithin(bars, { startMs: done.endMs, endMs: Number.MAX_SAFE_INTEGER })]
    facets = facets.filter((one) => one.range.endMs > done.endMs)
    // A slice that begins before these months is not settled whole with them.
    const settled = ended.filter((one) => !range || one.range.startMs >= range.startMs)
    return { month: done, bars: batchWithin(bars, done), facets: settled.map(({ facet }) => facet) }
  }
  for await (const record of house.ledger.slices(job.ref, range)) {
    options.signal?.throwIfAborted()
    if (record.sha256 === null) continue
    const acquired = await readBack(house, job, record, anchorMs)
    if (!acquired) continue
    month ??= monthOf(record.range.startMs)
    while (month.endMs <= record.range.startMs) {
      yield close(month)
      month = monthOf(month.endMs)
    }
    waiting.push(acquired.bars)
    const facet = { sliceId: record.sliceId, sha256: record.sha256, rows: acquired.bars.length }
    facets.push({ range: record.range, facet })
  }
  const more = (next: TimeRange) =>
    range ? next.startMs < range.endMs : facets.length > 0 || waiting.some(({ length }) => length > 0)
  while (month && more(month)) {
    yield close(month)
    month = monthOf(month.endMs)
  }
}

const wholeMonths = (range: TimeRange): TimeRange => ({
  startMs: monthOf(range.startMs).startMs,
  endMs: monthOf(range.endMs - 1).endMs,
})

async function digestStored(store: Store, job: SeriesJob, month: TimeRange): Promise<BarDigest> {
  const digest = new BarDigest()
  for await (const batch of store.scan(job.series, month)) digest.add(batch)
  return digest
}
