import type { SliceRecord } from '../ledger/ledger.ts'
import { forgetReconciled } from '../ledger/reconcile.ts'
import { type EverybarError, isEverybarError } from '../model/errors.ts'
import { type RangeSet, subtract, toRangeSet } from '../model/range-set.ts'
import { type Slice, slice } from '../model/slice.ts'
import { monthOf, overlap, type TimeRange } from '../model/time.ts'
import { adoptArchive, noteAdopted, recordFor } from './adopt.ts'
import { firstBar, knownEdge } from './edges.ts'
import { lostAnswers, mendEvidence, noteLost } from './evidence.ts'
import type { Fault } from './fault.ts'
import { fetchMissing } from './fetch-missing.ts'
import type { House, SeriesJob } from './house.ts'
import { answerIn, answersLeft, closeRanks, isLastToHave } from './lost-answers.ts'
import { sliceAnswered } from './own-slice.ts'
import { costOf } from './plan-series.ts'
import { rebuildStore } from './reconcile-store.ts'
import { replay } from './replay.ts'
import type { Signals } from './sync.ts'
import type { Venues } from './venue-clock.ts'

/** What repair will do for one series: only what its faults name. */
export interface SeriesRepair {
  readonly job: SeriesJob
  /** Slices asked for again: their answer is gone, damaged or another, or the store has bars no answer holds any more. */
  readonly fetch: readonly Slice[]
  /** The hashes the ledger knew of those answers, by slice. */
  readonly replaced: ReadonlyMap<string, string>
  readonly weight: number
  /** Records made again from the archive. */
  readonly record: readonly string[]
  /** Calendar months settled again from the archive. */
  readonly months: RangeSet
  /** Where a file of the store is not what was written: what is in it is no evidence of anything. */
  readonly untrusted: RangeSet
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

type PlanHouse = Pick<House, 'archive' | 'ledger' | 'stores' | 'onEvent'>

/**
 * Reads faults as deeds. Asks the ledger, and where that knows nothing the archive, for the slices they name; writes nothing.
 *
 * @param behind slices of which the archive has more than the ledger knows.
 */
export async function planRepair(
  house: PlanHouse,
  job: SeriesJob,
  faults: readonly Fault[],
  behind: Iterable<string> = [],
): Promise<SeriesRepair> {
  const { ledger } = house
  const fetch = new Map<string, Slice>()
  const replaced = new Map<string, string>()
  const record = new Set(behind)
  const setAside = new Set<string>()
  const copy = new Set<string>()
  const lost = new Map<string, SeriesRepair['lost'][number]>()
  const ranges: TimeRange[] = []
  const places = new Set<string>()
  let evidence = false
  const fetchAgain = (own: Slice, sha256?: string | null) => {
    fetch.set(own.id, own)
    if (sha256 != null) replaced.set(own.id, sha256)
  }
  for (const { kind, path = '', sliceId, range } of faults) {
    if (/^(archive|store)\.(corrupt|file-missing)$/.test(kind)) places.add(path)
    if (range) ranges.push(range)
    if (kind === 'store.file-unknown') setAside.add(path)
    if (kind === 'ledger.differs' && sliceId) record.add(sliceId)
    if (path.includes('/evidence/')) evidence = true
    const { version = 0 } = answerIn(path) ?? {}
    if (!kind.startsWith('archive.') || !sliceId) continue
    if (version > 0) {
      if (kind !== 'archive.missing') setAside.add(path)
      if (kind !== 'archive.stray') lost.set(path, { sliceId, version, path })
      record.add(sliceId)
      continue
    }
    const known = await ledger.get(job.ref, sliceId)
    const own = known ? sliceOf(job, known) : await sliceInArchive(house, job, sliceId)
    if (own?.id !== sliceId || kind === 'archive.stray') setAside.add(path)
    else {
      if (kind === 'archive.differs') setAside.add(path)
      if (kind === 'archive.corrupt') copy.add(path)
      fetchAgain(own, known?.sha256)
    }
  }
  const loses = new Set([...lost.values()].map(({ sliceId }) => sliceId))
  const untrusted = toRangeSet(rangesOf(faults, /^store\.(corrupt|file-)/))
  for (const known of await lostBars(house, job, { faults, loses, untrusted }))
    if (!fetch.has(known.sliceId)) fetchAgain(sliceOf(job, known), known.sha256)
  const slices = [...fetch.values()].sort((a, b) => a.range.startMs - b.range.startMs)
  return {
    job,
    fetch: slices,
    replaced,
    weight: costOf(job, toRangeSet(slices.map((one) => one.range))).weight,
    record: [...record].filter((id) => !fetch.has(id)),
    months: toRangeSet(ranges.map(wholeMonths)),
    untrusted,
    setAside: [...setAside],
    copy: [...copy],
    places: [...places],
    lost: [...lost.values()],
    evidence,
  }
}

const rangesOf = (faults: readonly Fault[], kind: RegExp): readonly TimeRange[] =>
  faults.flatMap((fault) => (fault.range && kind.test(fault.kind) ? [fault.range] : []))

/**
 * Slices that lose an older answer, or lost one earlier and are at fault now, of which the store may be the last to have
 * bars: the venue may still have them.
 */
async function lostBars(
  house: PlanHouse,
  job: SeriesJob,
  found: {
    readonly faults: readonly Fault[]
    readonly loses: ReadonlySet<string>
    readonly untrusted: RangeSet
  },
): Promise<readonly SliceRecord[]> {
  const unknownBars = rangesOf(found.faults, /^store\.bar-unknown$/)
  const noted = (await lostAnswers(house.archive, job.folder)).map(({ sliceId }) => sliceId)
  const slices: SliceRecord[] = []
  for (const sliceId of new Set([...found.loses, ...noted])) {
    const known = await house.ledger.get(job.ref, sliceId)
    const touches = (ranges: RangeSet) => known && ranges.some((range) => overlap(range, known.range))
    if (!known || !(found.loses.has(sliceId) || touches(unknownBars))) continue
    const left = await answersLeft(house, job, sliceId)
    const asks =
      touches(found.untrusted) || (await isLastToHave(house, job, sliceOf(job, known), left)) !== false
    if (asks) slices.push(known)
  }
  return slices
}

/** The slice that answers say they answer, where it is one of this series. */
async function sliceInArchive(house: PlanHouse, job: SeriesJob, sliceId: string): Promise<Slice | undefined> {
  for (const { meta } of await answersLeft(house, job, sliceId)) {
    const own = await sliceAnswered(job, meta)
    if (own?.id === sliceId) return own
  }
  return undefined
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
  await closeRanks(house, job, olderIn(plan), mover)
  await mendEvidence(house, job)
  const problems = await fetchAgain(house, venues, plan, signals)
  const open = await stillOpen(house, plan)
  if (open.length === 0) {
    await forgetReconciled(house.ledger, job.ref)
    await adoptArchive(house, job)
  }
  await recordAgain(house, plan)
  const kept = [...open, ...(await lastToHave(house, plan))]
  for (const range of subtract(plan.months, toRangeSet(kept.map(wholeMonths))))
    await rebuildStore(house, job, house.stores[0]!, { range })
  for (const store of house.stores) await replay(house, job, store, { signal: signals.stop })
  if (open.length === 0) await noteAdopted(house, job)
  return problems
}

/** Slices whose older answers are not as they were. */
const olderIn = ({ setAside, lost }: SeriesRepair): ReadonlySet<string> =>
  new Set(
    [...setAside, ...lost.map(({ path }) => path)].flatMap((path) => {
      const { sliceId, version = 0 } = answerIn(path) ?? {}
      return sliceId !== undefined && version > 0 ? [sliceId] : []
    }),
  )

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

/**
 * Where the store is the last to have bars of a slice that lost an answer: they are intact, and nobody can give them again.
 * Settling their months from the archive would take them out; so they stay, a fault for verify to name.
 */
async function lastToHave(house: House, plan: SeriesRepair): Promise<TimeRange[]> {
  const { job, months, untrusted, replaced } = plan
  const noted = (await lostAnswers(house.archive, job.folder)).map(({ sliceId }) => sliceId)
  const found: TimeRange[] = []
  for (const sliceId of new Set([...noted, ...replaced.keys()])) {
    const known = await house.ledger.get(job.ref, sliceId)
    const touches = (ranges: RangeSet) => known && ranges.some((range) => overlap(range, known.range))
    if (!known || !touches(months) || touches(untrusted)) continue
    const left = await answersLeft(house, job, sliceId)
    if (!(await isLastToHave(house, job, sliceOf(job, known), left))) continue
    found.push(known.range)
    const sha256 = replaced.get(sliceId)
    const noticedAtMs = house.clock.nowMs()
    if (sha256 && !noted.includes(sliceId))
      await noteLost(house.archive, job.folder, [{ sliceId, sha256, noticedAtMs }])
  }
  return found
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
