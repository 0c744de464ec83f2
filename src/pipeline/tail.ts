import type { SliceRecord } from '../ledger/ledger.ts'
import { EverybarError } from '../model/errors.ts'
import type { TimeRange } from '../model/time.ts'
import { askEdge, knownEdge } from './edges.ts'
import type { House, SeriesJob } from './house.ts'

/**
 * A range whose last answers were empty: has the instrument stopped trading, or has the venue stopped answering? Its
 * latest bar tells. Where that bar lies before the empty answers, it is kept as the evidence that trading stopped. Where
 * it lies after them, or there is none, the empty answers are no evidence: they are marked failed, to be asked again.
 *
 * @returns the contradiction, or `undefined` when all is well.
 */
export async function judgeTail(
  house: House,
  job: SeriesJob,
  range: TimeRange,
): Promise<EverybarError | undefined> {
  const { tail, lastMs } = await emptyTail(house, job, range)
  const known = await knownEdge(house, job, 'last-bar')
  if (tail.length === 0) {
    if (known?.openTimeMs != null && lastMs !== null && lastMs > known.openTimeMs) await forgetEnd(house, job)
    return undefined
  }
  const edge = await askEdge(house, job, 'last-bar')
  if (!edge) return undefined
  if (edge.openTimeMs !== null && edge.openTimeMs < tail[0]!.range.startMs) return undefined
  const error = new EverybarError(
    'sync.contradiction',
    `${job.id}: empty answers, though the venue has bars there`,
    {
      recovery: 'retry',
      hint: 'Its empty answers are no evidence and will be asked again. If it stays so, the venue or a proxy is at fault.',
    },
  )
  const failed = tail.map((record) => ({
    ...record,
    status: 'failed' as const,
    error: `${error.code}: ${error.message}`,
  }))
  await house.ledger.record(job.ref, failed)
  return error
}

/** The slices at the end of a range that were answered with nothing, and the last bar before them. */
async function emptyTail(house: House, job: SeriesJob, range: TimeRange) {
  let tail: SliceRecord[] = []
  let lastMs: number | null = null
  for await (const record of house.ledger.slices(job.ref, range)) {
    if (record.status === 'empty' || (record.status === 'partial' && record.lastMs === null))
      tail.push(record)
    else {
      tail = []
      if (record.lastMs !== null) lastMs = record.lastMs
    }
  }
  return { tail, lastMs }
}

const forgetEnd = (house: House, job: SeriesJob) =>
  house.ledger.putFact(job.ref, 'last-bar', {
    openTimeMs: null,
    askedAtMs: house.clock.nowMs(),
    url: '',
    answer: '',
  })
