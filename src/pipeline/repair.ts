import type { SliceRecord } from '../ledger/ledger.ts'
import { forgetReconciled } from '../ledger/reconcile.ts'
import { type EverybarError, isEverybarError } from '../model/errors.ts'
import { type RangeSet, subtract, toRangeSet } from '../model/range-set.ts'
import { type Slice, slice } from '../model/slice.ts'
import { monthOf, type TimeRange } from '../model/time.ts'
import { adoptArchive, noteAdopted, recordFor } from './adopt.ts'
import { firstBar, knownEdge } from './edges.ts'
import { mendEvidence, noteLost, withoutEnding } from './evidence.ts'
import type { Fault } from './fault.ts'
import { fetchMissing } from './fetch-missing.ts'
import type { House, SeriesJob } from './house.ts'
import { costOf } from './plan-series.ts'
import { rebuildStore } from './reconcile-store.ts'
import { replay } from './replay.ts'
import type { Signals } from './sync.ts'
import type { Venues } from './venue-clock.ts'

/** What repair will do for one series: only what its faults name. */
export interface SeriesRepair {
  readonly job: SeriesJob
  /** Slices asked for again: their answer is gone, damaged or another. */
  readonly fetch: readonly Slice[]
  readonly weight: number
  /** Records made again from the archive. */
  readonly record: readonly string[]
  /** Calendar months settled again from the archive. */
  readonly months: RangeSet
  /** Files that are damaged or not where they belong, moved out of the way, relative to the root. */
  readonly setAside: readonly string[]
  /** Damaged answers: a copy is kept, and the file stays until a new answer replaces it. */
  readonly copy: readonly string[]
  /** Where a file belongs: a folder or a device that stands there is taken out of the way. */
  readonly places: readonly string[]
  /** Older answers that are gone for good, by slice and number. */
  readonly lost: readonly { readonly sliceId: string; readonly version: number; readonly path: string }[]
  /** Whether evidence is written again, from the ledger or the other way round. */
  readonly evidence: boolean
}

/** Moves files below the root. */
export interface Mover {
  /** Takes a file out of the way, to be looked at; nothing where there is none. */
  readonly setAside: (path: string) => Promise<void>
  /** Keeps a copy where `setAside` would move it. */
  readonly copyAside: (path: string) => Promise<void>
  /** Takes what stands at a file's place and is no file out of the way, to be looked at. */
  readonly makeRoom: (path: string) => Promise<void>
  readonly rename: (from: string, to: string) => Promise<void>
}

const answerPath = /\/responses\/([0-9a-f]{32})(?:\.(\d+))?\.json/

/** Reads faults as deeds. Asks the ledger for the slices they name; writes nothing. */
export async function planRepair(
  { ledger }: Pick<House, 'ledger'>,
  job: SeriesJob,
  faults: readonly Fault[],
): Promise<SeriesRepair> {
  const fetch = new Map<string, Slice>()
  const record = new Set<string>()
  const setAside = new Set<string>()
  const copy = new Set<string>()
  const lost = new Map<string, SeriesRepair['lost'][number]>()
  const ranges: TimeRange[] = []
  const places = new Set<string>()
  let evidence = false
  for (const { kind, path = '', sliceId, range } of faults) {
    if (/^(archive|store)\.(corrupt|file-missing)$/.test(kind)) places.add(path)
    if (range) ranges.push(range)
    if (kind === 'store.file-unknown') setAside.add(path)
    if (kind === 'ledger.differs' && sliceId) record.add(sliceId)
    if (path.includes('/evidence/')) evidence = true
    const [, , number] = answerPath.exec(path) ?? []
    if (!kind.startsWith('archive.') || !sliceId) continue
    const known = await ledger.get(job.ref, sliceId)
    const own = known && sliceOf(job, known)
    if (number !== undefined) {
      if (kind === 'archive.corrupt') setAside.add(path)
      lost.set(path, { sliceId, version: Number(number), path })
      record.add(sliceId)
    } else if (own?.id !== sliceId) setAside.add(path)
    else {
      if (kind === 'archive.differs') setAside.add(path)
      if (kind === 'archive.corrupt') copy.add(path)
      fetch.set(sliceId, own)
    }
  }
  const slices = [...fetch.values()].sort((a, b) => a.range.startMs - b.range.startMs)
  return {
    job,
    fetch: slices,
    weight: costOf(job, toRangeSet(slices.map((one) => one.range))).weight,
    record: [...record].filter((id) => !fetch.has(id)),
    months: toRangeSet(ranges.map(wholeMonths)),
    setAside: [...setAside],
    copy: [...copy],
    places: [...places],
    lost: [...lost.values()],
    evidence,
  }
}

const sliceOf = (job: SeriesJob, { range, limit }: SliceRecord): Slice =>
  slice(job.series, job.source.spec.id, range, limit)

const wholeMonths = (range: TimeRange): TimeRange => ({
  startMs: monthOf(range.startMs).startMs,
  endMs: monthOf(range.endMs - 1).endMs,
})

/**
 * Does what was planned, in the order of a bar's way: archive, ledger, store. Takes in on the way what an interrupted
 * run has left. Repeating it is harmless. What the venue does not give again stays a fault, for verify to name; the bars
 * the store has of it stay too.
 *
 * @returns why slices could not be fetched, one error of each kind.
 */
export async function mendSeries(
  house: House,
  venues: Venues,
  plan: SeriesRepair,
  mover: Mover,
  signals: Signals,
): Promise<readonly EverybarError[]> {
  const { job } = plan
  for (const path of plan.places) await mover.makeRoom(path)
  for (const path of plan.setAside) await mover.setAside(path)
  for (const path of plan.copy) await mover.copyAside(path)
  await closeRanks(house, plan, mover)
  await mendEvidence(house, job)
  const problems = await fetchAgain(house, venues, plan, signals)
  const open = await stillOpen(house, plan)
  if (open.length === 0) {
    await forgetReconciled(house.ledger, job.ref)
    await adoptArchive(house, job)
  }
  await recordAgain(house, plan)
  for (const range of subtract(plan.months, toRangeSet(open.map(wholeMonths))))
    await rebuildStore(house, job, house.stores[0]!, { range })
  for (const store of house.stores) await replay(house, job, store, { signal: signals.stop })
  if (open.length === 0) await noteAdopted(house, job)
  return problems
}

/** Where answers that were to be fetched again are still not whole. */
async function stillOpen({ archive, ledger }: House, { job, fetch }: SeriesRepair): Promise<TimeRange[]> {
  const open: TimeRange[] = []
  for (const { id, range } of fetch) {
    const [one] = await archive.check(job.folder, [{ sliceId: id, version: 0 }])
    const known = await ledger.get(job.ref, id)
    if (!one?.answer || one.answer.sha256 !== known?.sha256) open.push(range)
  }
  return open
}

/** Older answers that are gone leave no number free: those after them move up, and the loss is noted. */
async function closeRanks(
  { archive, clock }: House,
  { job, lost }: SeriesRepair,
  mover: Mover,
): Promise<void> {
  if (lost.length === 0) return
  const noticedAtMs = clock.nowMs()
  const noted = lost.map(({ path }) => ({ path: withoutEnding(path), noticedAtMs }))
  await noteLost(archive, job.folder, noted)
  for (const sliceId of new Set(lost.map((one) => one.sliceId))) {
    const left: number[] = []
    for await (const file of archive.list(job.folder))
      if (file.sliceId === sliceId && file.version > 0) left.push(file.version)
    left.sort((a, b) => a - b)
    for (const [i, version] of left.entries()) {
      if (version === i + 1) continue
      const [one] = await archive.check(job.folder, [{ sliceId, version }])
      const from = one!.path
      await mover.rename(from, from.replace(`.${version}.json`, `.${i + 1}.json`))
    }
  }
}

async function recordAgain(house: House, { job, record }: SeriesRepair): Promise<void> {
  const anchorMs = (await knownEdge(house, job, 'first-bar'))?.openTimeMs ?? undefined
  for (const sliceId of record) {
    const right = await recordFor(house, job, sliceId, anchorMs)
    if (right) await house.ledger.record(job.ref, [right])
    else await house.ledger.forget(job.ref, [sliceId])
  }
}

async function fetchAgain(
  house: House,
  venues: Venues,
  { job, fetch, weight }: SeriesRepair,
  signals: Signals,
): Promise<readonly EverybarError[]> {
  if (fetch.length === 0) return []
  try {
    const clock = await venues.clockOf(job, signals.stop)
    const anchorMs = await firstBar(house, job, signals.stop)
    const missing = toRangeSet(fetch.map((one) => one.range))
    const todo = { missing, again: [], slices: () => fetch, count: fetch.length, weight }
    const { failures, errors } = await fetchMissing(house, job, todo, { clock, anchorMs, ...signals })
    // The months are written whole below: that one of them could not be read is no matter.
    return [...failures, ...errors.filter(({ code }) => code !== 'store.corrupt')]
  } catch (error) {
    if (isEverybarError(error)) return [error]
    throw error
  }
}
