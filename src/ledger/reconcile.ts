import type { Ledger, LedgerSeries } from './ledger.ts'

/** What of an archive the comparison needs; a folder of an `Archive` fits. */
export interface ArchiveListing {
  /** A word that stands while no answer appears, is replaced or vanishes. */
  readonly stamp: () => Promise<string | undefined>
  readonly list: () => AsyncIterable<{ readonly sliceId: string; readonly version: number }>
}

export interface Reconciled {
  /** Slices whose answer is gone: the ledger knows them no more, so they are fetched again. */
  readonly forgotten: number
  /** Slices with an answer and no record: archived just before a crash, or put there by hand. To be read and recorded. */
  readonly unrecorded: readonly string[]
  /** Recorded slices that were answered more than once: a ledger that was put back may know an earlier answer only. */
  readonly answeredAgain: readonly string[]
}

const FACT = 'archive-listing'

/**
 * Brings the ledger level with what lies in the archive, by names only. Nothing is listed while the archive's stamp is
 * the one `markReconciled` has noted, so a series that nobody touched costs one look. Deleting a series folder resets
 * the series.
 *
 * Holds the ids of one series in memory, about 100 bytes a slice.
 */
export async function reconcile(
  ledger: Ledger,
  series: LedgerSeries,
  archive: ArchiveListing,
): Promise<Reconciled> {
  const noted = await ledger.getFact(series, FACT)
  if (noted && noted.stamp === ((await archive.stamp()) ?? null))
    return { forgotten: 0, unrecorded: [], answeredAgain: [] }
  const present = new Set<string>()
  const again = new Set<string>()
  for await (const { sliceId, version } of archive.list()) (version === 0 ? present : again).add(sliceId)
  const gone: string[] = []
  const answeredAgain: string[] = []
  for await (const sliceId of ledger.answeredIds(series)) {
    if (!present.delete(sliceId)) gone.push(sliceId)
    else if (again.has(sliceId)) answeredAgain.push(sliceId)
  }
  const unrecorded: string[] = []
  for (const sliceId of await withoutHash(ledger, series)) {
    if (present.delete(sliceId)) unrecorded.push(sliceId)
    else gone.push(sliceId)
  }
  if (gone.length > 0) await ledger.forget(series, gone)
  for (const sliceId of present) if (!(await ledger.get(series, sliceId))) unrecorded.push(sliceId)
  return { forgotten: gone.length, unrecorded, answeredAgain }
}

/**
 * Slices that are said to be answered, but not with which answer: a manifest in the plain schema was made the ledger. No
 * store would ever be given their bars.
 */
async function withoutHash(ledger: Ledger, series: LedgerSeries): Promise<readonly string[]> {
  const ids: string[] = []
  const { pending: _, failed: __, ...answered } = await ledger.counts(series)
  let left = Object.values(answered).reduce((sum, count) => sum + count, 0)
  for await (const _ of ledger.answeredIds(series)) left--
  if (left === 0) return ids
  for await (const { sliceId, status, sha256 } of ledger.slices(series))
    if (sha256 === null && status in answered) ids.push(sliceId)
  return ids
}

/** Has the next `reconcile` list the answers whatever was noted. */
export const forgetReconciled = (ledger: Ledger, series: LedgerSeries): Promise<void> =>
  ledger.putFact(series, FACT, {})

/**
 * Notes that the ledger has a record of every answer in the archive. Called when a series is done and none of its
 * answers waits to be recorded. A crash before it costs one listing by the next run.
 */
export async function markReconciled(
  ledger: Ledger,
  series: LedgerSeries,
  archive: Pick<ArchiveListing, 'stamp'>,
): Promise<void> {
  const stamp = (await archive.stamp()) ?? null
  const noted = await ledger.getFact(series, FACT)
  if (noted?.stamp !== stamp) await ledger.putFact(series, FACT, { stamp })
}
