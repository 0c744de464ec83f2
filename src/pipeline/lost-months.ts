import { type EverybarError, isEverybarError, messageOf } from '../model/errors.ts'
import { toRangeSet } from '../model/range-set.ts'
import { overlap, type TimeRange } from '../model/time.ts'
import type { Lake } from '../store/lake.ts'
import type { House, SeriesJob } from './house.ts'
import { rebuildStore } from './reconcile-store.ts'
import { storeError } from './settle.ts'

/** A lake, and the paths of the files it has, as they were when they were first asked for. */
export interface LakeFiles {
  readonly lake: Pick<Lake, 'name' | 'fileState'> & House['stores'][number]
  readonly paths: () => Promise<ReadonlySet<string>>
}

/** The files of a lake, listed once, when somebody asks: one walk through its folders, however many series there are. */
export function lakeFiles(lake: Lake): LakeFiles {
  let listed: Promise<ReadonlySet<string>> | undefined
  const list = async () => {
    const paths = new Set<string>()
    for await (const path of lake.allFiles()) paths.add(path)
    return paths
  }
  const paths = () => {
    listed ??= list().catch((error: unknown) => {
      listed = undefined
      throw error
    })
    return listed
  }
  return { lake, paths }
}

/**
 * Makes months again, from the archive, whose files are gone from the lake though the ledger knows that they were written.
 * A name is enough to notice that, and costs nothing more for a series whose files are there; damage is for `verify`. A
 * lake that cannot be looked at, or written, holds up nothing else.
 *
 * @returns why they could not be made again.
 */
export async function restoreMonths(
  house: Pick<House, 'archive' | 'ledger' | 'onEvent'>,
  job: SeriesJob,
  range: TimeRange,
  files: LakeFiles,
  signal: AbortSignal,
): Promise<readonly EverybarError[]> {
  const { lake } = files
  const of = { series: job.id, store: lake.name }
  try {
    const lost = await lostMonths(house, job, range, files)
    if (lost.length === 0) return []
    house.onEvent({ event: 'months_lost', level: 'warn', ...of, months: lost.length })
    for (const part of toRangeSet(lost)) await rebuildStore(house, job, lake, { range: part, signal })
    return []
  } catch (error) {
    if (signal.aborted || (isEverybarError(error) && error.code.startsWith('ledger.'))) throw error
    house.onEvent({ event: 'store_error', level: 'error', ...of, message: messageOf(error) })
    return [storeError(lake, error)]
  }
}

async function lostMonths(
  house: Pick<House, 'ledger'>,
  job: SeriesJob,
  range: TimeRange,
  { lake, paths }: LakeFiles,
): Promise<TimeRange[]> {
  const there = await paths()
  const lost: TimeRange[] = []
  for await (const { path, range: month } of house.ledger.storedFiles(job.ref, lake.name)) {
    if (there.has(path) || !overlap(month, range)) continue
    // It may have been written since the others were listed.
    if (!(await lake.fileState(path))) lost.push(month)
  }
  return lost
}
