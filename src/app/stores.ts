import type { Config } from '../config/schema.ts'
import { type EverybarError, isEverybarError } from '../model/errors.ts'
import type { Clock, OnEvent } from '../model/events.ts'
import type { Series } from '../model/series.ts'
import { parseTimeframe } from '../model/timeframe.ts'
import { type BigQueryStore, openBigQueryStore } from '../store/bigquery/bigquery-store.ts'
import type { Lake } from '../store/lake.ts'
import { type InstrumentRow, writeInstruments } from '../store/postgres/instruments.ts'
import type { PostgresStoreOptions } from '../store/postgres/options.ts'
import { openPostgresStore, type PostgresStore } from '../store/postgres/postgres-store.ts'
import type { Store } from '../store/store.ts'

/** The stores of a house in the order reports use: the lake first, unless it is switched off and another is there. */
export async function openStores(
  config: Config,
  lake: Lake,
  clock: Clock,
  onEvent: OnEvent,
  tokenKeyOf?: (series: Series) => string,
): Promise<Store[]> {
  const { postgres, bigquery, parquet } = config.stores
  const others: Store[] = []
  if (postgres) others.push(await postgresStore(postgres, onEvent, tokenKeyOf))
  if (bigquery) others.push(await bigQueryStore(bigquery, clock, onEvent))
  const guarded = others.map((store) => withMemory(store, clock))
  return parquet.enabled || guarded.length === 0 ? [lake, ...guarded] : guarded
}

/** The BigQuery store by itself. Calls nothing until it is used. */
export const bigQueryStore = (
  given: NonNullable<Config['stores']['bigquery']>,
  clock: Clock,
  onEvent: OnEvent,
): Promise<BigQueryStore> =>
  openBigQueryStore({
    name: 'bigquery',
    onEvent,
    nowMs: clock.nowMs,
    project: given.project,
    ...(given.dataset && { dataset: given.dataset }),
    ...(given.table && { table: given.table }),
    ...(given.location && { location: given.location }),
    ...(given.api_endpoint && { apiEndpoint: given.api_endpoint }),
    ...(given.schema_mode && { schemaMode: given.schema_mode }),
  })

/** The PostgreSQL store by itself, for `db plan` and `db apply`. Connects at first use. */
export function postgresStore(
  options: NonNullable<Config['stores']['postgres']>,
  onEvent: OnEvent,
  tokenKeyOf?: (series: Series) => string,
): Promise<PostgresStore> {
  return openPostgresStore(postgresOptions(options, onEvent, tokenKeyOf))
}

/** The instruments of Kite in a table of their own, beside that of its bars. Gives the rows that were new or changed. */
export const writeKiteInstruments = (
  options: NonNullable<Config['stores']['postgres']>,
  rows: readonly InstrumentRow[],
  onEvent: OnEvent,
): Promise<number> => writeInstruments(postgresOptions(options, onEvent), 'kite_instruments', rows)

function postgresOptions(
  options: NonNullable<Config['stores']['postgres']>,
  onEvent: OnEvent,
  token?: (series: Series) => string,
): PostgresStoreOptions {
  const { schema_mode, columnstore_after_days, connections, aggregates, ...same } = options
  const given = Object.fromEntries(Object.entries(same).filter(([, value]) => value !== undefined))
  return {
    ...given,
    name: 'postgres',
    onEvent,
    tokenTable: { name: 'kite_ohlcv_historic', venues: ['kite'], ...(token && { token }) },
    ...(schema_mode && { schemaMode: schema_mode }),
    ...(columnstore_after_days !== undefined && { columnstoreAfterDays: columnstore_after_days }),
    ...(connections && { connectionsMax: connections }),
    ...(aggregates && {
      aggregates: aggregates.map((one) => ({ ...one, base: parseTimeframe(one.base) })),
    }),
  }
}

/** How long a store that could not be reached is taken to be down. */
const DOWN_MS = 30_000

/** A store that was just found down says so at once: a thousand series do not wait for it a thousand times. */
function withMemory(store: Store, clock: Clock): Store {
  let down: { readonly error: EverybarError; readonly sinceMs: number } | undefined
  const refuseWhileDown = () => {
    if (down && clock.monotonicMs() - down.sinceMs < DOWN_MS) throw down.error
  }
  const watched = async <T>(work: () => Promise<T>): Promise<T> => {
    refuseWhileDown()
    try {
      const result = await work()
      down = undefined
      return result
    } catch (error) {
      if (isEverybarError(error) && error.recovery === 'retry') down = { error, sinceMs: clock.monotonicMs() }
      throw error
    }
  }
  const { provisional, target } = store
  return {
    traits: store.traits,
    name: store.name,
    ...(target !== undefined && { target }),
    commit: (...given) => watched(() => store.commit(...given)),
    append: (...given) => watched(() => store.append(...given)),
    ...(provisional && { provisional: (...given) => watched(() => provisional.apply(store, given)) }),
    replace: (...given) => watched(() => store.replace(...given)),
    extent: (...given) => watched(() => store.extent(...given)),
    scan: (...given) => {
      refuseWhileDown()
      return store.scan(...given)
    },
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  }
}
