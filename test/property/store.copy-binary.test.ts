import fc from 'fast-check'
import { expect, test } from 'vitest'
import { allocateBatch, type BarBatch, concatBatches, nativeFields } from '../../src/model/bar.ts'
import { parseSeries } from '../../src/model/series.ts'
import { CopyDecoder, encodeCopy } from '../../src/store/postgres/copy-binary.ts'
import { barsLayout } from '../../src/store/postgres/layout.ts'
import { settingsOf } from '../../src/store/postgres/options.ts'

const layout = barsLayout(settingsOf({ name: 'pg' }))
const double = fc.double({ noNaN: true, noDefaultInfinity: true })
const count = fc.oneof(fc.maxSafeNat(), fc.constant(Number.NaN))

const batches = fc
  .record({
    times: fc.uniqueArray(fc.integer({ min: 0, max: 9e12 }), { maxLength: 40 }),
    fields: fc.subarray([...nativeFields]),
    values: fc.array(double, { minLength: 1 }),
    counts: fc.array(count, { minLength: 1 }),
  })
  .map(({ times, fields, values, counts }): BarBatch => {
    const batch = allocateBatch(times.length, fields)
    batch.openTimeMs.set([...times].sort((a, b) => a - b))
    for (const name of ['open', 'high', 'low', 'close', 'volume'] as const) {
      batch[name].set(times.map((_, i) => values[(i * 7 + name.length) % values.length]!))
    }
    for (const name of fields) {
      const from = name === 'trades' ? counts : name === 'closeTimeMs' ? times : values
      batch.native[name]!.set(times.map((_, i) => from[i % from.length]!))
    }
    return batch
  })

/** A column nobody knows anything in is not there: NULL and absent are one thing to the table. */
function known(batch: BarBatch): BarBatch {
  const native = Object.entries(batch.native).filter(([, column]) =>
    column.some((value) => !Number.isNaN(value)),
  )
  return { ...batch, native: Object.fromEntries(native) }
}

test('what is written as binary COPY reads back the same, however the bytes are cut', () => {
  fc.assert(
    fc.property(
      batches,
      fc.integer({ min: 1, max: 200 }),
      fc.integer({ min: 1, max: 50 }),
      (batch, cut, rowsMax) => {
        const bytes = Buffer.concat([...encodeCopy(layout, batch)])
        const decoder = new CopyDecoder(layout, rowsMax)
        const runs: BarBatch[] = []
        for (let at = 0; at < bytes.length; at += cut)
          runs.push(...decoder.push(bytes.subarray(at, at + cut)))
        runs.push(decoder.end())
        expect(runs.slice(0, -1).every(({ length }) => length === rowsMax)).toBe(true)
        expect(known(concatBatches([...runs, allocateBatch(0)]))).toEqual(known(concatBatches([batch])))
      },
    ),
  )
})

test('a stream is cut into chunks of bounded size, whatever the batch', () => {
  const sizes = (length: number) =>
    [...encodeCopy(layout, allocateBatch(length), parseSeries('binance:spot:BTCUSDT:1m'))].map(
      (chunk) => chunk.length,
    )
  expect(Math.max(...sizes(50_000))).toBe(Math.max(...sizes(10_000)))
})
