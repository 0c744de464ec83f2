import type { ArchivedResponse } from '../archive/archive.ts'
import { type GapRun, openClasses } from '../coverage/classify.ts'
import { expectedBars } from '../coverage/expected.ts'
import type { SliceRecord } from '../ledger/ledger.ts'
import { emptyBatch } from '../model/bar.ts'
import { isEverybarError } from '../model/errors.ts'
import { type Slice, slice, sliceRangeAt } from '../model/slice.ts'
import { overlap, type TimeRange } from '../model/time.ts'
import { type Fault, type OnFault, StoreComparer } from './compare.ts'
import { knownEdge } from './edges.ts'
import { gapsOf } from './gaps.ts'
import { gridOf, type House, type SeriesJob } from './house.ts'
import { type Acquired, settleable } from './run-slice.ts'

export interface Verdict {
  readonly series: string
  readonly range: TimeRange
  /** Bars expected of a market that never closes, from the venue's first bar on. */
  readonly expected: number
  /** Bars stored. */
  readonly present: number
  readonly gaps: readonly GapRun[]
  /** Corruption. The first thousand are told. */
  readonly faults: readonly Fault[]
  readonly faultCount: number
  /** Slices whose answer a store has not settled yet: a run was interrupted. */
  readonly unsettled: number
  /** No fault, nothing unsettled, and every missing bar's absence is settled. */
  readonly complete: boolean
  readonly slicesChecked: number
  readonly barsChecked: number
}

type VerifyHouse = Pick<House, 'archive' | 'ledger' | 'stores' | 'sources'>

const FAULTS_MAX = 1_000

/**
 * Proves a series from stored bytes: every archived answer is read, hashed and decoded again; what it says is compared
 * with the ledger and, bar for bar, with the first store. No request, nothing written. Holds a month and a slice.
 */
export async function verifySeries(
  house: VerifyHouse,
  job: SeriesJob,
  range: TimeRange,
  onProgress: (slices: number) => void = () => {},
): Promise<Verdict> {
  const faults: Fault[] = []
  let faultCount = 0
  const onFault: OnFault = (fault) => {
    if (faultCount++ < FAULTS_MAX) faults.push({ series: job.id, ...fault })
  }
  const anchorMs = (await knownEdge(house, job, 'first-bar'))?.openTimeMs ?? undefined
  const store = house.stores[0]!
  const comparer = new StoreComparer(store, job.series, onFault)
  const unsettled = await unsettledIds(house, job, range)
  const whole = wholeSlices(job, range)
  let doneMs = whole.startMs
  let slicesChecked = 0
  let present = 0
  for await (const record of house.ledger.slices(job.ref, range)) {
    await comparer.expect({ startMs: doneMs, endMs: record.range.startMs }, emptyBatch)
    const own = slice(job.series, job.source.spec.id, record.range, record.limit)
    const read = await readSlice(house, job, own, record, anchorMs, onFault)
    if (record.sha256 === null) await comparer.expect(record.range, emptyBatch)
    else if (read && !unsettled.has(record.sliceId)) await comparer.expect(record.range, read.bars)
    present += countWithin(read, range)
    doneMs = record.range.endMs
    onProgress(++slicesChecked)
  }
  await comparer.expect({ startMs: doneMs, endMs: whole.endMs }, emptyBatch)
  const unrecorded = await unrecordedAnswers(house, job)
  const gaps = await gapsOf(house, job, range)
  const open = gaps.some((gap) => openClasses.has(gap.class))
  return {
    series: job.id,
    range,
    expected: expectedFrom(job, range, anchorMs),
    present,
    gaps,
    faults,
    faultCount,
    unsettled: unsettled.size + unrecorded,
    complete: faultCount === 0 && unsettled.size + unrecorded === 0 && !open,
    slicesChecked,
    barsChecked: comparer.barsRead,
  }
}

/** Reads a slice's answers back and holds them against the ledger. `undefined` when they cannot be trusted. */
async function readSlice(
  house: VerifyHouse,
  job: SeriesJob,
  own: Slice,
  record: SliceRecord,
  anchorMs: number | undefined,
  onFault: OnFault,
): Promise<Acquired | undefined> {
  if (record.sha256 === null) return undefined
  const answers = await answersOf(house, job, record, onFault)
  if (!answers) return undefined
  const read = await settleable(job, own, answers, anchorMs)
  const differs = differenceOf(record, read.record)
  if (differs) {
    const path = house.archive.pathOf(job.folder, record.sliceId)
    const hint = 'Run "everybar rebuild --ledger" to make the ledger again from the archive.'
    onFault({ kind: 'ledger.differs', path, detail: `slice ${record.key}: ${differs}`, hint })
  }
  return read
}

async function answersOf(
  { archive }: VerifyHouse,
  job: SeriesJob,
  record: SliceRecord,
  onFault: OnFault,
): Promise<ArchivedResponse[] | undefined> {
  const answers: ArchivedResponse[] = []
  const path = archive.pathOf(job.folder, record.sliceId)
  const hint = 'Run "everybar repair" to fetch the slice again.'
  try {
    for (let version = 1; ; version++) {
      const older = await archive.get(job.folder, record.sliceId, version)
      if (!older) break
      answers.push(older)
    }
    const current = await archive.get(job.folder, record.sliceId)
    if (!current)
      onFault({ kind: 'archive.missing', path, detail: `slice ${record.key}: its answer is gone`, hint })
    else if (current.sha256 !== record.sha256) {
      const detail = `slice ${record.key}: the answer is not the one the ledger knows`
      onFault({ kind: 'archive.differs', path, detail, hint })
    } else return [...answers, current]
  } catch (error) {
    if (!isEverybarError(error, 'archive.corrupt')) throw error
    onFault({ kind: 'archive.corrupt', path: error.path ?? path, detail: error.message, hint })
  }
  return undefined
}

function differenceOf(record: SliceRecord, read: SliceRecord): string | undefined {
  const fields = [
    'status',
    'httpStatus',
    'items',
    'firstMs',
    'lastMs',
    'venueTimeMs',
    'completedAtMs',
    'error',
  ] as const
  for (const field of fields) {
    if (record[field] !== read[field]) return `${field} is ${record[field]}, the archive says ${read[field]}`
  }
  const same = JSON.stringify(record.findings) === JSON.stringify(read.findings)
  return same ? undefined : 'its findings are not what the archive shows'
}

/** Answers a store has not settled in their current version. */
async function unsettledIds(house: VerifyHouse, job: SeriesJob, range: TimeRange): Promise<Set<string>> {
  const ids = new Set<string>()
  for await (const { sliceId } of house.ledger.unstored(job.ref, house.stores[0]!.name, range))
    ids.add(sliceId)
  return ids
}

/** Answers that were archived just before a crash: the next run takes them in. */
async function unrecordedAnswers({ archive, ledger }: VerifyHouse, job: SeriesJob): Promise<number> {
  const ids = new Set<string>()
  for await (const { sliceId, version } of archive.list(job.folder)) if (version === 0) ids.add(sliceId)
  if (ids.size === 0) return 0
  for await (const { sliceId } of ledger.slices(job.ref)) ids.delete(sliceId)
  return ids.size
}

const wholeSlices = (job: SeriesJob, range: TimeRange): TimeRange => ({
  startMs: sliceRangeAt(job.slices, range.startMs).startMs,
  endMs: sliceRangeAt(job.slices, range.endMs - 1).endMs,
})

function countWithin(read: Acquired | undefined, range: TimeRange): number {
  if (!read) return 0
  let count = 0
  for (const ms of read.bars.openTimeMs) if (ms >= range.startMs && ms < range.endMs) count++
  return count
}

function expectedFrom(job: SeriesJob, range: TimeRange, anchorMs: number | undefined): number {
  const listed = overlap(range, { startMs: anchorMs ?? 0, endMs: range.endMs })
  return listed ? expectedBars(gridOf(job, anchorMs), listed) : 0
}
