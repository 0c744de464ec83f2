import { createHash } from 'node:crypto'
import { join } from 'node:path'
import {
  allocateBatch,
  type BarBatch,
  batchWithin,
  byTime,
  concatBatches,
  nativeFields,
  priceFields,
} from '../../model/bar.ts'
import { isEverybarError, messageOf } from '../../model/errors.ts'
import { parseSeries, type Series, seriesId } from '../../model/series.ts'
import type { EpochMs, TimeRange } from '../../model/time.ts'
import { withoutBlankColumns } from '../bars.ts'
import type { DeltaState } from '../lake.ts'
import type { AppendEntry } from '../store.ts'
import { type Delta, decodeDelta, encodeDelta, type FoundBar } from './delta-format.ts'
import { corrupt, writeError } from './errors.ts'
import type { LakeFilesystem } from './filesystem.ts'
import { tempFolder, tempPath } from './temp-files.ts'
import { Turns } from './turns.ts'

/** Beside the venues, relative to the data root; no pattern that names Parquet files or a venue finds it. */
export const DELTA_FOLDER = 'lake/.delta'

/** `<number>-<half of the content's sha256>.delta`: the order they came in, and what damage shows against. */
const deltaName = /^(\d{12})-([0-9a-f]{32})\.delta$/

/** Files read at once. */
const READS = 16

const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex').slice(0, 32)

/**
 * The delta files of one lake, held in memory: about 100 bytes a bar. Of bars with one open time in several files that
 * of the later file counts. What the month files say counts more; that is for the caller to see to.
 *
 * `refresh` takes in what has come and gone since; all else speaks of the moment of the last one.
 */
export class DeltaFiles {
  private readonly root: string
  private readonly fs: LakeFilesystem
  /** By name, in the order they came. */
  private deltas = new Map<string, Delta>()
  private newestFirst: readonly Delta[] = []
  /** The last open time of each series. */
  private newestMs = new Map<string, EpochMs>()
  private readonly merged = new Map<string, BarBatch>()
  private readonly skipped = new Set<string>()
  private lastNumber = 0
  /** What changes the files or reads them goes one after another, so that what is known never goes back. */
  private readonly turns = new Turns()

  constructor(root: string, fs: LakeFilesystem) {
    this.root = root
    this.fs = fs
  }

  /**
   * Reads the files it does not know yet. One that goes between the listing and the reading was folded into month files
   * by another process: those are to be read after this, never before.
   *
   * @throws EverybarError `store.corrupt` (abort) naming the first file that is damaged.
   */
  refresh(): Promise<void> {
    return this.turns.take('', () => this.takeIn())
  }

  private async takeIn(): Promise<void> {
    for (;;) {
      const names = (await this.names()).filter((name) => !this.skipped.has(name))
      const fresh = names.filter((name) => !this.deltas.has(name))
      const read = new Map<string, Delta | undefined>()
      for (let at = 0; at < fresh.length; at += READS) {
        const group = fresh.slice(at, at + READS)
        const deltas = await Promise.all(group.map((name) => this.read(name)))
        for (const [i, name] of group.entries()) read.set(name, deltas[i])
      }
      if (fresh.some((name) => !read.get(name))) continue
      this.put(new Map(names.map((name) => [name, this.deltas.get(name) ?? read.get(name)!])))
      return
    }
  }

  /**
   * Passes over files that are damaged now, or have bars of a series that is not known, from here on; gives them in their
   * order, relative to the data root.
   */
  async skipDamaged(
    isKnown: (series: string) => Promise<boolean> = async () => true,
  ): Promise<{ readonly path: string; readonly detail: string }[]> {
    const found: { path: string; detail: string }[] = []
    for (const name of await this.names()) {
      if (this.deltas.has(name)) continue
      try {
        for (const id of (await this.read(name))?.ids ?? [])
          if (!(await isKnown(id)))
            throw corrupt(this.pathOf(name), `holds bars of ${id}, which is unknown here`)
      } catch (error) {
        if (!isEverybarError(error, 'store.corrupt')) throw error
        this.skipped.add(name)
        found.push({ path: `${DELTA_FOLDER}/${name}`, detail: error.message })
      }
    }
    return found
  }

  /** Files passed over that are still there. */
  async skippedNames(): Promise<string[]> {
    return (await this.names()).filter((name) => this.skipped.has(name))
  }

  /** The files taken in, in their order. */
  taken(): readonly string[] {
    return [...this.deltas.keys()]
  }

  state(): DeltaState {
    const all = [...this.deltas.values()]
    const firstMs = all.reduce((first, delta) => Math.min(first, delta.firstMs), Number.POSITIVE_INFINITY)
    return {
      files: all.length,
      rows: all.reduce((sum, { rows }) => sum + rows, 0),
      firstMs: Number.isFinite(firstMs) ? firstMs : undefined,
    }
  }

  /** Every series with a bar here, by id. */
  series(): Series[] {
    const ids = new Set<string>()
    for (const delta of this.deltas.values()) for (const id of delta.ids) ids.add(id)
    return [...ids].sort().map(parseSeries)
  }

  /** The bars of a series, ascending. The caller must not change them. */
  barsOf(series: Series): BarBatch {
    const id = seriesId(series)
    const known = this.merged.get(id)
    if (known) return known
    const bars = this.gather(id)
    this.merged.set(id, bars)
    return bars
  }

  /** One block for all of a series, column after column: nearly every file has a bar of it, and that has to be cheap. */
  private gather(id: string): BarBatch {
    const parts = [...this.deltas.values()].flatMap((delta) => {
      const [from, to] = delta.rangeOf(id)
      return to > from ? [{ all: delta.all, from, to }] : []
    })
    const native = nativeFields.filter((field) => parts.some(({ all }) => all.native[field]))
    const bars = allocateBatch(
      parts.reduce((sum, { from, to }) => sum + to - from, 0),
      native,
    )
    const gather = (target: Float64Array, columnOf: (all: BarBatch) => Float64Array | undefined) => {
      let at = 0
      for (const { all, from, to } of parts) {
        const source = columnOf(all)
        for (let i = from; i < to; i++) target[at++] = source ? source[i]! : Number.NaN
      }
    }
    gather(bars.openTimeMs, (all) => all.openTimeMs)
    for (const field of priceFields) gather(bars[field], (all) => all[field])
    for (const field of native) gather(bars.native[field]!, (all) => all.native[field])
    const ascends = bars.openTimeMs.every((ms, i) => i === 0 || ms > bars.openTimeMs[i - 1]!)
    return withoutBlankColumns(ascends ? bars : byTime(bars))
  }

  /** The bar that opens at `ms`, looked for from the latest file on: what a live market asks for is there. */
  find(id: string, ms: EpochMs): FoundBar | undefined {
    if (ms > (this.newestMs.get(id) ?? Number.NEGATIVE_INFINITY)) return undefined
    for (const delta of this.newestFirst) {
      const found = delta.find(id, ms)
      if (found) return found
    }
    return undefined
  }

  /** Adds a file with these bars, durably. */
  write(entries: readonly AppendEntry[]): Promise<void> {
    return this.turns.take('', async () => {
      this.lastNumber = Math.max(this.lastNumber, ...this.taken().map(numberOf)) + 1
      await this.place(this.lastNumber, entries)
      await this.syncFolder()
    })
  }

  /** Takes files away, the oldest first; none that is gone already is missed. */
  remove(names: readonly string[]): Promise<void> {
    return this.turns.take('', async () => {
      for (const name of [...names].sort()) await this.removeFile(name)
      if (names.length > 0) await this.syncFolder()
    })
  }

  /** Writes every file that has bars of `series` in `range` again without them. */
  without(series: Series, range: TimeRange): Promise<void> {
    return this.turns.take('', () => this.takeOut(series, range))
  }

  private async takeOut(series: Series, range: TimeRange): Promise<void> {
    const id = seriesId(series)
    let changed = false
    for (const [name, delta] of [...this.deltas]) {
      const bars = delta.barsOf(id)
      if (!bars || batchWithin(bars, range).length === 0) continue
      const left = delta.ids.flatMap((one): AppendEntry[] => {
        const all = delta.barsOf(one)!
        if (one !== id) return [{ series: parseSeries(one), batch: all }]
        const before = batchWithin(all, { startMs: 0, endMs: range.startMs })
        const after = batchWithin(all, { startMs: range.endMs, endMs: Number.POSITIVE_INFINITY })
        return [{ series, batch: concatBatches([before, after]) }]
      })
      // The new one first: with both of them there, nothing has changed yet.
      if (left.some(({ batch }) => batch.length > 0)) await this.place(numberOf(name), left)
      await this.removeFile(name)
      changed = true
    }
    if (changed) await this.syncFolder()
  }

  private async names(): Promise<string[]> {
    const names = await this.fs.list(join(this.root, DELTA_FOLDER))
    return names.filter((name) => deltaName.test(name)).sort()
  }

  /** `undefined` for one that is gone. @throws EverybarError `store.corrupt` */
  private async read(name: string): Promise<Delta | undefined> {
    const path = this.pathOf(name)
    const bytes = await this.fs.read(path)
    if (!bytes) return undefined
    if (hashOf(bytes) !== deltaName.exec(name)![2]) {
      throw corrupt(path, 'is damaged: its bytes are not those that were written')
    }
    try {
      return decodeDelta(bytes)
    } catch (error) {
      throw corrupt(path, messageOf(error), error)
    }
  }

  private async place(number: number, entries: readonly AppendEntry[]): Promise<void> {
    const bytes = encodeDelta(entries)
    const name = `${String(number).padStart(12, '0')}-${hashOf(bytes)}.delta`
    const path = this.pathOf(name)
    const temp = tempPath(this.root)
    try {
      await this.fs.makeFolder(tempFolder(this.root))
      await this.fs.makeFolder(join(this.root, DELTA_FOLDER))
      await this.fs.write(temp, bytes)
      await this.fs.sync(temp)
      await this.fs.rename(temp, path)
    } catch (error) {
      await this.fs.remove(temp).catch(() => {})
      throw writeError(error, path)
    }
    this.put(
      new Map([...this.deltas, [name, decodeDelta(bytes)] as const].sort(([a], [b]) => (a < b ? -1 : 1))),
    )
  }

  private async removeFile(name: string): Promise<void> {
    const path = this.pathOf(name)
    try {
      await this.fs.remove(path)
    } catch (error) {
      throw writeError(error, path)
    }
    const left = new Map(this.deltas)
    left.delete(name)
    this.put(left)
  }

  private async syncFolder(): Promise<void> {
    const folder = join(this.root, DELTA_FOLDER)
    try {
      await this.fs.syncFolder(folder)
    } catch (error) {
      throw writeError(error, folder)
    }
  }

  private put(next: Map<string, Delta>): void {
    const gone = [...this.deltas].filter(([name]) => !next.has(name))
    const come = [...next].filter(([name]) => !this.deltas.has(name))
    if (gone.length + come.length === 0) return
    for (const [, delta] of [...gone, ...come]) for (const id of delta.ids) this.merged.delete(id)
    this.deltas = next
    this.newestFirst = [...next.values()].reverse()
    if (gone.length > 0) this.newestMs = new Map()
    for (const [, delta] of gone.length > 0 ? next : come) {
      for (const id of delta.ids) {
        const known = this.newestMs.get(id) ?? Number.NEGATIVE_INFINITY
        this.newestMs.set(id, Math.max(known, delta.lastMs(id)))
      }
    }
  }

  private pathOf(name: string): string {
    return join(this.root, DELTA_FOLDER, name)
  }
}

const numberOf = (name: string): number => Number(deltaName.exec(name)![1])
