import { join } from 'node:path'
import { type BarBatch, batchWithin, emptyBatch, lowerBound, sliceBatch } from '../../model/bar.ts'
import { messageOf } from '../../model/errors.ts'
import { lakePath } from '../../model/lake.ts'
import type { Series } from '../../model/series.ts'
import { monthOf, overlap, type TimeRange } from '../../model/time.ts'
import { byMonth, mergeBars, ownCopy, withoutBlankColumns } from '../bars.ts'
import type { StoredExtent } from '../store.ts'
import type { DeltaFiles } from './delta-files.ts'
import { readError } from './errors.ts'
import { readExtent } from './extent.ts'
import type { LakeFolder } from './last-bars.ts'
import { filesOf } from './listing.ts'
import { MonthFiles } from './month-files.ts'

/** A lake on the disk with its delta files. */
export interface LakeParts extends LakeFolder {
  readonly deltas: DeltaFiles
}

/**
 * What a lake holds: its month files, and of its delta files the bars that the month file lacks. Delta files are always
 * taken in first: what is folded into a month file meanwhile is then seen twice and counted once, never missed.
 */
export class LakeReads {
  private readonly parts: LakeParts

  constructor(parts: LakeParts) {
    this.parts = parts
  }

  /** Bars of a series in delta files, ascending, whether a month file has them too or not. Not to be changed. */
  async pending(series: Series): Promise<BarBatch> {
    await this.parts.deltas.refresh()
    return this.parts.deltas.barsOf(series)
  }

  async *scan(series: Series, range: TimeRange, signal?: AbortSignal): AsyncGenerator<BarBatch> {
    const pending = batchWithin(await this.pending(series), range)
    const inFiles = new Set<number>()
    for await (const { month } of filesOf(this.parts.root, series, this.parts.fs)) {
      if (overlap(month, range)) inFiles.add(month.startMs)
    }
    const starts = new Set([...inFiles, ...[...byMonth(pending)].map(({ month }) => month.startMs)])
    for (const month of [...starts].sort((a, b) => a - b).map(monthOf)) {
      signal?.throwIfAborted()
      const runs = inFiles.has(month.startMs) ? this.parts.months.stream(series, month, range) : []
      for await (const run of withPending(runs, batchWithin(pending, month))) {
        yield run
        signal?.throwIfAborted()
      }
    }
  }

  /** A month, checked; `undefined` where nothing holds a bar of it. */
  async month(series: Series, month: TimeRange): Promise<BarBatch | undefined> {
    const pending = batchWithin(await this.pending(series), month)
    const inFile = await this.parts.months.read(series, month)
    if (!inFile && pending.length === 0) return undefined
    return inFile ? underlay(inFile, pending) : ownCopy(pending)
  }

  async extent(series: Series): Promise<StoredExtent | undefined> {
    const pending = await this.pending(series)
    const { root, fs, engine } = this.parts
    const paths: string[] = []
    for await (const { path } of filesOf(root, series, fs)) paths.push(join(root, path))
    if (paths.length === 0) return pending.length === 0 ? undefined : extentOf(pending)
    const inFiles = await readExtent(engine, paths)
    const later = lowerBound(pending.openTimeMs, inFiles.lastMs + 1)
    let rows = inFiles.rows + pending.length - later
    for (const { month, bars } of byMonth(sliceBatch(pending, 0, later))) {
      const known = (await this.parts.months.read(series, month)) ?? emptyBatch
      rows += mergeBars(known, bars).inserted
    }
    if (pending.length === 0) return inFiles
    return {
      rows,
      firstMs: Math.min(inFiles.firstMs, pending.openTimeMs[0]!),
      lastMs: Math.max(inFiles.lastMs, pending.openTimeMs[pending.length - 1]!),
    }
  }

  /** As the door has it. */
  async foldedCopies(series: Series, range: TimeRange, folder: string): Promise<readonly string[]> {
    const { engine, fs } = this.parts
    const pending = await this.pending(series)
    const copies = new MonthFiles(folder, engine, fs)
    const paths: string[] = []
    for (const { month } of byMonth(pending)) {
      if (!overlap(month, range)) continue
      await copies.write(series, month, (await this.month(series, month))!)
      paths.push(lakePath(series, month.startMs))
    }
    return paths
  }

  /** Whether the month file holds a bar that is in a delta file too: a fold was interrupted, or is under way. */
  async isFolded(series: Series, month: TimeRange): Promise<boolean> {
    const pending = batchWithin(await this.pending(series), month)
    if (pending.length === 0 || !(await this.parts.fs.stat(this.parts.months.pathOf(series, month))))
      return false
    const { startMs, endMs } = { startMs: pending.openTimeMs[0]!, endMs: month.endMs }
    for await (const run of this.parts.months.stream(series, month, { startMs, endMs })) {
      if (mergeBars(pending, run).inserted < run.length) return true
    }
    return false
  }

  async *openTimes(paths: readonly string[], among: Float64Array): AsyncGenerator<Float64Array> {
    const whole = paths.map((path) => join(this.parts.root, path))
    let at = 0
    try {
      for await (const run of this.parts.engine.readTimes(whole)) {
        const to = lowerBound(among, run[run.length - 1]! + 1)
        yield to > at ? mergeTimes(run, among.subarray(at, to)) : run
        at = Math.max(at, to)
      }
    } catch (error) {
      await readExtent(this.parts.engine, whole) // names the file, where its footer is at fault
      throw readError(error, whole.find((path) => messageOf(error).includes(path)) ?? whole[0]!)
    }
    if (at < among.length) yield among.subarray(at)
  }
}

/** `bars`, and those of `pending` it lacks. */
export const underlay = (bars: BarBatch, pending: BarBatch): BarBatch => mergeBars(pending, bars).batch

const extentOf = ({ length, openTimeMs }: BarBatch): StoredExtent => ({
  rows: length,
  firstMs: openTimeMs[0]!,
  lastMs: openTimeMs[length - 1]!,
})

/** Runs with the pending bars they lack, each at its place. */
async function* withPending(
  runs: AsyncIterable<BarBatch> | Iterable<BarBatch>,
  pending: BarBatch,
): AsyncGenerator<BarBatch> {
  let at = 0
  for await (const run of runs) {
    const to = lowerBound(pending.openTimeMs, run.openTimeMs[run.length - 1]! + 1)
    yield to > at ? withoutBlankColumns(underlay(run, sliceBatch(pending, at, to))) : run
    at = Math.max(at, to)
  }
  if (at < pending.length) yield withoutBlankColumns(ownCopy(sliceBatch(pending, at, pending.length)))
}

/** Both, ascending, a time that is in both once. What does not ascend in `times` stays so. */
function mergeTimes(times: Float64Array, among: Float64Array): Float64Array {
  const out = new Float64Array(times.length + among.length)
  let count = 0
  let j = 0
  for (const ms of times) {
    while (j < among.length && among[j]! < ms) out[count++] = among[j++]!
    if (j < among.length && among[j] === ms) j++
    out[count++] = ms
  }
  while (j < among.length) out[count++] = among[j++]!
  return out.subarray(0, count)
}
