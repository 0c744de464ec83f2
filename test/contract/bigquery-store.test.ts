import { describe } from 'vitest'
import { openBigQueryStore } from '../../src/store/bigquery/bigquery-store.ts'
import { storeContract } from '../../src/testing/store-contract.ts'
import { emulatorMissing, startEmulator } from '../support/bigquery-emulator.ts'
import { startBigQuery } from '../support/bigquery-server.ts'

const modes = [
  { mode: 'every commit a load job', liveRowsMax: 0, mergeEveryMs: 300_000 },
  { mode: 'every commit streamed', liveRowsMax: 1_000, mergeEveryMs: 300_000 },
  { mode: 'streamed and merged at once', liveRowsMax: 1_000, mergeEveryMs: 0 },
]
const servers = [
  { server: 'the local server', start: startBigQuery, missing: undefined },
  { server: 'bigquery-emulator', start: startEmulator, missing: emulatorMissing },
]
for (const { server, start, missing } of servers) {
  const suffix = missing === undefined ? '' : ` (skipped: ${missing})`
  describe.skipIf(missing !== undefined)(`bigquery on ${server}${suffix}`, () => {
    for (const { mode, ...options } of modes) {
      storeContract(`bigquery, ${mode}`, async () => {
        const { url: apiEndpoint, project, close } = await start()
        return {
          open: () =>
            openBigQueryStore({ name: 'bq', project, apiEndpoint, dmlGapMs: 0, retryDelayMs: 5, ...options }),
          remove: close,
        }
      })
    }
  })
}
