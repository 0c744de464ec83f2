import { afterAll, beforeAll } from 'vitest'
import { openBigQueryStore } from '../../src/store/bigquery/bigquery-store.ts'
import { storeContract } from '../../src/testing/store-contract.ts'
import { type BigQueryServer, startBigQuery } from '../support/bigquery-server.ts'

let server: BigQueryServer
beforeAll(async () => {
  server = await startBigQuery()
})
afterAll(() => server.close())

let datasets = 0
storeContract('bigquery, load jobs', async () => {
  const dataset = `contract_${++datasets}`
  return {
    open: () =>
      openBigQueryStore({
        name: 'bq',
        project: server.project,
        dataset,
        apiEndpoint: server.url,
        liveRowsMax: 0,
        dmlGapMs: 0,
        retryDelayMs: 5,
      }),
  }
})
