import type { StoreFacet } from '../ledger/ledger.ts'
import { type BarBatch, batchWithin, concatBatches } from '../model/bar.ts'
import { monthOf, type TimeRange } from '../model/time.ts'
import { BarDigest } from '../store/digest.ts'
import type { Store } from '../store/store.ts'
import { knownEdge } from './edges.ts'
import type { House, SeriesJob } from './house.ts'
import { readBack } from './replay.ts'

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
  for await (const { month, bars, facets } of archivedMonths(house, job, options.signal)) {
    const stored = await digestStored(store, job, month)
    const archived = new BarDigest().add(bars)
    const same = archived.rows === stored.rows && archived.hex() === stored.hex()
    const repaired = !same && options.repair
    if (repaired) await store.replace(job.series, month, bars, options.signal)
    if (options.repair && facets.length > 0) await house.ledger.recordStored(job.ref, store.name, facets)
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

interface ArchivedMonth {
  readonly month: TimeRange
  readonly bars: BarBatch
  /** Slices that end in this month: with it they are settled whole. */
  readonly facets: readonly StoreFacet[]
}

async function* archivedMonths(
  house: House,
  job: SeriesJob,
  signal?: AbortSignal,
): AsyncGenerator<ArchivedMonth> {
  const anchorMs = (await knownEdge(house, job, 'first-bar'))?.openTimeMs ?? undefined
  let month: TimeRange | undefined
  let waiting: BarBatch[] = []
  let facets: { readonly endMs: number; readonly facet: StoreFacet }[] = []
  const close = (done: TimeRange): ArchivedMonth => {
    const bars = concatBatches(waiting)
    const ended = facets.filter(({ endMs }) => endMs <= done.endMs)
    waiting = [batchWithin(bars, { startMs: done.endMs, endMs: Number.MAX_SAFE_INTEGER })]
    facets = facets.filter(({ endMs }) => endMs > done.endMs)
    return { month: done, bars: batchWithin(bars, done), facets: ended.map(({ facet }) => facet) }
  }
  for await (const record of house.ledger.slices(job.ref)) {
    signal?.throwIfAborted()
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
    facets.push({ endMs: record.range.endMs, facet })
  }
  while (month && (facets.length > 0 || waiting.some(({ length }) => length > 0))) {
    yield close(month)
    month = monthOf(month.endMs)
  }
}

async function digestStored(store: Store, job: SeriesJob, month: TimeRange): Promise<BarDigest> {
  const digest = new BarDigest()
  for await (const batch of store.scan(job.series, month)) digest.add(batch)
  return digest
}
