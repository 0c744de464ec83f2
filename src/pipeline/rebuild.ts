import type { ArchivedFile } from '../archive/archive.ts'
import { parseCompositeKey } from '../model/slice.ts'
import { adoptArchive, noteAdopted, recordFor } from './adopt.ts'
import { knownEdge } from './edges.ts'
import { levelEvidence } from './evidence.ts'
import type { House, SeriesJob } from './house.ts'
import { sliceAnswered } from './own-slice.ts'

/** Answers looked at, and records written, together. */
const GROUP = 256

/**
 * Makes a series' part of the ledger again from its folder in the archive: facts and what was asked for from the
 * evidence, every record from the answers. A slice that was never answered is not known any more, and a folder of answers
 * that are all of another series makes none known. No request.
 *
 * @returns slices recorded.
 */
export async function rebuildRecords(house: House, job: SeriesJob, signal?: AbortSignal): Promise<number> {
  if (await holdsOthersOnly(house, job)) return 0
  await levelEvidence(house, job)
  const anchorMs = (await knownEdge(house, job, 'first-bar'))?.openTimeMs ?? undefined
  const ids = await idsByTime(house, job)
  for (let at = 0; at < ids.length; at += GROUP) {
    signal?.throwIfAborted()
    const group = ids.slice(at, at + GROUP)
    const found = []
    for (const id of group) found.push(await recordFor(house, job, id, anchorMs))
    await house.ledger.record(
      job.ref,
      found.filter((record) => record !== undefined),
    )
  }
  await adoptArchive(house, job)
  await noteAdopted(house, job)
  return ids.length
}

/** Whether a folder holds answers of other series and none of its own: it was copied. A damaged one says nothing. */
export async function holdsOthersOnly({ archive }: Pick<House, 'archive'>, job: SeriesJob): Promise<boolean> {
  const files: ArchivedFile[] = []
  for await (const file of archive.list(job.folder)) files.push(file)
  let others = 0
  for (let at = 0; at < files.length; at += GROUP) {
    for (const { sliceId, answer } of await archive.check(job.folder, files.slice(at, at + GROUP))) {
      if (!answer) continue
      if ((await sliceAnswered(job, answer.meta))?.id === sliceId) return false
      others++
    }
  }
  return others > 0
}

/** Ids of the slices with an answer that is whole, by time. */
async function idsByTime({ archive }: House, { folder }: SeriesJob): Promise<readonly string[]> {
  const listed = new Set<string>()
  for await (const { sliceId } of archive.list(folder)) listed.add(sliceId)
  const all = [...listed].map((sliceId) => ({ sliceId, version: 0 }))
  const timed: { readonly sliceId: string; readonly startMs: number }[] = []
  for (let at = 0; at < all.length; at += GROUP) {
    for (const { sliceId, answer } of await archive.check(folder, all.slice(at, at + GROUP))) {
      const startMs = answer && parseCompositeKey(answer.meta.sliceKey)?.range.startMs
      if (startMs !== undefined) timed.push({ sliceId, startMs })
    }
  }
  return timed.sort((a, b) => a.startMs - b.startMs).map(({ sliceId }) => sliceId)
}
