import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Ledger, SliceRecord, SliceStatus } from '../../src/ledger/ledger.ts'
import { memoryLedger } from '../../src/ledger/memory/memory-ledger.ts'
import { openSqliteLedger } from '../../src/ledger/sqlite/sqlite-ledger.ts'
import { sliceStatuses } from '../../src/ledger/status.ts'
import { collect } from '../../src/testing/collect.ts'
import { btc, hash, sliceRecord, span } from '../../src/testing/ledger-samples.ts'

/** Slices of one series in several page sizes, so that they overlap, touch and leave holes. */
const slice = fc
  .record({
    from: fc.integer({ min: 0, max: 40 }),
    width: fc.constantFrom(0.5, 1, 2, 7),
    status: fc.constantFrom<SliceStatus>(...sliceStatuses),
    sha256: fc.constantFrom(null, hash('a'), hash('b')),
    found: fc.boolean(),
  })
  .map(({ from, width, status, sha256, found }): SliceRecord => {
    const findings = found ? [{ kind: 'missing' as const, detail: 'x' }] : []
    return sliceRecord(0, { range: span(from, from + width), limit: width * 1000, status, sha256, findings })
  })

type Step = (ledger: Ledger) => Promise<void>
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.array(slice, { maxLength: 12 }).map(
    (records): Step =>
      (ledger) =>
        ledger.record(btc, records),
  ),
  fc.array(slice, { maxLength: 6 }).map(
    (records): Step =>
      (ledger) =>
        ledger.recordStored(
          btc,
          'lake',
          records.map(({ sliceId, sha256 }) => ({ sliceId, sha256: sha256 ?? hash('c'), rows: 1 })),
        ),
  ),
  fc.array(slice, { maxLength: 4 }).map(
    (records): Step =>
      (ledger) =>
        ledger.forget(
          btc,
          records.map(({ sliceId }) => sliceId),
        ),
  ),
  fc.tuple(fc.nat(30), fc.integer({ min: 1, max: 9 })).map(
    ([from, width]): Step =>
      (ledger) =>
        ledger.want(btc, span(from, from + width)),
  ),
)

async function answers(ledger: Ledger, from: number, to: number) {
  const range = span(from, to)
  // Slices of one start and end come in an order of their own in each keeper.
  const sorted = async (records: AsyncIterable<SliceRecord>) => {
    const all = await collect(records)
    const starts = all.map((record) => record.range.startMs)
    expect(starts).toEqual(starts.toSorted((a, b) => a - b))
    return all.sort((a, b) => (a.sliceId < b.sliceId ? -1 : 1))
  }
  return {
    covered: await ledger.covered(btc, range),
    slices: await sorted(ledger.slices(btc, range)),
    all: await sorted(ledger.slices(btc)),
    notable: await sorted(ledger.notable(btc, range)),
    unstored: await sorted(ledger.unstored(btc, 'lake', range)),
    stored: (await collect(ledger.stored(btc, 'lake'))).sort((a, b) => (a.sliceId < b.sliceId ? -1 : 1)),
    answered: (await collect(ledger.answeredIds(btc))).sort(),
    counts: await ledger.counts(btc),
    wanted: await ledger.wanted(btc),
  }
}

test('the database answers as the plain model does, whatever was recorded', async () => {
  const windows = fc.tuple(fc.nat(45), fc.integer({ min: 1, max: 20 }))
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 8 }), windows, async (steps, [from, width]) => {
      const model = memoryLedger()
      const database = openSqliteLedger({ path: ':memory:' })
      try {
        for (const apply of steps) {
          await apply(model)
          await apply(database)
        }
        const [start, end] = [from - 0.25, from + width / 3]
        expect(await answers(database, start, end)).toEqual(await answers(model, start, end))
      } finally {
        await database[Symbol.asyncDispose]()
      }
    }),
    { numRuns: 200 },
  )
})
