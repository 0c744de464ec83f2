import { afterAll, beforeAll } from 'vitest'
import { openBigQueryStore } from '../../src/store/bigquery/bigquery-store.ts'
import { storeContract } from '../../src/testing/store-contract.ts'
import { type BigQueryServer, startBigQuery } from '../support/bigquery-server.ts'

let server: BigQueryServer
beforeAll(async () => {
  server = await startBigQuery()
})
afterAll(() => server.close())

const modes = [
  { name: 'bigquery, every commit a load job', liveRowsMax: 0, mergeEveryMs: 300_000 },
  { name: 'bigquery, every commit streamed', liveRowsMax: 1_000, mergeEveryMs: 300_000 },
  { name: 'bigquery, streamed and merged at once', liveRowsMax: 1_000, mergeEveryMs: 0 },
]
for (const [i, { name, ...mode }] of modes.entries()) {
  storeContract(name, async () => ({
    open: () =>
      openBigQueryStore({
        name: 'bq',
        project: server.project,
        dataset: `contract_${i}`,
        apiEndpoint: server.url,
        dmlGapMs: 0,
        retryDelayMs: 5,
        ...mode,
      }),
  }))
}
