import { relative } from 'node:path'
import type { ArchiveFolder } from '../archive/archive.ts'
import { isEverybarError } from '../model/errors.ts'
import { parseLakeFileName } from '../model/lake.ts'
import { hull, type RangeSet, toRangeSet } from '../model/range-set.ts'
import { parseSeries, type Series } from '../model/series.ts'
import { type Fault, type OnFault, repairHint } from '../pipeline/fault.ts'
import { jobOf, type SeriesJob } from '../pipeline/house.ts'
import { type Verdict, verifySeries } from '../pipeline/verify.ts'
import { checkAnswers } from '../pipeline/verify-answers.ts'
import type { Selection, VerifyReport } from './api.ts'
import type { OpenHouse } from './house.ts'
import { jobsOf, nothingKept, offlineRange } from './inspect.ts'
import { manifestFaults } from './manifests.ts'
import { missingByClass } from './report.ts'

export interface VerifyOptions {
  /** Decode every answer again and compare bar for bar, although no hash gives cause to. */
  readonly deep?: boolean
}

export interface Proof {
  readonly report: VerifyReport
  /** The series there were to prove, with and without a verdict. */
  readonly jobs: readonly SeriesJob[]
  readonly verdicts: readonly { readonly job: SeriesJob; readonly verdict: Verdict }[]
  /** All of them. */
  readonly faults: readonly Fault[]
  /** `doubted`: something else has changed it, or it cannot be read. */
  readonly ledger: 'whole' | 'doubted'
}

/** @throws EverybarError `series.none` (abort) where there is nothing to prove. */
export async function verifyAll(
  house: OpenHouse,
  selection: Partial<Selection>,
  options: VerifyOptions,
  stop: AbortSignal,
): Promise<VerifyReport> {
  const { report, verdicts, faults } = await prove(house, selection, options, stop)
  if (verdicts.length === 0 && faults.length === 0) throw nothingKept(house.root)
  return report
}

/** Proves the ledger, every series, and that nothing lies in the root which belongs to none. */
export async function prove(
  house: OpenHouse,
  selection: Partial<Selection>,
  options: VerifyOptions,
  stop: AbortSignal,
): Promise<Proof> {
  const faults: Fault[] = []
  const onFault: OnFault = (fault) => faults.push(relativeTo(house.root, fault))
  // First: with damaged ones out of the way, series by series shows what they held.
  for (const { path, detail } of await house.lake.skipDamagedDeltas(knownIn(house)))
    onFault({ kind: 'store.corrupt', path, detail, hint: repairHint })
  const ledger = await checkLedger(house, onFault)
  // What cannot vouch for itself is compared with the archive, field for field.
  const deep = options.deep === true || !ledger.sealed
  const verdicts: Proof['verdicts'][number][] = []
  const jobs = ledger.unreadable ? [] : await provable(house, selection, onFault)
  if (!ledger.unreadable) {
    for (const job of jobs) {
      stop.throwIfAborted()
      try {
        const proof = () => proveOne(house, job, selection, deep, onFault)
        // Who shares the house waits: a series that is written to meanwhile cannot be judged.
        const verdict = await (house.turns ? house.turns.run(job.id, proof, 'patient') : proof())
        if (verdict) verdicts.push({ job, verdict })
        for (const fault of await manifestFaults(house, job.ref)) onFault(fault)
      } catch (error) {
        onFault({ series: job.id, ...ledgerFault(error) })
      }
    }
    if (!selection.series?.length) await findStrays(house, jobs, onFault)
  }
  return {
    report: reportOf(verdicts, faults, deep),
    jobs,
    verdicts,
    faults,
    ledger: faults.some(({ kind }) => kind === 'ledger.corrupt') ? 'doubted' : 'whole',
  }
}

/** The series to prove. Those of a venue of which nothing is known any more cannot be: the file that is lost is named. */
async function provable(
  house: OpenHouse,
  { series }: Partial<Selection>,
  onFault: OnFault,
): Promise<readonly SeriesJob[]> {
  const told = new Set<string | undefined>(house.venues.damaged)
  for (const path of house.venues.damaged)
    onFault({ kind: 'archive.corrupt', path, detail: 'it is not as it was written', hint: repairHint })
  const known = async () => (await house.ledger.series()).map(({ seriesId }) => parseSeries(seriesId))
  const jobs: SeriesJob[] = []
  for (const one of series?.length ? series : await known()) {
    try {
      jobs.push(...(await jobsOf(house, [one])))
    } catch (error) {
      if (!isEverybarError(error, 'source.venue-lost')) throw error
      const { path, message: detail } = error
      if (!told.has(path)) onFault({ kind: 'archive.missing', path: path!, detail, hint: repairHint })
      told.add(path)
    }
  }
  return jobs
}

async function proveOne(
  house: OpenHouse,
  job: SeriesJob,
  selection: Partial<Selection>,
  deep: boolean,
  onFault: OnFault,
): Promise<Verdict | undefined> {
  const total = Object.values(await house.ledger.counts(job.ref)).reduce((sum, n) => sum + n, 0)
  const range = (await rangeOf(house, job, selection)) ?? (await unaskedRange(house, job, onFault))
  if (!range) return undefined
  const lake = house.stores.includes(house.lake) ? house.lake : undefined
  return verifySeries({ ...house, lake }, job, range, {
    deep,
    onFault,
    onProgress: (done) => {
      house.onEvent({
        event: 'progress',
        level: 'debug',
        phase: 'verify',
        series: job.id,
        done,
        total,
        bars: 0,
        weightUsed: 0,
        weightCapacity: 0,
      })
    },
  })
}

/**
 * Where answers lie of a series that was neither asked for nor answered, as far as the ledger knows; `undefined` where there
 * are none of its own, and then what else lies there is told.
 */
async function unaskedRange(house: OpenHouse, job: SeriesJob, onFault: OnFault) {
  const faults: Fault[] = []
  const none = { startMs: 0, endMs: 0 }
  const { behindRanges } = await checkAnswers(house, job, none, { onFault: (fault) => faults.push(fault) })
  const range = hull(toRangeSet(behindRanges))
  if (!range) for (const fault of faults) onFault({ series: job.id, ...fault })
  return range
}

/**
 * What was asked for; where the ledger has lost that, all that was answered. A series that is known and was neither asked
 * for nor answered has nothing to prove: a first run was cut short.
 */
async function rangeOf(house: OpenHouse, job: SeriesJob, selection: Partial<Selection>) {
  try {
    return await offlineRange(house, job, selection)
  } catch (error) {
    if (!isEverybarError(error, 'series.never-asked')) throw error
    let answered: RangeSet = []
    for await (const { range } of house.ledger.slices(job.ref))
      answered = [{ startMs: answered[0]?.startMs ?? range.startMs, endMs: range.endMs }]
    if (answered.length === 0 && selection.series?.length) throw error
    return hull(answered)
  }
}

async function checkLedger(
  { ledger }: OpenHouse,
  onFault: OnFault,
): Promise<{ readonly sealed: boolean; readonly unreadable: boolean }> {
  try {
    const { sealed, faults } = await ledger.check()
    for (const { path, detail } of faults)
      onFault({ kind: 'ledger.corrupt', path, detail, hint: rebuildHint })
    await ledger.series()
    return { sealed, unreadable: false }
  } catch (error) {
    onFault(ledgerFault(error))
    return { sealed: false, unreadable: true }
  }
}

/** A ledger that cannot be read, as a fault like any other. @throws every other error. */
function ledgerFault(error: unknown): Fault {
  if (!isEverybarError(error, 'ledger.corrupt')) throw error
  return { kind: 'ledger.corrupt', path: error.path ?? '', detail: error.message, hint: rebuildHint }
}

const rebuildHint = 'Run "everybar repair": it makes the ledger again from the archive.'

/** Whether a series has a place in the ledger or in the archive. Of a ledger that cannot be read all are taken to have one. */
function knownIn(house: OpenHouse): (id: string) => Promise<boolean> {
  const gather = async () => {
    const ids = new Set((await house.ledger.series()).map(({ seriesId }) => seriesId))
    for await (const folder of house.archive.folders()) {
      const job = jobOfFolder(house, folder)
      if (job) ids.add(job.id)
    }
    return ids
  }
  let known: Promise<ReadonlySet<string> | undefined> | undefined
  return async (id) => {
    known ??= gather().catch(() => undefined)
    return (await known)?.has(id) ?? true
  }
}

/** Answers of series, and files of the lake, that the ledger knows nothing of. */
async function findStrays(house: OpenHouse, jobs: readonly SeriesJob[], onFault: OnFault): Promise<void> {
  const known = new Set<string>()
  const folders = new Set<string>()
  for (const job of jobs) folders.add(JSON.stringify(job.folder))
  for (const ref of await house.ledger.series()) {
    for await (const { path } of house.ledger.storedFiles(ref, house.lake.name)) known.add(path)
    // Those of a known series were judged with it.
    for await (const { path } of house.lake.files(parseSeries(ref.seriesId))) known.add(path)
  }
  for await (const folder of house.archive.folders()) {
    if (folders.has(JSON.stringify(fixedOrder(folder))) || !jobOfFolder(house, folder)) continue
    const path = house.archive.pathOf(folder, '0'.repeat(32)).replace(/\/[^/]*$/, '')
    const detail = 'the ledger knows nothing of these answers'
    onFault({ kind: 'ledger.series-missing', path, detail, hint: repairHint })
  }
  for await (const path of house.lake.allFiles()) {
    const horizon = parseLakeFileName(path.replace(/^.*\//, ''))?.horizon ?? 0
    if (known.has(path) || horizon > 0) continue
    const detail = 'this file belongs to no series'
    onFault({ kind: 'store.file-unknown', path, detail, hint: repairHint })
  }
}

const fixedOrder = ({ venue, directory, symbol, timeframe }: ArchiveFolder): ArchiveFolder => ({
  venue,
  directory,
  symbol,
  timeframe,
})

/** The series whose answers lie in a folder; `undefined` for folders of endpoints that give no bars. */
export function jobOfFolder(house: Pick<OpenHouse, 'sources'>, folder: ArchiveFolder): SeriesJob | undefined {
  for (const { spec } of house.sources) {
    if (spec.venue !== folder.venue || spec.directory !== folder.directory) continue
    for (const market of spec.markets) {
      const { venue, symbol, timeframe } = folder
      if (!spec.timeframes.some((one) => one === timeframe)) continue
      const series: Series = {
        instrument: { venue, market, symbol },
        timeframe: timeframe as Series['timeframe'],
        price: 'trade',
      }
      const job = jobOf(house, series)
      if (job.source.spec === spec) return job
    }
  }
  return undefined
}

function relativeTo(root: string, fault: Fault): Fault {
  const inRoot = fault.path?.startsWith(`${root}/`) ? relative(root, fault.path) : fault.path
  return { ...fault, ...(inRoot !== undefined && { path: inRoot }) }
}

/** Faults told of each series. */
const FAULTS_TOLD = 1_000

function reportOf(verdicts: Proof['verdicts'], faults: readonly Fault[], deep: boolean): VerifyReport {
  const all = verdicts.map(({ verdict }) => verdict)
  const counts = new Map<string | undefined, number>()
  const told = faults.filter(({ series }) => {
    const count = (counts.get(series) ?? 0) + 1
    counts.set(series, count)
    return count <= FAULTS_TOLD
  })
  const sum = (key: 'slicesChecked' | 'filesChecked' | 'barsChecked') =>
    all.reduce((total, verdict) => total + verdict[key], 0)
  return {
    series: all.map(({ series, range, expected, present, gaps, unsettled, complete }) => ({
      series,
      range,
      expected,
      present,
      missing: missingByClass(gaps),
      unsettled,
      complete,
    })),
    faults: told,
    faultCount: faults.length,
    complete: faults.length === 0 && all.every(({ complete }) => complete),
    deep,
    slicesChecked: sum('slicesChecked'),
    filesChecked: sum('filesChecked'),
    barsChecked: sum('barsChecked'),
  }
}
