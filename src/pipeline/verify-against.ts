import { type ArchivedResponse, partsOf } from '../archive/archive.ts'
import {
  type CertifiedBars,
  type CertifiedSeries,
  type CertifiedSlice,
  rangeOf,
} from '../coverage/certificate.ts'
import { openClasses } from '../coverage/gap-class.ts'
import { type BarBatch, emptyBatch } from '../model/bar.ts'
import { isEverybarError } from '../model/errors.ts'
import { lakePath } from '../model/lake.ts'
import { intersect, type RangeSet, subtract, toRangeSet } from '../model/range-set.ts'
import { parseCompositeKey, type Slice, slice, sliceId } from '../model/slice.ts'
import { overlap, type TimeRange } from '../model/time.ts'
import type { BarDigest } from '../store/digest.ts'
import type { Store } from '../store/store.ts'
import { digestOf, olderVersions, pendingMonths } from './certify.ts'
import { StoreComparer } from './compare.ts'
import { knownEdge } from './edges.ts'
import { type Fault, type OnFault, repairHint } from './fault.ts'
import type { House, SeriesJob } from './house.ts'
import { settleable } from './slice-answers.ts'
import type { VerifyHouse } from './verify.ts'
import { compareDeep } from './verify-deep.ts'

export interface AgainstVerdict {
  readonly series: string
  readonly range: TimeRange
  readonly slices: number
  /** Slices with a newer answer since; the certified one is kept beside it. */
  readonly superseded: number
  readonly files: number
  /** Files written anew since, with the very same bars. */
  readonly rewritten: number
  readonly bars: number
  readonly faults: readonly Fault[]
}

/** One series, its certificate, and what a comparison of the two needs again and again. */
interface Comparison {
  readonly house: VerifyHouse
  readonly job: SeriesJob
  readonly certified: CertifiedSeries
  /** Where bars were certified as not there yet: more may have come since. */
  readonly open: RangeSet
  /** Versions of superseded answers by slice, ascending. */
  readonly older: ReadonlyMap<string, readonly number[]>
  readonly onFault: OnFault
}

/** Answers looked at together. */
const GROUP = 256

/**
 * Compares what there is with what was certified: every certified answer has to be there still, as the current one or
 * as one that a newer has superseded, every bar has to have the value it had, and where none was none may be, but for
 * those that had not been answered yet. A file that was rewritten with the same bars, because the month went on, is no
 * difference. Names each answer, file and bar that differs.
 */
export async function verifyAgainst(
  house: VerifyHouse,
  job: SeriesJob,
  certified: CertifiedSeries,
): Promise<AgainstVerdict> {
  const faults: Fault[] = []
  const comparison: Comparison = {
    house,
    job,
    certified,
    open: toRangeSet(certified.gaps.filter((gap) => openClasses.has(gap.class)).map(rangeOf)),
    older: await olderVersions(house.archive, job.folder),
    onFault: (fault) => faults.push({ series: job.id, ...fault }),
  }
  const superseded = await compareSlices(comparison)
  const range = rangeOf(certified)
  const whole = await wholeFiles(comparison)
  let rewritten = 0
  let bars = 0
  for (const part of certified.bars) {
    bars += part.bars
    if (!whole.has(part.path) && (await sameBars(comparison, part))) rewritten++
  }
  for (const part of subtract([range], toRangeSet(certified.bars.map(rangeOf))))
    await compareEmpty(comparison, part)
  const { slices, files } = certified
  return {
    series: job.id,
    range,
    slices: slices.length,
    superseded,
    files: files.length,
    rewritten,
    bars,
    faults,
  }
}

/** Every hash the answers to a slice have had, oldest first: those of a tail that grew among them. */
export async function answerHistory(
  { archive }: Pick<House, 'archive'>,
  { folder }: SeriesJob,
  key: string,
): Promise<readonly string[]> {
  const id = sliceId(key)
  const versions = [...((await olderVersions(archive, folder)).get(id) ?? []), 0]
  const found = await archive.check(
    folder,
    versions.map((version) => ({ sliceId: id, version })),
  )
  return found.flatMap(({ answer, grewFrom = [] }) => (answer ? [...grewFrom, answer.sha256] : []))
}

/** Paths of the files that are, byte for byte, what they were, and to whose months no delta file adds. */
async function wholeFiles({ house: { lake }, job, certified }: Comparison): Promise<ReadonlySet<string>> {
  const whole = new Set<string>()
  if (!lake) return whole
  for (const { path, sha256 } of certified.files)
    if ((await lake.fileState(path))?.sha256 === sha256) whole.add(path)
  for (const { startMs } of await pendingMonths(lake, job)) whole.delete(lakePath(job.series, startMs))
  return whole
}

/** @returns slices whose certified answer has been superseded. */
async function compareSlices(comparison: Comparison): Promise<number> {
  const { house, job, certified, older: kept, onFault } = comparison
  const { archive } = house
  const { folder } = job
  const { slices } = certified
  let superseded = 0
  for (let at = 0; at < slices.length; at += GROUP) {
    const group = slices.slice(at, at + GROUP)
    const files = group.flatMap(({ key }) => {
      const id = sliceId(key)
      return [0, ...(kept.get(id) ?? [])].map((version) => ({ sliceId: id, version }))
    })
    const found = new Map<string, string[]>()
    for (const { sliceId: id, answer, grewFrom } of await archive.check(folder, files))
      if (answer) found.set(id, [...(found.get(id) ?? []), answer.sha256, ...(grewFrom ?? [])])
    for (const { key, sha256, older = [] } of group) {
      const id = sliceId(key)
      const hashes = found.get(id) ?? []
      const gone = [sha256, ...older].filter((one) => !hashes.includes(one))
      const path = archive.pathOf(folder, id)
      for (const one of gone) {
        const detail = `slice ${key}: the certified answer with sha256 ${one} is not there`
        onFault({ kind: 'certificate.slice-differs', path, sliceId: id, detail, hint: repairHint })
      }
      if (gone.length === 0 && hashes[0] !== sha256) superseded++
    }
  }
  return superseded
}

/** Compares the bars of one month by their digest; where that differs, the certified answers tell which. */
async function sameBars(comparison: Comparison, part: CertifiedBars): Promise<boolean> {
  const { house, job, open, onFault } = comparison
  const store = house.stores[0]!
  const range = rangeOf(part)
  const { path } = part
  const same = (digest: BarDigest) => digest.rows === part.bars && digest.hex() === part.sha256
  try {
    if (same(await digestOf(store, job, range))) return true
    const late = await compareLate(comparison, range)
    const digest = await digestOf(store, job, range, subtract([range], open))
    if (same(digest)) return late === 0
    if (late + (await nameBars(comparison, range)) > 0) return false
    const detail = `${digest.rows} bars with another digest; ${part.bars} were certified`
    onFault({ kind: 'certificate.bars-differ', path, range, detail, hint: restatedHint })
  } catch (error) {
    if (!isEverybarError(error, 'store.corrupt')) throw error
    onFault({ kind: 'certificate.bars-differ', path, range, detail: error.message, hint: repairHint })
  }
  return false
}

const restatedHint =
  'Run "everybar verify" to see whether something is damaged, and "everybar revisions" to see what the venue restated.'

/** Names every bar that stands where none was certified: months of that kind have no digest. */
async function compareEmpty(comparison: Comparison, range: TimeRange): Promise<void> {
  const { house, job, open } = comparison
  if (await isEmpty(house.stores[0]!, job, range)) return
  await compareLate(comparison, range)
  const { comparer } = comparerOf(comparison)
  for (const part of subtract([range], open)) await comparer.expect(part, emptyBatch)
}

async function isEmpty(store: Store, { series }: SeriesJob, range: TimeRange): Promise<boolean> {
  try {
    for await (const { length } of store.scan(series, range)) if (length > 0) return false
    return true
  } catch (error) {
    if (!isEverybarError(error, 'store.corrupt')) throw error
    return false // the comparer names the file
  }
}

/**
 * Holds bars that have come where they had not been answered yet against what was answered since: one that no answer
 * shows was put there. @returns how many were named.
 */
async function compareLate(comparison: Comparison, range: TimeRange): Promise<number> {
  const { house, job, open, onFault } = comparison
  const ranges = intersect([range], open)
  if (ranges.length === 0) return 0
  const anchorMs = await anchorOf(house, job)
  const skip = new Set<string>()
  for await (const { sliceId } of house.ledger.unstored(job.ref, house.stores[0]!.name, range))
    skip.add(sliceId)
  let named = 0
  const lateFault: OnFault = (fault) => {
    // What is still not there is as certified, and what the ledger says is for verify.
    if (!fault.kind.startsWith('store.') || fault.kind === 'store.bar-missing') return
    named++
    onFault({ ...fault, kind: 'certificate.bars-differ', hint: restatedHint })
  }
  await compareDeep(house, job, { ranges, anchorMs, skip, count: range, onFault: lateFault })
  return named
}

const anchorOf = async (house: VerifyHouse, job: SeriesJob) =>
  (await knownEdge(house, job, 'first-bar'))?.openTimeMs ?? undefined

function comparerOf({ house, job, onFault }: Comparison) {
  const told = { bars: 0 }
  const comparer = new StoreComparer(house.stores[0]!, job.series, (fault) => {
    told.bars++
    onFault({ ...fault, kind: 'certificate.bars-differ', hint: restatedHint })
  })
  return { comparer, told }
}

/** Names every bar that is not what the certified answers say, but for those that may have come since. @returns how many. */
async function nameBars(comparison: Comparison, range: TimeRange): Promise<number> {
  const { job, certified, open } = comparison
  const { comparer, told } = comparerOf(comparison)
  const expect = async (startMs: number, endMs: number, bars: BarBatch) => {
    for (const part of subtract(toRangeSet([{ startMs, endMs }]), open)) await comparer.expect(part, bars)
  }
  let doneMs = range.startMs
  for (const one of slicesIn(job, certified.slices, range)) {
    const { startMs, endMs } = overlap(one.own.range, range)!
    await expect(doneMs, startMs, emptyBatch)
    doneMs = endMs
    const bars = await certifiedBarsOf(comparison, one)
    if (bars) await expect(startMs, endMs, bars)
  }
  await expect(doneMs, range.endMs, emptyBatch)
  return told.bars
}

interface Named {
  readonly own: Slice
  readonly certified: CertifiedSlice
}

function* slicesIn(job: SeriesJob, slices: readonly CertifiedSlice[], range: TimeRange): Generator<Named> {
  for (const certified of slices) {
    const parsed = parseCompositeKey(certified.key)
    if (!parsed || !overlap(parsed.range, range)) continue
    yield { own: slice(job.series, job.source.spec.id, parsed.range, parsed.limit), certified }
  }
}

/** The bars the certified answers hold; `undefined` when one of them is not to be had. */
async function certifiedBarsOf({ house, job, older }: Comparison, { own, certified }: Named) {
  const wanted = [...(certified.older ?? []), certified.sha256]
  const answers: ArchivedResponse[] = []
  for (const version of [...(older.get(own.id) ?? []), 0]) {
    try {
      const answer = await house.archive.get(job.folder, own.id, version)
      if (!answer) continue
      // A tail that has grown since was certified as it was then.
      const parts = partsOf(answer)
      const end = 1 + parts.findLastIndex(({ sha256 }) => wanted.includes(sha256))
      if (end === 0) continue
      answers.push(answer.parts ? { ...answer, parts: parts.slice(0, end) } : answer)
      // Once each: a venue that goes back to an earlier answer is answered alike twice.
      for (const { sha256 } of parts.slice(0, end))
        if (wanted.includes(sha256)) wanted.splice(wanted.indexOf(sha256), 1)
    } catch (error) {
      if (!isEverybarError(error, 'archive.corrupt')) throw error
    }
  }
  if (wanted.length > 0) return undefined
  return (await settleable(job, own, answers, await anchorOf(house, job))).bars
}
