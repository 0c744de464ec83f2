import { join } from 'node:path'
import { type BarBatch, concatBatches, lowerBound, sliceBatch } from '../../model/bar.ts'
import { isEverybarError } from '../../model/errors.ts'
import { lakeFileName } from '../../model/lake.ts'
import { type Series, seriesId } from '../../model/series.ts'
import { type EpochMs, monthOf, type TimeRange } from '../../model/time.ts'
import { ownCopy } from '../bars.ts'
import type { FoundBar } from './delta-format.ts'
import type { Engine } from './engine.ts'
import { readLastTimes } from './extent.ts'
import type { LakeFilesystem } from './filesystem.ts'
import { monthFolders } from './listing.ts'
import type { MonthFiles } from './month-files.ts'

/** Bars at the end of a series that are remembered: a live market asks for the last two. */
const BARS_KEPT = 4

interface Known {
  /** −Infinity for a series without a month file. */
  readonly lastMs: EpochMs
  /** The last bars; `undefined` until somebody asks for one. */
  readonly bars: BarBatch | undefined
}

/** A lake on the disk, and what reads and writes its month files. */
export interface LakeFolder {
  readonly root: string
  readonly fs: LakeFilesystem
  readonly engine: Engine
  readonly months: MonthFiles
}

/** Where the month files of a lake end, series by series: what opens later is in none of them. */
export class LastBars {
  private readonly parts: LakeFolder
  private readonly known = new Map<string, Known>()

  constructor(parts: LakeFolder) {
    this.parts = parts
  }

  /**
   * Looks up the series it does not know yet, together: folders by name, then the footer of the last file of each. One
   * whose file cannot be read stays unknown.
   */
  async learn(all: readonly Series[]): Promise<void> {
    const unknown = all.filter((series) => !this.known.has(seriesId(series)))
    if (unknown.length === 0) return
    const files = await this.lastFiles(unknown)
    const times = await readLastTimes(this.parts.engine, [...files.values()])
    for (const id of unknown.map(seriesId)) {
      const path = files.get(id)
      const lastMs = path === undefined ? Number.NEGATIVE_INFINITY : times.get(path)
      if (lastMs !== undefined) this.known.set(id, { lastMs, bars: undefined })
    }
  }

  /** `undefined` for a series not learned, or whose last file cannot be read. */
  lastMs(series: Series): EpochMs | undefined {
    return this.known.get(seriesId(series))?.lastMs
  }

  /**
   * The bar of a month file that opens at `ms`, where that is among the last few of its series: read once, remembered
   * after. `undefined` also for one further back that may be there.
   */
  async find(series: Series, ms: EpochMs): Promise<FoundBar | undefined> {
    const id = seriesId(series)
    const known = this.known.get(id)
    if (!known || ms > known.lastMs) return undefined
    const bars = known.bars ?? (await this.read(series, ms, known.lastMs))
    if (!bars) return undefined
    if (!known.bars) this.known.set(id, { ...known, bars })
    const at = lowerBound(bars.openTimeMs, ms)
    return bars.openTimeMs[at] === ms ? { bars, at } : undefined
  }

  /** What a month file holds from now on. */
  wrote(series: Series, month: TimeRange, bars: BarBatch): void {
    const id = seriesId(series)
    const known = this.known.get(id)
    if (!known) return
    if (bars.length === 0) this.known.delete(id)
    else if (month.endMs > known.lastMs) {
      const last = sliceBatch(bars, bars.length - BARS_KEPT, bars.length)
      this.known.set(id, { lastMs: last.openTimeMs[last.length - 1]!, bars: ownCopy(last) })
    }
  }

  private async read(series: Series, fromMs: EpochMs, lastMs: EpochMs): Promise<BarBatch | undefined> {
    const month = monthOf(lastMs)
    if (fromMs < month.startMs) return undefined
    const runs: BarBatch[] = []
    try {
      for await (const run of this.parts.months.stream(series, month, {
        startMs: fromMs,
        endMs: month.endMs,
      }))
        runs.push(run)
    } catch (error) {
      if (!isEverybarError(error, 'store.corrupt')) throw error
      return undefined // whoever reads the month says so
    }
    const bars = concatBatches(runs)
    return ownCopy(sliceBatch(bars, bars.length - BARS_KEPT, bars.length))
  }

  /** The last month file of each series that has one. Lists each folder once, from the newest on. */
  private async lastFiles(all: readonly Series[]): Promise<Map<string, string>> {
    const { root, fs } = this.parts
    const found = new Map<string, string>()
    for (const venue of new Set(all.map(({ instrument }) => instrument.venue))) {
      let wanted = all.filter(({ instrument }) => instrument.venue === venue)
      const months: TimeRange[] = []
      for await (const month of monthFolders(root, venue, fs)) months.push(month)
      for (const { startMs } of months.reverse()) {
        if (wanted.length === 0) break
        const [year, month] = new Date(startMs).toISOString().split('-') as [string, string]
        const folder = join(root, 'lake', venue, year, month)
        const names = new Set(await fs.list(folder))
        for (const series of wanted) {
          const name = lakeFileName(series, startMs)
          if (names.has(name)) found.set(seriesId(series), join(folder, name))
        }
        wanted = wanted.filter((series) => !found.has(seriesId(series)))
      }
    }
    return found
  }
}
