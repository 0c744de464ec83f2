import { intersect, type RangeSet, toRangeSet, union } from '../model/range-set.ts'
import { overlap, type TimeRange } from '../model/time.ts'
import type { SliceRecord, SliceStatus, StoredFile, StoreFacet } from './ledger.ts'
import { isAnswered, isNotable, isSettled, noCounts } from './status.ts'

type Json = Readonly<Record<string, unknown>>

const byTime = (a: SliceRecord, b: SliceRecord): number =>
  a.range.startMs - b.range.startMs ||
  a.range.endMs - b.range.endMs ||
  (a.sliceId < b.sliceId ? -1 : a.sliceId > b.sliceId ? 1 : 0)

/** Refuses what could not be written and read back. */
function checkRecord({ sliceId, range, limit, items }: SliceRecord): void {
  const numbers = [range.startMs, range.endMs, limit, items]
  if (!numbers.every(Number.isSafeInteger) || range.startMs >= range.endMs)
    throw new TypeError(`the record of slice ${sliceId} has a number that is not whole, or no width`)
}

/** Everything a ledger knows of one series, in memory: what the `memory` and `manifest` keepers answer from. */
export class SeriesBook {
  readonly #records = new Map<string, SliceRecord>()
  readonly #facets = new Map<string, Map<string, StoreFacet>>()
  readonly #files = new Map<string, Map<string, StoredFile>>()
  readonly #facts = new Map<string, Json>()
  #wanted: RangeSet = []
  #revision: number
  #sorted: readonly SliceRecord[] | undefined

  /** @param revision where counting goes on. */
  constructor(revision = 0) {
    this.#revision = revision
  }

  record(records: readonly SliceRecord[]): void {
    this.load(records)
    this.#revision++
  }

  /** Takes in what was recorded before: nothing changes by it. */
  load(records: readonly SliceRecord[]): void {
    records.forEach(checkRecord)
    for (const record of records) this.#records.set(record.sliceId, record)
    this.#sorted = undefined
  }

  /** Facets of slices that are not known are left out. */
  recordStored(store: string, facets: readonly StoreFacet[], files: readonly StoredFile[] = []): void {
    const known = this.#facets.get(store) ?? new Map<string, StoreFacet>()
    this.#facets.set(store, known)
    for (const facet of facets) if (this.#records.has(facet.sliceId)) known.set(facet.sliceId, facet)
    const kept = this.#files.get(store) ?? new Map<string, StoredFile>()
    this.#files.set(store, kept)
    for (const file of files) {
      if (file.sha256 === null) kept.delete(file.path)
      else kept.set(file.path, file)
    }
  }

  forget(sliceIds: readonly string[]): void {
    for (const id of sliceIds) {
      this.#records.delete(id)
      for (const facets of this.#facets.values()) facets.delete(id)
    }
    this.#sorted = undefined
    this.#revision++
  }

  forgetStore(store: string): void {
    this.#facets.delete(store)
    this.#files.delete(store)
  }

  /** By time. */
  storedFiles(store: string): readonly StoredFile[] {
    return [...(this.#files.get(store)?.values() ?? [])].sort((a, b) => a.range.startMs - b.range.startMs)
  }

  get(sliceId: string): SliceRecord | undefined {
    return this.#records.get(sliceId)
  }

  /** Ascending; all of them without a range. */
  slices(range?: TimeRange): readonly SliceRecord[] {
    this.#sorted ??= [...this.#records.values()].sort(byTime)
    return range ? this.#sorted.filter((record) => overlap(record.range, range)) : this.#sorted
  }

  covered(range: TimeRange): RangeSet {
    const settled = this.slices(range).filter(({ status }) => isSettled(status))
    return intersect(toRangeSet(settled.map((record) => record.range)), [range])
  }

  notable(range: TimeRange): readonly SliceRecord[] {
    return this.slices(range).filter(isNotable)
  }

  unstored(store: string, range?: TimeRange): readonly SliceRecord[] {
    const facets = this.#facets.get(store)
    return this.slices(range).filter(
      (record) => isAnswered(record) && facets?.get(record.sliceId)?.sha256 !== record.sha256,
    )
  }

  stored(store: string): readonly StoreFacet[] {
    const facets = this.#facets.get(store)
    if (!facets) return []
    return this.slices().flatMap(({ sliceId }) => facets.get(sliceId) ?? [])
  }

  /** Names of stores that have committed anything. */
  get stores(): readonly string[] {
    const names = new Set([...this.#facets.keys(), ...this.#files.keys()])
    return [...names].filter(
      (store) => (this.#facets.get(store)?.size ?? 0) + (this.#files.get(store)?.size ?? 0) > 0,
    )
  }

  counts(): Record<SliceStatus, number> {
    const counts = noCounts()
    for (const { status } of this.#records.values()) counts[status]++
    return counts
  }

  /** Whether the range said anything new. */
  want(range: TimeRange): boolean {
    const wanted = union(this.#wanted, [range])
    if (JSON.stringify(wanted) === JSON.stringify(this.#wanted)) return false
    this.#wanted = wanted
    return true
  }

  get revision(): number {
    return this.#revision
  }

  get wanted(): RangeSet {
    return this.#wanted
  }

  putFact(name: string, fact: Json): void {
    this.#facts.set(name, fact)
  }

  getFact(name: string): Json | undefined {
    return this.#facts.get(name)
  }

  get facts(): Readonly<Record<string, Json>> {
    return Object.fromEntries(this.#facts)
  }
}
