import { openHouse } from '../../src/app/house.ts'
import { configSchema } from '../../src/config/schema.ts'
import { emptyBatch, sliceBatch } from '../../src/model/bar.ts'
import { silent } from '../../src/model/events.ts'
import { parseSeries } from '../../src/model/series.ts'
import { jobOf } from '../../src/pipeline/house.ts'
import type { AppendEntry } from '../../src/store/store.ts'
import { contentOf } from '../../src/testing/store-samples.ts'

/**
 * Makes of a root that was synced one that was followed live: the last bars of series, as many as said, are taken out
 * of their month files and appended one by one, the last ones of all together. The ledger knows what it would know then.
 */
export async function appendedLive(root: string, counts: Readonly<Record<string, number>>): Promise<void> {
  const house = await openHouse({
    config: configSchema.parse({ root }),
    onEvent: silent,
    access: 'write',
    command: 'test',
  })
  try {
    const tails: AppendEntry[] = []
    for (const [id, count] of Object.entries(counts)) {
      const job = jobOf(house, parseSeries(id))
      const { openTimeMs, length } = await contentOf(house.lake, job.series)
      const range = { startMs: openTimeMs[length - count]!, endMs: Date.UTC(2100, 0, 1) }
      tails.push({ series: job.series, batch: await contentOf(house.lake, job.series, range) })
      const { files } = await house.lake.replace(job.series, range, emptyBatch)
      await house.ledger.recordStored(job.ref, house.lake.name, [], files)
    }
    const steps = Math.max(...Object.values(counts))
    for (let left = steps; left > 0; left--) {
      await house.lake.append(
        tails.map(({ series, batch }) => ({
          series,
          batch: sliceBatch(batch, batch.length - left, left > batch.length ? 0 : batch.length - left + 1),
        })),
      )
    }
  } finally {
    await house[Symbol.asyncDispose]()
  }
}
