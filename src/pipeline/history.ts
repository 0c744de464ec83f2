import { partsOf } from '../archive/archive.ts'
import type { SliceRecord } from '../ledger/ledger.ts'
import { type BarBatch, concatBatches, emptyBatch } from '../model/bar.ts'
import { slice as sliceOf } from '../model/slice.ts'
import type { EpochMs, TimeRange } from '../model/time.ts'
import { knownEdge } from './edges.ts'
import type { House, SeriesJob } from './house.ts'
import { type Revision, revisionsBetween } from './revisions.ts'
import { olderAnswers, settleable } from './slice-answers.ts'

/** A revision, and when each value was seen. */
export interface DatedRevision extends Revision {
  readonly series: string
  /** Local clock: when the old value was fetched, and when the new one was. */
  readonly wasSeenAtMs: EpochMs
  readonly seenAtMs: EpochMs
}

type HistoryHouse = Pick<House, 'archive' | 'ledger' | 'onEvent'>

/** Every restated bar of a series that opens in `range`, ascending by slice and answer, from the archived answers. */
export async function* revisionsOf(
  house: HistoryHouse,
  job: SeriesJob,
  range: TimeRange,
): AsyncGenerator<DatedRevision> {
  for await (const record of house.ledger.notable(job.ref, range)) {
    if (!record.findings.some(({ kind }) => kind === 'revised')) continue
    let before = emptyBatch
    let beforeMs = 0
    for (const { bars, seenAtMs } of await answersTo(house, job, record)) {
      for (const revision of revisionsBetween(before, bars)) {
        if (revision.openTimeMs < range.startMs || revision.openTimeMs >= range.endMs) continue
        yield { ...revision, series: job.id, wasSeenAtMs: beforeMs, seenAtMs }
      }
      before = bars
      beforeMs = seenAtMs
    }
  }
}

/**
 * What was known at `asOfMs`: the slices whose present answer is younger, each with the bars its older answers gave by
 * then (none, where it had not been asked). Every other slice is as the store has it.
 */
export async function* knownBy(
  house: HistoryHouse,
  job: SeriesJob,
  asOfMs: EpochMs,
): AsyncGenerator<{ readonly range: TimeRange; readonly bars: BarBatch }> {
  for await (const record of house.ledger.slices(job.ref)) {
    if (record.sha256 === null || (record.completedAtMs ?? 0) <= asOfMs) continue
    const known = (await answersTo(house, job, record)).filter(({ seenAtMs }) => seenAtMs <= asOfMs)
    yield { range: record.range, bars: known.at(-1)?.bars ?? emptyBatch }
  }
}

/** The answers to a slice, oldest first, each with the bars known once it had come. */
async function answersTo(house: HistoryHouse, job: SeriesJob, record: SliceRecord) {
  const anchorMs = (await knownEdge(house, job, 'first-bar'))?.openTimeMs ?? undefined
  const current = await house.archive.get(job.folder, record.sliceId)
  const answers = current ? [...(await olderAnswers(house, job, record.sliceId, current)), current] : []
  const own = sliceOf(job.series, job.source.spec.id, record.range, record.limit)
  let bars = emptyBatch
  const known: { readonly bars: BarBatch; readonly seenAtMs: EpochMs }[] = []
  for (const answer of answers.flatMap(partsOf)) {
    // An answer that came again unchanged was first seen when it first came.
    const seenAtMs = answer.meta.firstFetchedAtMs ?? answer.meta.fetchedAtMs
    bars = concatBatches([bars, (await settleable(job, own, [answer], anchorMs)).bars])
    known.push({ bars, seenAtMs })
  }
  return known
}
