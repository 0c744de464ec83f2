import { expect, test } from 'vitest'
import type { Ledger, SliceRecord } from '../../src/ledger/ledger.ts'
import { memoryLedger } from '../../src/ledger/memory/memory-ledger.ts'
import { parseSeries } from '../../src/model/series.ts'
import { slice } from '../../src/model/slice.ts'
import { MINUTE_MS, timeRange } from '../../src/model/time.ts'
import { type House, jobOf } from '../../src/pipeline/house.ts'
import { Settler } from '../../src/pipeline/settle.ts'
import { binanceSources } from '../../src/source/binance/sources.ts'
import { openMemoryStore } from '../../src/store/memory/open-memory-store.ts'
import type { Store } from '../../src/store/store.ts'
import { collect } from '../../src/testing/collect.ts'
import { sliceRecord } from '../../src/testing/ledger-samples.ts'
import { minutes } from '../support/bars.ts'

/** A store that refuses the bar at one time. */
function refusing(store: Store, openTimeMs: number): Store {
  return {
    traits: store.traits,
    name: store.name,
    async commit(series, batch) {
      const result = await store.commit(series, batch)
      const refused = batch.openTimeMs.includes(openTimeMs)
      return refused ? { ...result, setAside: [{ openTimeMs, reason: 'it may not be' }] } : result
    },
  } as Store
}

test('a bar refused in the first part of its slice keeps the slice behind, though the rest is committed later', async () => {
  const ledger: Ledger = memoryLedger()
  const lastOfMarch = Date.UTC(2024, 2, 31, 23, 59)
  const store = refusing(openMemoryStore(), lastOfMarch)
  const sources = binanceSources()
  const job = jobOf({ sources }, parseSeries('binance:spot:BTCUSDT:1m'))
  const house = { ledger, stores: [store], onEvent: () => {} } as unknown as House
  const settler = new Settler(house, job)

  // Enough bars for a commit at the month's end, with a slice that goes on into the next month.
  const edges = [Date.UTC(2024, 0), Date.UTC(2024, 1), Date.UTC(2024, 2), lastOfMarch - 499 * MINUTE_MS]
  const ranges = [...edges, lastOfMarch + 501 * MINUTE_MS]
    .slice(1)
    .map((endMs, n) => timeRange(edges[n]!, endMs))
  const records: SliceRecord[] = ranges.map((range) => sliceRecord(0, { range }))
  for (const record of records) {
    const { startMs, endMs } = record.range
    const bars = minutes((endMs - startMs) / MINUTE_MS, { fromMs: startMs })
    await settler.add({ slice: slice(job.series, job.source.spec.id, record.range, 1000), record, bars })
  }
  const settled = await settler.finish()

  expect(settled.errors.map(({ code }) => code)).toEqual(['store.set-aside'])
  expect(settled.slicesStored).toBe(3)
  const behind = await collect(ledger.unstored(job.ref, store.name))
  expect(behind.map(({ sliceId }) => sliceId)).toEqual([records[3]!.sliceId])
})
