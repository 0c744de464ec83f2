import type { StoreFacet } from '../ledger/ledger.ts'
import { type BarBatch, batchWithin, concatBatches, emptyBatch } from '../model/bar.ts'
import type { EverybarError } from '../model/errors.ts'
import { type EpochMs, monthOf, overlap, type TimeRange, timeRange } from '../model/time.ts'
import { BarDigest } from '../store/digest.ts'
import type { CommitResult, Store } from '../store/store.ts'
import { knownEdge } from './edges.ts'
import type { House, SeriesJob } from './house.ts'
import { readBack } from './read-back.ts'
import { Refusals } from './set-aside.ts'

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
  /** Whether it is the same now: not where the store refused a bar. */
  readonly repaired: boolean
}

export interface ReconcileOptions {
  /** Makes a month that differs hold exactly the archive's bars. */
  readonly repair: boolean
  readonly signal?: AbortSignal
}

/**
 * Compares a store with the archive month by month, and mends what differs. The archive is read once, the store once;
 * two months are held at a time. What is mended counts as stored in the ledger; what the store had too much is gone,
 * also in months the archive knows nothing of; not what it once had and has lost.
 */
export async function* reconcileStore(
  house: House,
  job: SeriesJob,
  store: Store,
  options: ReconcileOptions,
): AsyncGenerator<ReconciledMonth> {
  const refusals = new Refusals(house, job, store)
  for await (const { month, bars, facets, isLast } of monthsOfBoth(house, job, store, options)) {
    const stored = await digestStored(store, job, month)
    const archived = new BarDigest().add(bars)
    const same = archived.rows === stored.rows && archived.hex() === stored.hex()
    const mends = !same && options.repair && !isLast
    const result: Partial<CommitResult> = mends
      ? await store.replace(job.series, month, bars, options.signal)
      : {}
    await refusals.note(result.setAside)
    if (options.repair)
      await house.ledger.recordStored(job.ref, store.name, refusals.without(facets), result.files)
    yield {
      series: job.id,
      month,
      archived: archived.rows,
      stored: stored.rows,
      archivedDigest: archived.hex(),
      storedDigest: stored.hex(),
      same,
      repaired: mends && (result.setAside ?? []).length === 0,
    }
  }
}

export interface RebuildOptions {
  /** The months it touches; all without one. */
  readonly range?: TimeRange
  /** Also empties months the archive has nothing of, which the store has to be asked for. */
  readonly strays?: boolean
  /** Thrown where an answer cannot be read, before its month is written; such answers are passed over without it. */
  readonly unreadable?: EverybarError
  readonly signal?: AbortSignal
}

/**
 * Makes a store hold exactly what the archive holds, month by month, without reading what it holds now: damage there is
 * no obstacle. No request. Slices of bars it refuses are left to `replay`.
 *
 * @returns months written.
 */
export async function rebuildStore(
  house: ArchiveHouse,
  job: SeriesJob,
  store: Store,
  options: RebuildOptions = {},
): Promise<readonly TimeRange[]> {
  const months: TimeRange[] = []
  const refusals = new Refusals(house, job, store)
  const found: AsyncIterable<StrayMonth> = options.strays
    ? monthsOfBoth(house, job, store, options)
    : archivedMonths(house, job, options)
  for await (const { month, bars, facets, isLast } of found) {
    if (isLast) continue
    const { files, setAside } = await store.replace(job.series, month, bars, options.signal)
    await refusals.note(setAside)
    await house.ledger.recordStored(job.ref, store.name, refusals.without(facets), files)
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

/** A month with bars in the store only. */
interface StrayMonth extends ArchivedMonth {
  /** The answers its bars came from are lost, or nobody knows: they stay where they are, since nothing else has them. */
  readonly isLast?: boolean
}

/** The months of the archive, and before and after them those only the store has bars in, ascending. */
async function* monthsOfBoth(
  house: ArchiveHouse,
  job: SeriesJob,
  store: Store,
  options: { readonly signal?: AbortSignal },
): AsyncGenerator<StrayMonth> {
  const extent = await store.extent(job.series)
  const stored = extent && timeRange(extent.firstMs, extent.lastMs + 1)
  let doneMs = 0
  const upTo = (endMs: EpochMs) =>
    stored && doneMs < endMs ? overlap(stored, { startMs: doneMs, endMs }) : undefined
  for await (const archived of archivedMonths(house, job, options)) {
    yield* strayMonths(house, job, store, upTo(archived.month.startMs))
    yield archived
    doneMs = archived.month.endMs
  }
  const hasNone = doneMs === 0
  for await (const stray of strayMonths(house, job, store, upTo(Number.MAX_SAFE_INTEGER)))
    yield hasNone ? { ...stray, isLast: true } : stray
}

/** Their bars are read once to find them, since most months of a long range may have none. */
async function* strayMonths(
  { ledger }: ArchiveHouse,
  { series, ref }: SeriesJob,
  store: Store,
  range: TimeRange | undefined,
): AsyncGenerator<StrayMonth> {
  if (!range) return
  const starts = new Set<EpochMs>()
  for await (const { openTimeMs } of store.scan(series, range))
    for (const atMs of openTimeMs) starts.add(monthOf(atMs).startMs)
  for (const startMs of starts) {
    const month = monthOf(startMs)
    let isLast = false
    for await (const { sha256 } of ledger.slices(ref, month)) isLast ||= sha256 !== null
    yield { month, bars: emptyBatch, facets: [], isLast }
  }
}

/** The bars of the archive by calendar month, ascending, also months between two that have none. Holds two months. */
export async function* archivedMonths(
  house: ArchiveHouse,
  job: SeriesJob,
  options: Pick<RebuildOptions, 'range' | 'unreadable' | 'signal'> = {},
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
    if (!acquired && options.unreadable) throw options.unreadable
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
