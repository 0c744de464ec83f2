import type { GapRun } from '../coverage/classify.ts'
import { expectedBars } from '../coverage/expected.ts'
import { openClasses } from '../coverage/gap-class.ts'
import { type RangeSet, subtract, toRangeSet, union } from '../model/range-set.ts'
import { wholeSlices } from '../model/slice.ts'
import { overlap, type TimeRange } from '../model/time.ts'
import type { Lake } from '../store/lake.ts'
import { knownEdge } from './edges.ts'
import { checkEvidence } from './evidence.ts'
import type { Fault, OnFault } from './fault.ts'
import { gapsOf } from './gaps.ts'
import { gridOf, type House, type SeriesJob } from './house.ts'
import { checkAnswers } from './verify-answers.ts'
import { compareDeep } from './verify-deep.ts'
import { checkFiles, compareGaps, scanGaps } from './verify-files.ts'

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
  /** Slices and facts that the ledger or a store does not know in their current form: a run was interrupted. */
  readonly unsettled: number
  /** Slices of which the archive has more than the ledger knows. */
  readonly behind: readonly string[]
  /** No fault, nothing unsettled, and every missing bar's absence is settled. */
  readonly complete: boolean
  readonly slicesChecked: number
  /** Archived answers and files of the store that were hashed. */
  readonly filesChecked: number
  readonly barsChecked: number
}

export type VerifyHouse = Pick<House, 'archive' | 'ledger' | 'stores' | 'sources' | 'onEvent'> & {
  /** The lake, where it is one of the stores: it can be proved by its files. Any other first store is read bar for bar. */
  readonly lake?: Lake | undefined
}

export interface VerifyOptions {
  /** Decode every answer again and compare bar for bar, although no hash gives cause to. */
  readonly deep?: boolean
  readonly onProgress?: (slices: number) => void
  /** Gets every fault, also those past the thousand a verdict tells. */
  readonly onFault?: OnFault
}

const FAULTS_MAX = 1_000

/** So often a verdict with faults is reached anew because somebody wrote meanwhile. */
const TRIES = 3

/**
 * Proves a series from stored bytes. Every archived answer and every month file is read and hashed; the hashes have to
 * be those the ledger noted, and the gaps in the lake those the ledger explains. That proves that nothing has changed
 * since it was written; `deep` proves too that what was written is what the answers say. No request, nothing written.
 */
export async function verifySeries(
  house: VerifyHouse,
  job: SeriesJob,
  range: TimeRange,
  options: VerifyOptions = {},
): Promise<Verdict> {
  for (let tries = 1; ; tries++) {
    const before = await stateOf(house, job)
    const found: Fault[] = []
    const verdict = await verifyOnce(house, job, range, { ...options, onFault: (fault) => found.push(fault) })
    const stood = found.length === 0 || tries >= TRIES || (await stateOf(house, job)) === before
    if (!stood) continue
    for (const fault of found) options.onFault?.(fault)
    return { ...verdict, faults: found.slice(0, FAULTS_MAX), faultCount: found.length }
  }
}

/** A word that changes while somebody writes to the series. */
async function stateOf(
  { ledger, archive, stores }: VerifyHouse,
  { ref, folder }: SeriesJob,
): Promise<string> {
  const files: unknown[] = []
  for await (const file of ledger.storedFiles(ref, stores[0]!.name)) files.push(file.sha256)
  return JSON.stringify([await ledger.revision(ref), await archive.stamp(folder), files])
}

async function verifyOnce(
  house: VerifyHouse,
  job: SeriesJob,
  range: TimeRange,
  options: VerifyOptions & { readonly onFault: OnFault },
): Promise<Verdict> {
  let faultCount = 0
  const onFault: OnFault = (fault) => {
    faultCount++
    options.onFault({ series: job.id, ...fault })
  }
  const { onProgress = () => {} } = options
  const anchorMs = (await knownEdge(house, job, 'first-bar'))?.openTimeMs ?? undefined
  const whole = wholeSlices(job.slices, range)
  const waiting = await unsettledSlices(house, job, whole)
  const waitingRanges = toRangeSet(waiting.map((one) => one.range))
  const gaps = await gapsOf(house, job, range)
  const { lake } = house
  // Threads hash the answers while this one sees to the lake.
  const [answers, inLake] = await Promise.all([
    checkAnswers(house, job, whole, { onFault, onProgress }),
    lake && checkLake({ ...house, lake }, job, { range, whole, anchorMs, unsettled: waitingRanges, onFault }),
  ])
  const unsettled = union(waitingRanges, toRangeSet(answers.behindRanges))
  const skipped = new Set([...waiting.map(({ sliceId }) => sliceId), ...answers.behind, ...answers.faulty])
  const files = inLake?.files
  const deep = options.deep === true || !files || files.unlisted
  if (inLake) {
    const {
      files: { doubtful, compare },
      scan,
    } = inLake
    // Bars that are compared with their answers below need not be looked for here.
    const compared = answers.faulty.size === 0 ? compare : []
    const skip = deep ? [whole] : union(unsettled, union(doubtful, compared))
    const explained = deep ? gaps : [...gaps, ...(await gapsBeside(house, job, whole, range))]
    compareGaps(job, range, scan, { gaps: explained, anchorMs, skip, onFault })
  }
  const ranges = deep ? [whole] : files.compare
  const read = await compareDeep(house, job, { ranges, anchorMs, skip: skipped, count: range, onFault })
  const present = inLake?.scan.present ?? read.present
  const facts = await checkEvidence(house, job, onFault)
  const elsewhere = await behindElsewhere(house, job, whole)
  const behind = waiting.length + answers.behind.size + facts + elsewhere
  return {
    series: job.id,
    range,
    expected: expectedFrom(job, range, anchorMs),
    present,
    gaps,
    faults: [],
    faultCount,
    unsettled: behind,
    behind: [...answers.behind],
    complete: faultCount === 0 && behind === 0 && !gaps.some((gap) => openClasses.has(gap.class)),
    slicesChecked: answers.slices,
    filesChecked: answers.files + (files?.files ?? 0),
    barsChecked: Math.max(present, read.bars),
  }
}

async function checkLake(
  house: Pick<House, 'ledger'> & { readonly lake: Lake },
  job: SeriesJob,
  options: {
    readonly range: TimeRange
    readonly whole: TimeRange
    readonly anchorMs: number | undefined
    readonly unsettled: RangeSet
    readonly onFault: OnFault
  },
) {
  const { range, whole, anchorMs, unsettled, onFault } = options
  const files = await checkFiles(house, job, whole, unsettled, onFault)
  const scan = await scanGaps(house.lake, job, files, { range: whole, counted: range, anchorMs })
  return { files, scan }
}

/** Gaps in the rest of the outermost slices: what was answered beyond the range is in the lake as well. */
async function gapsBeside(house: VerifyHouse, job: SeriesJob, whole: TimeRange, range: TimeRange) {
  const gaps: GapRun[] = []
  for (const part of subtract([whole], [range])) gaps.push(...(await gapsOf(house, job, part)))
  return gaps
}

/** Answers that stores beside the first have not settled. What those hold is for `reconcile` to compare. */
async function behindElsewhere({ ledger, stores }: VerifyHouse, job: SeriesJob, range: TimeRange) {
  let count = 0
  for (const { name } of stores.slice(1)) for await (const _ of ledger.unstored(job.ref, name, range)) count++
  return count
}

/** Answers the first store has not settled in their current version. */
async function unsettledSlices({ ledger, stores }: VerifyHouse, job: SeriesJob, range: TimeRange) {
  const slices: { readonly sliceId: string; readonly range: TimeRange }[] = []
  for await (const record of ledger.unstored(job.ref, stores[0]!.name, range))
    slices.push({ sliceId: record.sliceId, range: record.range })
  return slices
}

function expectedFrom(job: SeriesJob, range: TimeRange, anchorMs: number | undefined): number {
  const listedRange = overlap(range, { startMs: anchorMs ?? 0, endMs: range.endMs })
  return listedRange ? expectedBars(gridOf(job, anchorMs), listedRange) : 0
}
