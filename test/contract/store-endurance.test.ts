import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { openBigQueryStore } from '../../src/store/bigquery/bigquery-store.ts'
import { openLake } from '../../src/store/parquet/open-lake.ts'
import { openPostgresStore } from '../../src/store/postgres/postgres-store.ts'
import { storeEndurance } from '../../src/testing/store-endurance.ts'
import { type BigQueryServer, startBigQuery } from '../support/bigquery-server.ts'
import { type PostgresServer, startPostgres } from '../support/postgres-server.ts'

let postgres: PostgresServer
let bigquery: BigQueryServer
beforeAll(async () => {
  postgres = await startPostgres()
  bigquery = await startBigQuery()
})
afterAll(async () => {
  await postgres.stop()
  await bigquery.close()
})

storeEndurance('parquet', async () => {
  const root = await mkdtemp(join(tmpdir(), 'everybar-endurance-'))
  return { open: () => openLake({ root }), remove: () => rm(root, { recursive: true, force: true }) }
})

storeEndurance('postgres', async () => {
  const url = await postgres.freshDatabase()
  return { open: () => openPostgresStore({ name: 'pg', url }) }
})

// A hundred thousand bars: the local server keeps whole answers and writes them as JSON text, as the real one does.
let datasets = 0
storeEndurance(
  'bigquery',
  async () => {
    const dataset = `endurance_${++datasets}`
    const { project, url: apiEndpoint } = bigquery
    return {
      open: () =>
        openBigQueryStore({ name: 'bq', project, dataset, apiEndpoint, dmlGapMs: 0, retryDelayMs: 5 }),
    }
  },
  { bars: 100_000 },
)
