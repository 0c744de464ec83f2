import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Bar, barsOf, batchFromBars } from '../../src/model/bar.ts'
import { holds } from '../../src/model/range-set.ts'
import { series } from '../../src/model/series.ts'
import { validate } from '../../src/validate/validate.ts'

const t0 = Date.UTC(2024, 0, 1)
const SLOTS = 40
const of = series({ venue: 'v', market: 'm', symbol: 'S' }, '1m')

/** What became of the one true bar of each slot before it was sent. */
type Fate = 'absent' | 'sent' | 'doubled' | 'bad-ohlc' | 'negative' | 'nan' | 'bad-then-good'
const fates: readonly Fate[] = ['absent', 'sent', 'doubled', 'bad-ohlc', 'negative', 'nan', 'bad-then-good']

const truth = (slot: number): Bar => {
  const price = 100 + ((slot * 7) % 13)
  return {
    openTimeMs: t0 + slot * 60_000,
    open: price,
    high: price + 2,
    low: price - 1,
    close: price + 1,
    volume: slot % 5,
    native: { closeTimeMs: t0 + (slot + 1) * 60_000 - 1, trades: slot },
  }
}

function rowsOf(slot: number, fate: Fate): Bar[] {
  const bar = truth(slot)
  const broken = { ...bar, high: bar.low - 1 }
  switch (fate) {
    case 'absent':
      return []
    case 'sent':
      return [bar]
    case 'doubled':
      return [bar, bar]
    case 'bad-ohlc':
      return [broken]
    case 'negative':
      return [{ ...bar, volume: -1 }]
    case 'nan':
      return [{ ...bar, close: Number.NaN }]
    case 'bad-then-good':
      return [broken, bar]
    default:
      return fate satisfies never
  }
}

test('any shuffled, doubled, garbled page gives exactly the true bars that were sent whole', () => {
  const page = fc
    .record({
      fates: fc.array(fc.constantFrom(...fates), { minLength: SLOTS, maxLength: SLOTS }),
      from: fc.integer({ min: 0, max: SLOTS / 2 }),
      length: fc.integer({ min: 1, max: SLOTS }),
      finalSlots: fc.integer({ min: 0, max: SLOTS + 5 }),
    })
    .chain((made) => {
      const rows = made.fates.flatMap((fate, slot) => rowsOf(slot, fate))
      return fc.record({
        made: fc.constant(made),
        rows: fc.shuffledSubarray(rows, { minLength: rows.length, maxLength: rows.length }),
      })
    })
  fc.assert(
    fc.property(page, ({ made, rows }) => {
      const range = { startMs: t0 + made.from * 60_000, endMs: t0 + (made.from + made.length) * 60_000 }
      const asOfMs = t0 + made.finalSlots * 60_000
      const result = validate(
        { rows: batchFromBars(rows), badRows: [] },
        { series: of, range, asOfMs, settleMs: 0 },
      )
      const judged = made.fates
        .map((fate, slot) => ({ fate, slot }))
        .filter(({ slot }) => slot >= made.from && slot < made.from + made.length && slot < made.finalSlots)
      const whole = judged.filter(({ fate }) => ['sent', 'doubled', 'bad-then-good'].includes(fate))
      const lost = judged.filter(({ fate }) => ['bad-ohlc', 'negative', 'nan'].includes(fate))
      expect(barsOf(result.accepted)).toEqual(
        rows.length === 0 || whole.length === 0 ? [] : whole.map(({ slot }) => truth(slot)),
      )
      for (let slot = 0; slot < SLOTS; slot++) {
        expect(holds(result.quarantined, t0 + slot * 60_000)).toBe(lost.some((l) => l.slot === slot))
      }
      expect(result.untrusted).toBe(false)
    }),
    { numRuns: 300 },
  )
})
