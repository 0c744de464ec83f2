import { type ArchivedResponse, partsOf } from '../archive/archive.ts'
import {
  type CertifiedBars,
  type CertifiedSeries,
  type CertifiedSlice,
  rangeOf,
} from '../coverage/certificate.ts'
import { emptyBatch } from '../model/bar.ts'
import { isEverybarError } from '../model/errors.ts'
import { parseCompositeKey, type Slice, slice, sliceId } from '../model/slice.ts'
import { overlap, type TimeRange } from '../model/time.ts'
import type { Lake } from '../store/lake.ts'
import { digestOf } from './certify.ts'
import { StoreComparer } from './compare.ts'
import { knownEdge } from './edges.ts'
import { type Fault, type OnFault, repairHint } from './fault.ts'
import type { House, SeriesJob } from './house.ts'
import { settleable } from './slice-answers.ts'

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

type AgainstHouse = Pick<House, 'archive' | 'ledger'> & { readonly lake: Lake }

/** Answers looked at together. */
const GROUP = 256

/**
 * Compares what there is with what was certified: every certified answer has to be there still, as the current one or
 * as one that a newer has superseded, and every bar has to have the value it had. A file that was rewritten with the
 * same bars, because the month went on, is no difference. Names each answer, file and bar that differs.
 */
export async function verifyAgainst(
  house: AgainstHouse,
  job: SeriesJob,
  certified: CertifiedSeries,
): Promise<AgainstVerdict> {
  const faults: Fault[] = []
  const onFault: OnFault = (fault) => faults.push({ series: job.id, ...fault })
  const superseded = await compareSlices(house, job, certified, onFault)
  let rewritten = 0
  let bars = 0
  const whole = await wholeFiles(house.lake, certified)
  for (const part of certified.bars) {
    bars += part.bars
    if (whole.has(part.path)) continue
    if (await sameBars(house, job, certified, part, onFault)) rewritten++
  }
  const { slices, files } = certified
  const range = rangeOf(certified)
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

/** Paths of the files that are, byte for byte, what they were. */
async function wholeFiles(lake: Lake, { files }: CertifiedSeries): Promise<ReadonlySet<string>> {
  const whole = new Set<string>()
  for (const { path, sha256 } of files) if ((await lake.fileState(path))?.sha256 === sha256) whole.add(path)
  return whole
}

/** @returns slices whose certified answer has been superseded. */
async function compareSlices(
  { archive }: AgainstHouse,
  { folder }: SeriesJob,
  { slices }: CertifiedSeries,
  onFault: OnFault,
): Promise<number> {
  const kept = new Map<string, number>()
  for await (const { sliceId: id, version } of archive.list(folder))
    kept.set(id, Math.max(kept.get(id) ?? 0, version))
  let superseded = 0
  for (let at = 0; at < slices.length; at += GROUP) {
    const group = slices.slice(at, at + GROUP)
    const files = group.flatMap(({ key }) => {
      const id = sliceId(key)
      return Array.from({ length: (kept.get(id) ?? 0) + 1 }, (_, version) => ({ sliceId: id, version }))
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
async function sameBars(
  house: AgainstHouse,
  job: SeriesJob,
  certified: CertifiedSeries,
  part: CertifiedBars,
  onFault: OnFault,
): Promise<boolean> {
  const range = rangeOf(part)
  const { path } = part
  try {
    const digest = await digestOf(house.lake, job, range)
    if (digest.rows === part.bars && digest.hex() === part.sha256) return true
    const named = await nameBars(house, job, certified, range, onFault)
    if (named > 0) return false
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

/** Names every bar that is not what the certified answers say. @returns how many. */
async function nameBars(
  house: AgainstHouse,
  job: SeriesJob,
  certified: CertifiedSeries,
  range: TimeRange,
  onFault: OnFault,
): Promise<number> {
  let named = 0
  const comparer = new StoreComparer(house.lake, job.series, (fault) => {
    named++
    onFault({ ...fault, kind: 'certificate.bars-differ', hint: restatedHint })
  })
  let doneMs = range.startMs
  for (const one of slicesIn(job, certified.slices, range)) {
    const here = overlap(one.own.range, range)!
    await comparer.expect({ startMs: doneMs, endMs: here.startMs }, emptyBatch)
    doneMs = here.endMs
    const bars = await certifiedBarsOf(house, job, one)
    if (bars) await comparer.expect(here, bars)
  }
  await comparer.expect({ startMs: doneMs, endMs: range.endMs }, emptyBatch)
  return named
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
async function certifiedBarsOf({ archive, ledger }: AgainstHouse, job: SeriesJob, { own, certified }: Named) {
  const anchorMs = (await knownEdge({ ledger }, job, 'first-bar'))?.openTimeMs ?? undefined
  const wanted = [...(certified.older ?? []), certified.sha256]
  const answers = new Map<string, ArchivedResponse>()
  for (let version = 0; ; version++) {
    try {
      const answer = await archive.get(job.folder, own.id, version)
      if (!answer) break
      // A tail that has grown since was certified as it was then.
      for (const [n, { sha256 }] of partsOf(answer).entries())
        answers.set(sha256, answer.parts ? { ...answer, parts: answer.parts.slice(0, n + 1) } : answer)
    } catch (error) {
      if (!isEverybarError(error, 'archive.corrupt')) throw error
    }
  }
  const found = wanted.map((hash) => answers.get(hash))
  if (found.some((answer) => !answer)) return undefined
  return (await settleable(job, own, found as ArchivedResponse[], anchorMs)).bars
}
