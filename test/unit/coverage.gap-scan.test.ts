import fc from 'fast-check'
import { expect, test } from 'vitest'
import { missingRuns } from '../../src/coverage/expected.ts'
import { GapScan } from '../../src/coverage/gap-scan.ts'
import { parseTimeframe } from '../../src/model/timeframe.ts'

const start = Date.UTC(2024, 0, 1)

for (const name of ['1m', '1h', '3d', '1w', '1M']) {
  test(`finds what missingRuns finds, however the times are cut: ${name}`, () => {
    const timeframe = parseTimeframe(name)
    const grid = name === '3d' ? { timeframe, anchorMs: start } : { timeframe }
    const width = {
      '1m': 60_000,
      '1h': 3_600_000,
      '3d': 3 * 86_400_000,
      '1w': 7 * 86_400_000,
      '1M': 30 * 86_400_000,
    }[name]!
    const offset = fc.integer({ min: -5, max: 60 })
    const times = fc.uniqueArray(fc.tuple(offset, fc.constantFrom(0, 0, 0, 1, 1_000)), {
      maxLength: 50,
      selector: ([n, off]) => n * width + off,
    })
    fc.assert(
      fc.property(
        times,
        fc.nat(50),
        fc.integer({ min: 1, max: 55 }),
        fc.nat(3),
        (slots, cut, bars, extra) => {
          const all = Float64Array.from(slots.map(([n, off]) => start + n * width + off)).sort()
          const range = { startMs: start + extra, endMs: start + extra + bars * width }
          const scan = new GapScan(grid, range)
          scan.add(all.subarray(0, cut))
          scan.add(all.subarray(cut))
          expect(scan.missing()).toEqual(missingRuns(grid, range, all))
          expect(scan.present).toBe(all.filter((ms) => ms >= range.startMs && ms < range.endMs).length)
          expect(scan.disorderMs).toBe(undefined)
        },
      ),
    )
  })
}

test('notices times that do not ascend, across cuts too', () => {
  const grid = { timeframe: parseTimeframe('1m') }
  const range = { startMs: start, endMs: start + 600_000 }
  const cases: readonly (readonly [number[], number[], number])[] = [
    [[0, 1, 1], [], 1],
    [[0, 2], [1, 3], 1],
    [[5], [5], 5],
  ]
  for (const [first, second, at] of cases) {
    const scan = new GapScan(grid, range)
    for (const part of [first, second]) scan.add(Float64Array.from(part.map((n) => start + n * 60_000)))
    expect(scan.disorderMs).toBe(start + at * 60_000)
  }
})
