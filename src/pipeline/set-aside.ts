import type { StoreFacet } from '../ledger/ledger.ts'
import { EverybarError } from '../model/errors.ts'
import { iso, timeRange } from '../model/time.ts'
import type { SetAsideBar, Store } from '../store/store.ts'
import type { House, SeriesJob } from './house.ts'

/** A slice whose facet names no answer is behind, whatever the store had of it before. */
const NO_ANSWER = ''
/** So many bars of a commit are named one by one. */
const NAMED_MAX = 20

/**
 * Bars of a series that a store has refused. Their slices stay behind there and are tried again by the next run, also
 * where the bars of a slice are committed in parts, and the refused one was not in the last.
 */
export class Refusals {
  readonly #house: Pick<House, 'ledger' | 'onEvent'>
  readonly #job: SeriesJob
  readonly #store: Pick<Store, 'name'>
  readonly #slices = new Set<string>()
  #count = 0
  #first: SetAsideBar | undefined

  constructor(house: Pick<House, 'ledger' | 'onEvent'>, job: SeriesJob, store: Pick<Store, 'name'>) {
    this.#house = house
    this.#job = job
    this.#store = store
  }

  /** Takes in what a commit has set aside. The slices have to be in the ledger by now. */
  async note(bars: readonly SetAsideBar[] = []): Promise<void> {
    if (bars.length === 0) return
    const { ledger, onEvent } = this.#house
    const { ref, id } = this.#job
    this.#count += bars.length
    this.#first ??= bars[0]
    for (const { openTimeMs, reason } of bars.slice(0, NAMED_MAX)) {
      const fields = { series: id, store: this.#store.name, open_time_ms: openTimeMs, reason }
      onEvent({ event: 'bar_set_aside', level: 'error', ...fields })
    }
    const behind = new Set<string>()
    for (const { openTimeMs } of bars) {
      for await (const { sliceId } of ledger.slices(ref, timeRange(openTimeMs, openTimeMs + 1)))
        behind.add(sliceId)
    }
    for (const sliceId of behind) this.#slices.add(sliceId)
    const facets = [...behind].map((sliceId) => ({ sliceId, sha256: NO_ANSWER, rows: 0 }))
    await ledger.recordStored(ref, this.#store.name, facets)
  }

  /** Those of slices the store has whole. */
  without(facets: readonly StoreFacet[]): readonly StoreFacet[] {
    return facets.filter(({ sliceId }) => !this.#slices.has(sliceId))
  }

  /** What to tell of them; nothing where there are none. */
  get error(): EverybarError | undefined {
    if (!this.#first) return undefined
    const { openTimeMs, reason } = this.#first
    const what = `${this.#store.name} refused ${this.#count} bars, the first at ${iso(openTimeMs)}: ${reason}`
    return new EverybarError('store.set-aside', what, {
      recovery: 'abort',
      hint: 'The other bars are stored, and these are safe in the archive. Mend the table and run again.',
    })
  }
}
