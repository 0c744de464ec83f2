import type { SliceRecord, StoreFacet } from '../ledger/ledger.ts'
import { type BarBatch, batchWithin, concatBatches } from '../model/bar.ts'
import { EverybarError, isEverybarError, messageOf } from '../model/errors.ts'
import { type EpochMs, monthOf, type TimeRange, timeRange } from '../model/time.ts'
import type { CommitResult, Store } from '../store/store.ts'
import { remakeAltered } from './altered-months.ts'
import type { House, SeriesJob } from './house.ts'
import { Refusals } from './set-aside.ts'
import type { Acquired } from './slice-answers.ts'

export interface Settled {
  readonly inserted: number
  readonly revised: number
  readonly unchanged: number
  /** Slices whose bars a store has taken, counted once for each store. */
  readonly slicesStored: number
  /** One for each store that could not commit. The archive has the bars; the next run replays them. */
  readonly errors: readonly EverybarError[]
}

export interface SettlerOptions {
  /** The stores to settle into; all of the house's unless said. */
  readonly stores?: readonly Store[]
  /** Whether the ledger is told of the slices too; replay knows it has them already. */
  readonly recordSlices?: boolean
}

interface Waiting {
  readonly facet: StoreFacet
  readonly range: TimeRange
  readonly bars: BarBatch
}

/** Slices the ledger is told of in one transaction. */
const RECORDS_AT_ONCE = 64
/** A month that has ended is committed once this many bars wait. */
const ROWS_AT_MONTH_END = 100_000
/** So many are committed wherever they end. */
const ROWS_MAX = 400_000

/**
 * Commit and record, in groups: requests are small, a store likes large batches. Slices come in ascending. Each step
 * is durable before the next is told of it, and each bears repeating: a crash anywhere costs a replay, never a bar.
 */
export class Settler {
  readonly #house: House
  readonly #job: SeriesJob
  readonly #stores: readonly Store[]
  readonly #recordSlices: boolean
  #records: SliceRecord[] = []
  #waiting: Waiting[] = []
  #rows = 0
  #committing: Promise<void> = Promise.resolve()
  readonly #failed = new Map<string, EverybarError>()
  readonly #refusals: ReadonlyMap<string, Refusals>
  readonly #sums = { inserted: 0, revised: 0, unchanged: 0, slicesStored: 0 }

  constructor(house: House, job: SeriesJob, options: SettlerOptions = {}) {
    this.#house = house
    this.#job = job
    this.#stores = options.stores ?? house.stores
    this.#recordSlices = options.recordSlices ?? true
    this.#refusals = new Map(this.#stores.map((store) => [store.name, new Refusals(house, job, store)]))
  }

  /** Takes a slice in. Waits while an earlier group is still being committed and the next is full. */
  async add({ record, bars }: Acquired): Promise<void> {
    if (this.#recordSlices) this.#records.push(record)
    if (this.#records.length >= RECORDS_AT_ONCE) await this.#recordSlicesNow()
    if (record.sha256 === null) return
    const facet = { sliceId: record.sliceId, sha256: record.sha256, rows: bars.length }
    this.#waiting.push({ facet, range: record.range, bars })
    this.#rows += bars.length
    if (this.#rows >= ROWS_MAX) await this.#commitBefore(Number.POSITIVE_INFINITY)
    else if (this.#rows >= ROWS_AT_MONTH_END && crossesMonth(bars)) {
      await this.#commitBefore(monthOf(bars.openTimeMs[bars.length - 1]!).startMs)
    }
  }

  /** Every store has failed: what is added from here on can only wait for the next run. */
  get stuck(): boolean {
    return this.#failed.size === this.#stores.length
  }

  /** Notes a slice that has no bars to commit: a failed one. */
  async note(record: SliceRecord): Promise<void> {
    this.#records.push(record)
    if (this.#records.length >= RECORDS_AT_ONCE) await this.#recordSlicesNow()
  }

  /** Commits and records everything that waits. */
  async finish(): Promise<Settled> {
    await this.#commitBefore(Number.POSITIVE_INFINITY)
    await this.#committing
    const refused = [...this.#refusals.values()].flatMap(({ error }) => error ?? [])
    return { ...this.#sums, errors: [...this.#failed.values(), ...refused] }
  }

  async #recordSlicesNow(): Promise<void> {
    const records = this.#records
    this.#records = []
    if (records.length > 0) await this.#house.ledger.record(this.#job.ref, records)
  }

  /** Hands over every waiting bar that opens before `cutMs`; one group is committed while the next is gathered. */
  async #commitBefore(cutMs: EpochMs): Promise<void> {
    await this.#recordSlicesNow()
    const group = this.#waiting
    const batch = concatBatches(group.map(({ bars }) => barsBefore(bars, cutMs)))
    const done = group.filter(({ range }) => range.endMs <= cutMs)
    this.#waiting = group
      .filter(({ range }) => range.endMs > cutMs)
      .map((slice) => ({ ...slice, bars: barsFrom(slice.bars, cutMs) }))
    this.#rows = this.#waiting.reduce((sum, { bars }) => sum + bars.length, 0)
    await this.#committing
    this.#committing = this.#commit(batch, done)
    this.#committing.catch(() => {}) // awaited, and so thrown, by the next group or by finish
  }

  async #commit(batch: BarBatch, done: readonly Waiting[]): Promise<void> {
    const { house, ref, id } = { house: this.#house, ...this.#job }
    for (const store of this.#stores) {
      if (this.#failed.has(store.name)) continue
      try {
        const changed = await this.#commitTo(store, batch)
        const refusals = this.#refusals.get(store.name)!
        await refusals.note(changed.setAside)
        const { files = [] } = changed
        const facets = refusals.without(done.map(({ facet }) => facet))
        if (facets.length + files.length > 0) await house.ledger.recordStored(ref, store.name, facets, files)
        this.#sums.slicesStored += facets.length
        if (store === this.#stores[0]) this.#count(changed)
        house.onEvent({
          event: 'store_commit',
          level: 'debug',
          series: id,
          store: store.name,
          rows: batch.length,
        })
        for (const openTimeMs of changed.revisedAtMs) {
          house.onEvent({
            event: 'bar_revised',
            level: 'warn',
            series: id,
            store: store.name,
            open_time_ms: openTimeMs,
          })
        }
      } catch (error) {
        // One store being down holds back neither another nor the archive; the ledger's own errors end the run.
        if (isEverybarError(error) && error.code.startsWith('ledger.')) throw error
        this.#failed.set(store.name, storeError(store, error))
        house.onEvent({
          event: 'store_error',
          level: 'error',
          series: id,
          store: store.name,
          message: messageOf(error),
        })
      }
    }
  }

  async #commitTo(store: Store, batch: BarBatch): Promise<CommitResult> {
    const { series } = this.#job
    try {
      return await store.commit(series, batch)
    } catch (error) {
      if (!isEverybarError(error, 'store.altered')) throw error
      await remakeAltered(this.#house, this.#job, store, batch, error)
      return store.commit(series, batch)
    }
  }

  #count({ inserted, revised, unchanged }: { inserted: number; revised: number; unchanged: number }): void {
    this.#sums.inserted += inserted
    this.#sums.revised += revised
    this.#sums.unchanged += unchanged
  }
}

const crossesMonth = ({ length, openTimeMs }: BarBatch): boolean =>
  length > 0 && monthOf(openTimeMs[0]!).endMs <= openTimeMs[length - 1]!

const barsBefore = (bars: BarBatch, cutMs: EpochMs): BarBatch =>
  Number.isFinite(cutMs) ? batchWithin(bars, timeRange(0, cutMs)) : bars

const barsFrom = (bars: BarBatch, cutMs: EpochMs): BarBatch =>
  batchWithin(bars, { startMs: cutMs, endMs: Number.POSITIVE_INFINITY })

/** What a store threw, as an error of ours. */
export function storeError(store: Pick<Store, 'name'>, error: unknown): EverybarError {
  if (isEverybarError(error)) return error
  return new EverybarError('store.failed', `${store.name}: ${messageOf(error)}`, {
    recovery: 'abort',
    hint: 'The bars are safe in the archive. Mend the cause and run the same command again.',
    cause: error,
  })
}
