import { isEverybarError } from '../model/errors.ts'
import { union } from '../model/range-set.ts'
import { parseSeries } from '../model/series.ts'
import type { Fault } from '../pipeline/fault.ts'
import type { SeriesJob } from '../pipeline/house.ts'
import { holdsOthersOnly, rebuildRecords } from '../pipeline/rebuild.ts'
import { type Mover, mendSeries, planRepair, type SeriesRepair } from '../pipeline/repair.ts'
import { replay } from '../pipeline/replay.ts'
import type { Signals } from '../pipeline/sync.ts'
import { Venues } from '../pipeline/venue-clock.ts'
import type { Problem, RepairReport, Selection, SeriesRepairReport } from './api.ts'
import type { AppContext } from './commands.ts'
import { type OpenHouse, openHouse } from './house.ts'
import { nothingKept } from './inspect.ts'
import { exportManifests } from './manifests.ts'
import { moverIn } from './quarantine.ts'
import { rebuild } from './rebuild.ts'
import { problemOf } from './report.ts'
import { graceful } from './sync.ts'
import { isVenueFile } from './venues.ts'
import { jobOfFolder, type Proof, prove } from './verify.ts'

export interface RepairOptions {
  /** Only says what would be done. */
  readonly dryRun: boolean
}

/** Mends what verify finds and nothing else, then proves again. A ledger that nobody vouches for is made again. */
export async function repairAll(
  ctx: AppContext,
  named: Partial<Selection>,
  { dryRun }: RepairOptions,
): Promise<RepairReport> {
  const moved: string[] = []
  let selection = named
  const first = await inHouse(ctx, dryRun, async (house) => {
    let proof = await proveKnowing(house, named, dryRun, ctx.signal)
    // A delta file held bars of many series: all of them are looked at before it goes.
    if (proof.faults.some(isDeltaDamage) && (named.series?.length || named.from || named.to)) {
      selection = {}
      proof = await proveKnowing(house, selection, dryRun, ctx.signal)
    }
    const { strangers } = await unknownSeries(house, proof.faults)
    return { proof, plans: await plansOf(house, proof), strangers }
  }).catch((error: unknown) => {
    if (dryRun || !isEverybarError(error, 'ledger.corrupt')) throw error
    return undefined // not even opened: it is made again below
  })
  if (first?.proof.ledger === 'whole' && first.proof.jobs.length + first.proof.faults.length === 0)
    throw nothingKept(ctx.config.root)
  if (first && dryRun) return reportOf(first, { dryRun, moved, problems: [], after: first.proof })
  const anew = first?.proof.ledger !== 'whole'
  if (anew) moved.push(...(await rebuild(ctx, { ledger: true })).setAside)
  return inHouse(ctx, false, async (house) => {
    let now = anew ? await plannedAnew(house, selection, first, ctx.signal) : first!
    const mover = moverIn(house.root, (path) => moved.push(path))
    if (await takeIn(house, now.proof, mover, ctx.signal))
      now = await plannedAnew(house, selection, now, ctx.signal)
    const problems = await mend(house, now, mover, ctx.signal)
    const after = await prove(house, selection, { deep: true }, ctx.signal)
    const planned = { ...now, proof: first?.proof ?? now.proof, rebuilt: anew }
    return reportOf(planned, { dryRun, moved, problems, after })
  })
}

/** With new records: what is wrong now, and the slices that were known to be at fault before. */
async function plannedAnew(
  house: OpenHouse,
  selection: Partial<Selection>,
  before: Planned | undefined,
  stop: AbortSignal,
): Promise<Planned> {
  const proof = await prove(house, selection, {}, stop)
  const plans = new Map((await plansOf(house, proof)).map((plan) => [plan.job.id, plan]))
  for (const old of before?.plans ?? []) {
    if (old.fetch.length === 0) continue
    const plan = plans.get(old.job.id) ?? {
      ...old,
      untrusted: [],
      setAside: [],
      copy: [],
      places: [],
      record: [],
      lost: [],
      months: [],
    }
    const fetch = [...new Map([...plan.fetch, ...old.fetch].map((one) => [one.id, one])).values()]
    const months = union(plan.months, old.months)
    const replaced = new Map([...old.replaced, ...plan.replaced])
    const weight = Math.max(plan.weight, old.weight)
    plans.set(old.job.id, { ...plan, fetch, replaced, weight, months })
  }
  const { strangers } = await unknownSeries(house, proof.faults)
  return { proof, plans: [...plans.values()], strangers }
}

async function inHouse<T>(ctx: AppContext, readOnly: boolean, work: (house: OpenHouse) => Promise<T>) {
  const house = await openHouse({ ...ctx, access: readOnly ? 'read' : 'mend', command: 'repair' })
  try {
    return await work(house)
  } finally {
    await house[Symbol.asyncDispose]()
  }
}

interface Planned {
  /** Whether the ledger was made again; else whether it will be. */
  readonly rebuilt?: boolean
  readonly proof: Proof
  readonly plans: readonly SeriesRepair[]
  /** Folders of answers that are all of another series than theirs. */
  readonly strangers: readonly string[]
}

/**
 * Proves, and asks the venues again of which nothing is kept any more: without that their series can be neither proved nor
 * mended. What could not be asked stays a fault.
 */
async function proveKnowing(
  house: OpenHouse,
  selection: Partial<Selection>,
  dryRun: boolean,
  stop: AbortSignal,
): Promise<Proof> {
  const proof = await prove(house, selection, {}, stop)
  const lost = proof.faults.filter(({ path }) => path !== undefined && isVenueFile(path))
  if (dryRun || lost.length === 0) return proof
  for (const { seriesId } of await house.ledger.series()) {
    try {
      await house.venues.introduce(parseSeries(seriesId), { ...house, signal: stop })
    } catch (error) {
      if (!isEverybarError(error)) throw error
    }
  }
  const again = await prove(house, selection, {}, stop)
  const mended = lost.filter(({ path }) => !again.faults.some((fault) => fault.path === path))
  return { ...again, faults: [...mended, ...again.faults] }
}

async function plansOf(house: OpenHouse, proof: Proof) {
  const plans: SeriesRepair[] = []
  for (const job of proof.jobs) {
    const own = proof.faults.filter(({ series }) => series === job.id)
    const verdict = proof.verdicts.find((one) => one.job.id === job.id)?.verdict
    if (own.length > 0 || (verdict && verdict.unsettled > 0))
      plans.push(await planRepair(house, job, own, verdict?.behind))
  }
  return plans
}

/** @returns what could not be mended. */
async function mend(
  house: OpenHouse,
  { proof, plans }: Planned,
  mover: Mover,
  stop: AbortSignal,
): Promise<Problem[]> {
  const problems: Problem[] = []
  const venues = new Venues(house)
  const signals: Signals = { stop, hardStop: graceful(stop) }
  for (const path of straysIn(proof)) await mover.setAside(path)
  for (const plan of plans) {
    stop.throwIfAborted()
    try {
      for (const error of await mendSeries(house, venues, plan, mover, signals))
        problems.push(problemOf(error))
    } catch (error) {
      if (!isEverybarError(error)) throw error
      problems.push(problemOf(error))
    }
  }
  for (const { kind, path } of proof.faults)
    if (kind === 'ledger.manifest-differs') await mover.makeRoom(path!)
  if (house.config.ledger === 'sqlite')
    await exportManifests(house, await house.ledger.series(), { anew: true })
  return problems
}

/**
 * Tells the ledger of series it knows nothing of, and takes folders of none out of the way.
 *
 * @returns whether there were any such series: what is wrong with them is seen only now.
 */
async function takeIn(
  house: OpenHouse,
  { faults }: Proof,
  mover: Mover,
  stop: AbortSignal,
): Promise<boolean> {
  const { jobs, strangers } = await unknownSeries(house, faults)
  for (const path of strangers) await mover.setAside(path)
  for (const job of jobs) {
    await rebuildRecords(house, job, stop)
    await replay(house, job, house.stores[0]!, { signal: stop })
  }
  return jobs.length > 0
}

/** Series with answers that the ledger knows nothing of, and folders named like one that hold none of its answers. */
async function unknownSeries(house: OpenHouse, faults: readonly Fault[]) {
  const paths = new Set(faults.flatMap(({ kind, path }) => (kind === 'ledger.series-missing' ? [path] : [])))
  const jobs: SeriesJob[] = []
  const strangers: string[] = []
  if (paths.size === 0) return { jobs, strangers }
  for await (const folder of house.archive.folders()) {
    const path = house.archive.pathOf(folder, '0'.repeat(32)).replace(/\/[^/]*$/, '')
    const job = paths.has(path) ? jobOfFolder(house, folder) : undefined
    if (job && (await holdsOthersOnly(house, job))) strangers.push(path.replace(/\/responses$/, ''))
    else if (job) jobs.push(job)
  }
  return { jobs, strangers }
}

/** Bars of many series were in it. */
const isDeltaDamage = ({ series, kind }: Fault): boolean => series === undefined && kind === 'store.corrupt'

/** Files of no one series that have to go: unknown ones of the lake, and damaged delta files. */
const straysIn = ({ faults }: Proof): string[] =>
  faults.flatMap((fault) => {
    const unknown = fault.series === undefined && fault.kind === 'store.file-unknown'
    return unknown || isDeltaDamage(fault) ? [fault.path!] : []
  })

function reportOf(
  { proof, plans, strangers, rebuilt }: Planned,
  outcome: {
    readonly dryRun: boolean
    readonly moved: readonly string[]
    readonly problems: readonly Problem[]
    readonly after: Proof
  },
): RepairReport {
  const { dryRun, moved, problems, after } = outcome
  const series = plans.map(
    ({ job, fetch, weight, record, months, lost }): SeriesRepairReport => ({
      series: job.id,
      requests: fetch.length,
      weight,
      slices: fetch.map(({ key }) => key),
      records: record.length,
      months,
      lost: lost.map(({ path }) => path),
    }),
  )
  const strays = straysIn(proof)
  return {
    dryRun,
    series,
    setAside: dryRun
      ? [...strays, ...strangers, ...plans.flatMap((plan) => [...plan.setAside, ...plan.copy])]
      : moved,
    rebuildsLedger: rebuilt ?? proof.ledger !== 'whole',
    requests: series.reduce((sum, { requests }) => sum + requests, 0),
    weight: series.reduce((sum, { weight }) => sum + weight, 0),
    faultCount: proof.faults.length,
    problems,
    proof: after.report,
  }
}
