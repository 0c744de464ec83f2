import { expect, test } from 'vitest'
import { madeUpInstruments } from '../../src/simulator/kite/instruments.ts'
import { kiteHouse } from '../support/kite-house.ts'
import { virtualClock } from '../virtual-clock.ts'

const COUNT = 5_000
const MINUTE_MS = 60_000
const FLOOR_MS = (COUNT / 3) * 1_000

test.each([
  ['ten workers', 10, 200, 1.35],
  ['one worker', 1, 200, 1.7],
])(
  'five thousand instruments, %s: never more than three a second, 28 minutes at least',
  async (_name, workers, rttMs, factor) => {
    const clock = virtualClock(Date.parse('2024-03-05T17:00:00+05:30'))
    const instruments = madeUpInstruments(COUNT, 1).map((one) => ({ ...one, listed: '2024-02-26' }))
    const kite = kiteHouse({ now: '', instruments, paced: { clock, rttMs } })
    const report = await clock.run(kite.run({ from: '2024-02-26', workers }))
    expect(report.complete).toBe(true)
    expect(report.series.length).toBe(COUNT)
    // Each is asked for once, in the order of the list but for the workers' lead, and none is refused.
    expect(kite.asked.length).toBe(COUNT)
    expect(new Set(kite.asked.map(({ token }) => token)).size).toBe(COUNT)
    expect(kite.window.peak).toBe(3)
    expect(report.retries).toBe(0)
    expect(report.durationMs / MINUTE_MS).toBeGreaterThan(FLOOR_MS / MINUTE_MS - 0.1)
    expect(report.durationMs).toBeLessThan(FLOOR_MS * factor)

    kite.asked.length = 0
    const again = await clock.run(kite.run({ from: '2024-02-26', workers }))
    expect([again.complete, kite.asked.length]).toEqual([true, 0])
  },
)
