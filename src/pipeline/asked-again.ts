import type { SliceRecord } from '../ledger/ledger.ts'
import { isEverybarError } from '../model/errors.ts'
import type { RangeSet } from '../model/range-set.ts'
import { slice } from '../model/slice.ts'
import { followOn, linkIn } from './answer-chain.ts'
import { knownEdge } from './edges.ts'
import type { House, SeriesJob } from './house.ts'
import { olderAnswers, settleable } from './slice-answers.ts'

/*
 * A slice that is asked for once more has an answer and a record already. When a run is killed between the new answer
 * and its record, no listing of names shows it. So the ledger is told beforehand where such slices lie, and the next run
 * looks at their answers.
 */
const FACT = 'asking-again'

/** Notes where slices are about to be asked for once more; nowhere, once all of them are recorded. */
export async function noteAsking({ ledger }: Pick<House, 'ledger'>, job: SeriesJob, ranges: RangeSet) {
  const noted = (await ledger.getFact(job.ref, FACT))?.ranges as RangeSet | undefined
  if (JSON.stringify(noted ?? []) !== JSON.stringify(ranges)) await ledger.putFact(job.ref, FACT, { ranges })
}

/** Takes in the newer answers that a killed run had archived and not recorded. */
export async function levelAskedAgain(house: House, job: SeriesJob): Promise<void> {
  const ranges = ((await house.ledger.getFact(job.ref, FACT))?.ranges ?? []) as RangeSet
  if (ranges.length === 0) return
  const anchorMs = (await knownEdge(house, job, 'first-bar'))?.openTimeMs ?? undefined
  const newer: SliceRecord[] = []
  for (const range of ranges) {
    for await (const record of house.ledger.slices(job.ref, range)) {
      const now = await newerRecord(house, job, record, anchorMs)
      if (now) newer.push(now)
    }
  }
  if (newer.length > 0) await house.ledger.record(job.ref, newer)
  house.onEvent({ event: 'archive_adopted', series: job.id, adopted: newer.length, forgotten: 0 })
  await noteAsking(house, job, [])
}

/** What the archive says of a slice, where that is newer than what the ledger says. */
export async function newerRecord(
  house: House,
  job: SeriesJob,
  known: SliceRecord,
  anchorMs: number | undefined,
): Promise<SliceRecord | undefined> {
  if (known.sha256 === null) return undefined
  try {
    const current = await house.archive.get(job.folder, known.sliceId)
    if (!current) return undefined
    const { meta, sha256 } = current
    if (sha256 === known.sha256 && meta.venueTimeMs === known.venueTimeMs) return undefined
    if (meta.venueTimeMs < (known.venueTimeMs ?? 0)) return undefined // verify names it
    const own = slice(job.series, job.source.spec.id, known.range, known.limit)
    const answers = [...(await olderAnswers(house, job, known.sliceId, current)), current]
    if (!followOn(answers.map(linkIn), known.sha256)) return undefined // the same
    return (await settleable(job, own, answers, anchorMs)).record
  } catch (error) {
    if (!isEverybarError(error, 'archive.corrupt')) throw error
    return undefined // verify names it
  }
}
