import type { Ledger, SliceRecord } from '../ledger/ledger.ts'
import { forgetExported } from '../ledger/manifest-export.ts'
import { type ArchiveListing, markReconciled, type Reconciled, reconcile } from '../ledger/reconcile.ts'
import { isEverybarError } from '../model/errors.ts'
import { levelAskedAgain, newerRecord } from './asked-again.ts'
import { knownEdge } from './edges.ts'
import { levelEvidence } from './evidence.ts'
import type { House, SeriesJob } from './house.ts'
import { sliceAnswered } from './own-slice.ts'
import { olderAnswers, settleable } from './slice-answers.ts'

/**
 * Brings the ledger level with what lies in the archive. Answers that were archived just before a crash are taken in
 * without asking again; slices whose answer was deleted are forgotten, and so are fetched again.
 */
export async function adoptArchive(house: House, job: SeriesJob): Promise<void> {
  await levelEvidence(house, job)
  await levelAskedAgain(house, job)
  const found = await reconcile(house.ledger, job.ref, listingOf(house, job))
  const { forgotten, unrecorded } = found
  const answeredAgain = await olderThanKnown(house, job, found)
  if (forgotten + unrecorded.length + answeredAgain.length === 0) return
  const anchorMs = (await knownEdge(house, job, 'first-bar'))?.openTimeMs ?? undefined
  const records = await newerOf(house, job, answeredAgain, anchorMs)
  for (const sliceId of unrecorded) {
    const record = await recordFor(house, job, sliceId, anchorMs)
    if (record) records.push(record)
  }
  if (records.length > 0) await house.ledger.record(job.ref, records)
  await noteKept(house, job)
  if (forgotten + unrecorded.length + records.length === 0) return
  house.onEvent({ event: 'archive_adopted', series: job.id, adopted: records.length, forgotten })
}

/** What the archive has newer than the ledger of slices that were answered more than once. */
async function newerOf(
  house: House,
  job: SeriesJob,
  sliceIds: readonly string[],
  anchorMs: number | undefined,
): Promise<SliceRecord[]> {
  const records: SliceRecord[] = []
  for (const sliceId of sliceIds) {
    const known = await house.ledger.get(job.ref, sliceId)
    const newer = known && (await newerRecord(house, job, known, anchorMs))
    if (newer) records.push(newer)
  }
  return records
}

const KEPT = 'kept-since'

/** Recorded slices the archive may have newer answers of: where another keeper had the ledger meanwhile, all of them. */
async function olderThanKnown(
  house: House,
  job: SeriesJob,
  { answeredAgain }: Reconciled,
): Promise<readonly string[]> {
  const isFirst = isFirstLook(house, job)
  if (!(await hadAnotherKeeper(house, job))) return isFirst ? answeredAgain : []
  const ids: string[] = []
  for await (const sliceId of house.ledger.answeredIds(job.ref)) ids.push(sliceId)
  return ids
}

async function hadAnotherKeeper({ ledger, keeperSinceMs = 0 }: House, { ref }: SeriesJob): Promise<boolean> {
  if (keeperSinceMs === 0) return false
  return (await ledger.getFact(ref, KEPT))?.sinceMs !== keeperSinceMs
}

/** Notes that the records of a series are level with what the archive has, whoever had the ledger before. */
async function noteKept(house: House, job: SeriesJob): Promise<void> {
  if (!(await hadAnotherKeeper(house, job))) return
  await forgetExported(house.ledger, job.ref)
  await house.ledger.putFact(job.ref, KEPT, { sinceMs: house.keeperSinceMs })
}

const looked = new WeakMap<Ledger, Set<string>>()

/** A ledger is put back while nobody has it open: to look once after it was opened is enough. */
function isFirstLook({ ledger }: House, { id }: SeriesJob): boolean {
  const ids = looked.get(ledger) ?? new Set<string>()
  looked.set(ledger, ids)
  if (ids.has(id)) return false
  ids.add(id)
  return true
}

/** Notes that the ledger knows every answer, so that the next run need not list them. */
export const noteAdopted = (house: House, job: SeriesJob): Promise<void> =>
  markReconciled(house.ledger, job.ref, listingOf(house, job))

const listingOf = ({ archive }: House, { folder }: SeriesJob): ArchiveListing => ({
  stamp: () => archive.stamp(folder),
  list: () => archive.list(folder),
})

/** What the archive says of a slice; `undefined` when its answer is gone, damaged or none of this series. */
export async function recordFor(
  house: Pick<House, 'archive' | 'onEvent'>,
  job: SeriesJob,
  sliceId: string,
  anchorMs: number | undefined,
) {
  try {
    const current = await house.archive.get(job.folder, sliceId)
    const own = current && (await sliceAnswered(job, current.meta))
    if (!own || own.id !== sliceId) return undefined // none of ours
    const answers = [...(await olderAnswers(house, job, sliceId, current)), current]
    return (await settleable(job, own, answers, anchorMs)).record
  } catch (error) {
    if (!isEverybarError(error, 'archive.corrupt')) throw error
    house.onEvent({ event: 'archive_corrupt', level: 'error', series: job.id, message: error.message })
    return undefined // fetched again; the damaged file gives way to the new answer
  }
}
