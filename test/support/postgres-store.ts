import type { EverybarEvent } from '../../src/model/events.ts'
import type { PostgresStoreOptions } from '../../src/store/postgres/options.ts'
import { openPostgresStore, type PostgresStore } from '../../src/store/postgres/postgres-store.ts'
import type { PostgresServer } from './postgres-server.ts'

/** Uses a store on a database of its own, or on that of `options.url`, and closes it. Waits between tries are short. */
export async function onServer(
  server: PostgresServer,
  options: Partial<PostgresStoreOptions>,
  use: (store: PostgresStore, url: string, events: EverybarEvent[]) => Promise<void>,
): Promise<void> {
  const events: EverybarEvent[] = []
  const url = options.url ?? (await server.freshDatabase())
  const onEvent = (event: EverybarEvent) => events.push(event)
  const store = await openPostgresStore({ name: 'pg', url, onEvent, retryDelayMs: 20, ...options })
  try {
    await use(store, url, events)
  } finally {
    await store[Symbol.asyncDispose]()
  }
}

export const databaseOf = (url: string): string => new URL(url).pathname.slice(1)
