import type { BarBatch } from '../model/bar.ts'
import { isEverybarError, messageOf } from '../model/errors.ts'
import { contains } from '../model/time.ts'
import type { CommitResult, Store } from '../store/store.ts'
import type { House, SeriesJob } from './house.ts'
import type { Tail } from './live-tail.ts'
import type { Acquired } from './slice-answers.ts'

/** An answer to the newest bars of one series, on its way into ledger and stores. A tail sends its next when this is in. */
export interface Caught {
  readonly tail: Tail
  readonly acquired: Acquired
  readonly fresh: BarBatch
  readonly open: BarBatch
}

/** Answers told of in one go; while they are, the next ones gather. */
const GROUP_MAX = 256
/** After a group, others gather so long: each group is a file in the lake and a transaction in every store. */
const GATHER_MS = 100

/**
 * Record and commit for the newest bars of many series: what has come while one group was being committed is the next,
 * so that a cycle of hundreds of series takes a handful of commits and none waits long. The archive has the answers
 * already; a crash anywhere costs a replay, never a bar.
 */
export class LiveSettler {
  readonly #house: House
  /** By store: series it lacks bars of. They are replayed; until then it is not said to have what came later. */
  readonly behind = new Map<string, Set<string>>()
  #waiting: {
    readonly caught: Caught
    readonly done: () => void
    readonly failed: (error: unknown) => void
  }[] = []
  #running: Promise<void> | undefined
  inserted = 0

  constructor(house: House) {
    this.#house = house
    for (const store of house.stores) this.behind.set(store.name, new Set())
  }

  /** Notes which stores lack bars of a series, so that none is said to have all of it by what comes next. */
  async look({ ref, id }: SeriesJob): Promise<void> {
    for (const [name, behind] of this.behind) {
      for await (const _ of this.#house.ledger.unstored(ref, name)) {
        behind.add(id)
        break
      }
    }
  }

  /** Stores that lack bars of a series. */
  storesBehind(id: string): string[] {
    return [...this.behind].flatMap(([name, behind]) => (behind.has(id) ? [name] : []))
  }

  /** Resolves when the ledger knows the answer and every store that could has its bars. */
  add(caught: Caught): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#waiting.push({ caught, done: resolve, failed: reject })
    this.#running ??= this.#run()
    return promise
  }

  async #run(): Promise<void> {
    await null // whoever answers in the same breath shares the first group
    for (let first = true; this.#waiting.length > 0; first = false) {
      if (!first) await this.#house.clock.sleep(GATHER_MS)
      const group = this.#waiting.splice(0, GROUP_MAX)
      try {
        await this.#settle(group.map(({ caught }) => caught))
        for (const { done } of group) done()
      } catch (error) {
        for (const { failed } of group) failed(error)
      }
    }
    this.#running = undefined
  }

  async #settle(group: readonly Caught[]): Promise<void> {
    const { ledger } = this.#house
    await Promise.all(group.map(({ tail, acquired }) => ledger.record(tail.job.ref, [acquired.record])))
    await Promise.all(this.#house.stores.map((store) => this.#commit(store, group)))
    await Promise.all(group.map(({ tail }) => tail.recorded()))
  }

  async #commit(store: Store, group: readonly Caught[]): Promise<void> {
    const results = await this.#append(store, group)
    const { ledger, onEvent } = this.#house
    await Promise.all(
      group.map(async ({ tail: { job }, acquired: { record, slice, bars }, fresh }, n) => {
        const result = results[n]
        if (!result) return this.#isBehind(store, job)
        const lost = result.setAside?.some(({ openTimeMs }) => contains(slice.range, openTimeMs)) === true
        if (lost) this.#isBehind(store, job)
        const level = this.behind.get(store.name)?.has(job.id) !== true
        const facet = { sliceId: record.sliceId, sha256: record.sha256!, rows: bars.length }
        await ledger.recordStored(job.ref, store.name, level ? [facet] : [], result.files)
        if (store === this.#house.stores[0]) this.inserted += result.inserted
        const said = { series: job.id, store: store.name }
        onEvent({ event: 'store_commit', level: 'debug', ...said, rows: fresh.length })
        for (const one of result.setAside ?? [])
          onEvent({
            event: 'bar_set_aside',
            level: 'error',
            ...said,
            open_time_ms: one.openTimeMs,
            reason: one.reason,
          })
        for (const open_time_ms of result.revisedAtMs)
          onEvent({ event: 'bar_revised', level: 'warn', ...said, open_time_ms })
      }),
    )
    await this.#provisional(store, group)
  }

  /** One result an entry; `undefined` where its bars did not get in. One store being down holds back no other. */
  async #append(store: Store, group: readonly Caught[]): Promise<readonly (CommitResult | undefined)[]> {
    const entries = group.map(({ tail, fresh }) => ({ series: tail.job.series, batch: fresh }))
    try {
      return await store.append(entries)
    } catch (error) {
      this.#failed(store, error, entries.length === 1 ? group[0]!.tail.job.id : undefined)
      if (entries.length === 1 || (isEverybarError(error) && error.recovery === 'retry'))
        return entries.map(() => undefined)
    }
    const each: (CommitResult | undefined)[] = []
    for (const one of group) each.push(...(await this.#append(store, [one])))
    return each
  }

  async #provisional(store: Store, group: readonly Caught[]): Promise<void> {
    if (!store.provisional) return
    const open = group.filter(({ open: batch }) => batch.length > 0)
    if (open.length === 0) return
    try {
      await store.provisional(open.map(({ tail, open: batch }) => ({ series: tail.job.series, batch })))
    } catch (error) {
      this.#failed(store, error, undefined) // the next answer brings the next one
    }
  }

  #isBehind(store: Store, job: SeriesJob): void {
    this.behind.get(store.name)?.add(job.id)
  }

  #failed(store: Store, error: unknown, series: string | undefined): void {
    this.#house.onEvent({
      event: 'store_error',
      level: 'error',
      ...(series !== undefined && { series }),
      store: store.name,
      ...(isEverybarError(error) && { code: error.code }),
      message: messageOf(error),
    })
  }
}
