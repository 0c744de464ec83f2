import type { GapRun } from '../coverage/classify.ts'
import { type BarGrid, expectedBars } from '../coverage/expected.ts'
import { GapScan } from '../coverage/gap-scan.ts'
import type { StoredFile } from '../ledger/ledger.ts'
import { type BarBatch, batchWithin, spanOf } from '../model/bar.ts'
import { isEverybarError } from '../model/errors.ts'
import { lakePath } from '../model/lake.ts'
import { type RangeSet, subtract, toRangeSet, union } from '../model/range-set.ts'
import { contains, iso, overlap, type TimeRange } from '../model/time.ts'
import { anchorOf } from '../model/timeframe.ts'
import type { Lake } from '../store/lake.ts'
import { countedBars, type OnFault, repairHint } from './fault.ts'
import { gridOf, type House, type SeriesJob } from './house.ts'

export interface FilesChecked {
  /** Whole files as the ledger knows them, oldest first. */
  readonly good: readonly StoredFile[]
  /** Files that are there where a run was interrupted before the ledger was told of them. */
  readonly interrupted: readonly StoredFile[]
  /** Months whose file is not, or not yet, what the ledger says. */
  readonly doubtful: RangeSet
  /** Where only the bars can tell: such months, and what waits in delta files, of which the ledger knows no hash. */
  readonly compare: RangeSet
  /** Open times in delta files, ascending. */
  readonly pending: Float64Array
  readonly files: number
  /** The ledger knows no file of the series, though bars of it were stored: it is older than its list of files. */
  readonly unlisted: boolean
}

type FilesHouse = Pick<House, 'ledger'> & { readonly lake: Lake }

/**
 * Hashes the month files of a series and compares them with what the ledger noted when they were written. A file that
 * differs where a run or a compaction was interrupted is no fault by itself: `doubtful` says where to compare bar for bar.
 *
 * @throws EverybarError `store.corrupt` (abort) naming a damaged delta file.
 * @param unsettled where slices wait to be settled.
 */
export async function checkFiles(
  { lake, ledger }: FilesHouse,
  job: SeriesJob,
  range: TimeRange,
  unsettled: RangeSet,
  onFault: OnFault,
): Promise<FilesChecked> {
  const good: StoredFile[] = []
  const interrupted: StoredFile[] = []
  const doubtful: TimeRange[] = []
  const compare: TimeRange[] = []
  const pending = await lake.pendingBars(job.series)
  const known = new Set<string>()
  let files = 0
  const doubt = async (kind: string, file: StoredFile, detail: string) => {
    doubtful.push(file.range)
    const excused =
      unsettled.some((part) => overlap(part, file.range)) || (await isFolding(lake, job, file.range))
    if (excused && kind !== 'store.file-missing') interrupted.push(file)
    if (excused || kind === 'store.file-differs') compare.push(file.range)
    if (!excused) onFault({ kind, path: file.path, range: file.range, detail, hint: repairHint })
  }
  for await (const file of ledger.storedFiles(job.ref, lake.name)) {
    known.add(file.path)
    if (!overlap(file.range, range)) continue
    files++
    const state = await lake.fileState(file.path)
    if (!state) await doubt('store.file-missing', file, 'the file is gone')
    else if (state.sha256 === file.sha256) good.push(file)
    else await doubt('store.file-differs', file, differenceOf(file, state.bytes))
  }
  await tellStrays(ledger, job, pending, onFault)
  const unlisted = known.size === 0 && pending.length === 0 && (await hasFacets(ledger, job, lake.name))
  for await (const { path, month, bytes } of lake.files(job.series)) {
    if (known.has(path)) continue
    const file = { path, range: month, bytes, sha256: null }
    if (unlisted) interrupted.push(file)
    else await doubt('store.file-unknown', file, 'the ledger knows nothing of this file')
  }
  const waiting = spanOf(batchWithin(pending, range))
  return {
    good,
    interrupted,
    doubtful: toRangeSet(doubtful),
    compare: toRangeSet([...compare, ...(waiting ? [waiting] : [])]),
    pending: pending.openTimeMs,
    files,
    unlisted,
  }
}

/** A compaction was stopped after it wrote the file and before the ledger knew, or is at it. */
async function isFolding(lake: Lake, job: SeriesJob, month: TimeRange): Promise<boolean> {
  try {
    return await lake.isFolded(job.series, month)
  } catch (error) {
    if (isEverybarError(error, 'store.corrupt')) return false // compared bar for bar, and so named
    throw error
  }
}

/** Bars in delta files that belong to no slice that was ever answered, in or out of the range. */
async function tellStrays(
  ledger: House['ledger'],
  job: SeriesJob,
  pending: BarBatch,
  onFault: OnFault,
): Promise<void> {
  const span = spanOf(pending)
  if (!span) return
  const answered: TimeRange[] = []
  for await (const { range, sha256 } of ledger.slices(job.ref, span))
    if (sha256 !== null) answered.push(range)
  for (const range of subtract([span], toRangeSet(answered))) {
    const strays = pending.openTimeMs.filter((ms) => contains(range, ms))
    if (strays.length === 0) continue
    const detail = `${countedBars(strays.length)} from ${iso(strays[0]!)} on: in delta files, and in no answer`
    const openTime = { openTimeMs: strays[0]! }
    onFault({ kind: 'store.bar-unknown', path: 'lake/.delta', range, ...openTime, detail, hint: repairHint })
  }
}

const differenceOf = ({ bytes }: StoredFile, now: number): string =>
  now === bytes ? 'its bytes are not those that were written' : `it has ${now} bytes, ${bytes} were written`

async function hasFacets(ledger: House['ledger'], job: SeriesJob, store: string): Promise<boolean> {
  for await (const _ of ledger.stored(job.ref, store)) return true
  return false
}

/** `undefined` when a file cannot be read. */
async function scanFiles(
  lake: Lake,
  files: readonly StoredFile[],
  pending: Float64Array,
  scan: GapScan,
): Promise<GapScan | undefined> {
  const inOrder = [...files].sort((a, b) => a.range.startMs - b.range.startMs)
  try {
    const paths = inOrder.map(({ path }) => path)
    for await (const times of lake.openTimes(paths, pending)) scan.add(times)
    return scan
  } catch (error) {
    if (!isEverybarError(error, 'store.corrupt')) throw error
    return undefined
  }
}

/**
 * Reads the open times in the lake and looks for gaps there, whatever the ledger says. Files that cannot be read where a
 * run was interrupted are left out.
 *
 * @param options.counted the part of `range` whose bars are counted.
 */
export async function scanGaps(
  lake: Lake,
  job: SeriesJob,
  files: Pick<FilesChecked, 'good' | 'interrupted' | 'pending'>,
  options: { readonly range: TimeRange; readonly counted: TimeRange; readonly anchorMs: number | undefined },
): Promise<GapScan> {
  const { range, counted, anchorMs } = options
  const grid = slotGrid(job, anchorMs)
  const all = [...files.good, ...files.interrupted].filter((file) => overlap(file.range, range))
  const scan =
    (await scanFiles(lake, all, files.pending, new GapScan(grid, range, counted))) ??
    (await scanFiles(lake, files.good, files.pending, new GapScan(grid, range, counted)))
  if (!scan) throw new Error('files with the hashes they were written with cannot be read')
  return scan
}

/** Every slot of the timeframe: the ledger's gaps name those of closed sessions too. */
function slotGrid(job: SeriesJob, anchorMs: number | undefined): BarGrid {
  const { calendar: _, ...grid } = gridOf(job, anchorMs)
  return grid
}

/**
 * Holds the gaps in the lake against those the ledger explains: a bar the lake lacks has to be in one of the ledger's
 * gaps, and a bar in a gap must not be in the lake.
 *
 * @param expected.skip where the two may differ: unsettled slices, months whose file is at fault.
 */
export function compareGaps(
  job: SeriesJob,
  range: TimeRange,
  scan: GapScan,
  expected: {
    readonly gaps: readonly GapRun[]
    readonly anchorMs: number | undefined
    readonly skip: RangeSet
    readonly onFault: OnFault
  },
): void {
  const { gaps, anchorMs, skip, onFault } = expected
  const grid = slotGrid(job, anchorMs)
  if (scan.disorderMs !== undefined) {
    const path = lakePath(job.series, scan.disorderMs)
    const detail = `bar ${iso(scan.disorderMs)} does not come after the one before it`
    onFault({ kind: 'store.corrupt', path, range, openTimeMs: scan.disorderMs, detail, hint: repairHint })
  }
  if (grid.anchorMs === undefined && anchorOf(job.series.timeframe) === undefined) return
  const absent = toRangeSet(scan.missing())
  const named = toRangeSet(gaps.map((gap) => gap.range))
  // A quarantined answer may stand before an older one that gave bars.
  const unsure = toRangeSet(gaps.flatMap((gap) => (gap.class === 'quarantined' ? [gap.range] : [])))
  const tell = (kind: string, runs: RangeSet, what: string) => {
    for (const run of runs) {
      const bars = expectedBars(grid, run)
      // Ranges end between slots too: what is left of one then names no bar.
      if (bars === 0) continue
      const detail = `${countedBars(bars)} from ${iso(run.startMs)} on: ${what}`
      const path = lakePath(job.series, run.startMs)
      onFault({ kind, path, openTimeMs: run.startMs, range: run, detail, hint: repairHint })
    }
  }
  const lost = subtract(subtract(absent, named), skip)
  tell('store.bar-missing', lost, 'in no gap, and not in the store')
  const extra = subtract(subtract(named, absent), union(skip, unsure))
  tell('store.bar-unknown', extra, 'in the store, and in a gap')
}
