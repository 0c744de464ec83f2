import { EverybarError } from '../model/errors.ts'
import { parseSeries } from '../model/series.ts'
import { type ReconciledMonth, reconcileStore } from '../pipeline/reconcile-store.ts'
import type { Store } from '../store/store.ts'
import type { Selection } from './api.ts'
import type { AppContext } from './commands.ts'
import { type OpenHouse, openHouse } from './house.ts'
import { jobsOf } from './inspect.ts'
import { postgresStore } from './stores.ts'

/** SQL that would make, or has made, the tables of the PostgreSQL store what they should be; nothing when they are. */
export async function database(
  ctx: AppContext,
  deed: 'plan' | 'apply',
): Promise<{ readonly sql: readonly string[] }> {
  const { postgres } = ctx.config.stores
  if (!postgres) throw unknownStore('postgres', ['parquet'])
  const store = await postgresStore(postgres, ctx.onEvent)
  try {
    // Kite's bars have a table of their own, wanted where they are imported.
    const series = ctx.config.kite ? ['binance:spot:ANY:1d', 'kite:nse:ANY:1d'].map(parseSeries) : []
    const plan = deed === 'plan' ? await store.planSchema(series) : await store.applySchema(series)
    return { sql: plan.statements.map(({ sql }) => sql) }
  } finally {
    await store[Symbol.asyncDispose]()
  }
}

export interface ReconcileReport {
  readonly store: string
  readonly months: readonly ReconciledMonth[]
  readonly different: number
  readonly repaired: number
}

/** Compares a store with the archive, by series and month, and mends what differs where `repair` says so. */
export async function reconcileOne(
  ctx: AppContext,
  selection: Partial<Selection>,
  options: { readonly store: string; readonly repair: boolean },
): Promise<ReconcileReport> {
  const access = options.repair ? 'mend' : 'read'
  const house = await openHouse({ ...ctx, access, command: 'reconcile' })
  try {
    const store = storeNamed(house, options.store)
    const months: ReconciledMonth[] = []
    for (const job of await jobsOf(house, selection.series ?? [])) {
      const run = reconcileStore(house, job, store, { repair: options.repair, signal: ctx.signal })
      for await (const month of run) months.push(month)
    }
    const different = months.filter(({ same }) => !same).length
    return {
      store: store.name,
      months,
      different,
      repaired: months.filter(({ repaired }) => repaired).length,
    }
  } finally {
    await house[Symbol.asyncDispose]()
  }
}

/** @throws EverybarError `store.unknown` (abort). */
export function storeNamed({ stores }: Pick<OpenHouse, 'stores'>, name: string): Store {
  const store = stores.find((one) => one.name === name)
  if (store) return store
  throw unknownStore(
    name,
    stores.map((one) => one.name),
  )
}

const unknownStore = (name: string, known: readonly string[]): EverybarError =>
  new EverybarError('store.unknown', `no store is called "${name}"`, {
    recovery: 'abort',
    hint: `The configuration has ${known.join(', ')}. Add it under \`stores:\`.`,
  })
