import type { Ledger, LedgerSeries, SliceRecord } from '../ledger/ledger.ts'
import { isAnswered } from '../ledger/status.ts'
import type { TimeRange } from '../model/time.ts'
import type { Store } from '../store/store.ts'

/*
 * What a store has is noted under its name, and a name may come to mean another table or another server. So the place is
 * noted too. Nothing is forgotten before the new place has taken something: one that was a slip of the pen, and cannot
 * even be reached, costs nothing.
 */

const factOf = (store: string): string => `store-target:${store}`

export interface TargetOptions {
  readonly stores: readonly Pick<Store, 'name' | 'target'>[]
  /** Whether this process may write to the ledger. */
  readonly writes: boolean
}

/** The same ledger, for which a store that has come to mean another place has nothing yet. */
export function withTargets(ledger: Ledger, { stores, writes }: TargetOptions): Ledger {
  const targets = new Map(stores.map(({ name, target }) => [name, target]))
  const noted = new Set<string>()
  const idOf = ({ seriesId, endpoint }: LedgerSeries, store: string) =>
    JSON.stringify([seriesId, endpoint, store])

  const note = async (series: LedgerSeries, store: string) => {
    await ledger.putFact(series, factOf(store), { target: targets.get(store) })
    noted.add(idOf(series, store))
  }
  const isElsewhere = async (series: LedgerSeries, store: string): Promise<boolean> => {
    const target = targets.get(store)
    if (target === undefined || noted.has(idOf(series, store))) return false
    const fact = await ledger.getFact(series, factOf(store))
    if (fact && fact.target !== target) return true
    if (fact) noted.add(idOf(series, store))
    // An older version noted no place: where it put something, it meant this one.
    else if (writes && (await hasAny(ledger.stored(series, store)))) await note(series, store)
    return false
  }

  const unstored: Ledger['unstored'] = async function* (series, store, range) {
    const elsewhere = await isElsewhere(series, store)
    yield* elsewhere ? answered(ledger, series, range) : ledger.unstored(series, store, range)
  }
  const stored: Ledger['stored'] = async function* (series, store) {
    if (!(await isElsewhere(series, store))) yield* ledger.stored(series, store)
  }
  const recordStored: Ledger['recordStored'] = async (series, store, facets, files) => {
    if (facets.length > 0 && targets.get(store) !== undefined) {
      if (await isElsewhere(series, store)) await ledger.forgetStore(series, store)
      if (!noted.has(idOf(series, store))) await note(series, store)
    }
    await ledger.recordStored(series, store, facets, files)
  }

  const own = { unstored, stored, recordStored }
  return new Proxy(ledger, {
    get(target, name) {
      if (Object.hasOwn(own, name)) return own[name as keyof typeof own]
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

async function* answered(
  ledger: Ledger,
  series: LedgerSeries,
  range: TimeRange | undefined,
): AsyncGenerator<SliceRecord> {
  for await (const record of ledger.slices(series, range)) if (isAnswered(record)) yield record
}

async function hasAny(items: AsyncIterable<unknown>): Promise<boolean> {
  for await (const _ of items) return true
  return false
}
