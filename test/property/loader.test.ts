import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { densify } from '../../src/loader/export/dense.ts'
import { type Feature, featureName, featureReach, featureSql } from '../../src/loader/features.ts'
import { type FillRule, fillFrames } from '../../src/loader/fill.ts'
import { concatFrames, type Frame } from '../../src/loader/frame.ts'
import { Engine } from '../../src/loader/read/engine.ts'
import { MissingTracker } from '../../src/loader/read/missing.ts'
import { framesOf } from '../../src/loader/read/scan.ts'
import { slotsOf } from '../../src/loader/read/slots.ts'
import { ArrowSink } from '../../src/loader/write/arrow-sink.ts'
import { MINUTE_MS } from '../../src/model/time.ts'
import { parseTimeframe } from '../../src/model/timeframe.ts'
import { readGluonts } from '../consumers.ts'
import { collect, scratch } from '../loader-lake.ts'

const minute = parseTimeframe('1m')

/** A frame of one column, its times `at` minutes. */
const frameOf = (at: readonly number[], columns: Record<string, readonly number[]>): Frame => ({
  length: at.length,
  timeMs: Float64Array.from(at, (i) => i * MINUTE_MS),
  columns: Object.fromEntries(
    Object.entries(columns).map(([name, values]) => [name, Float64Array.from(values)]),
  ),
  filled: {},
})

/** The same rows in frames that end at `cuts`. */
async function* inPieces(frame: Frame, cuts: readonly number[]): AsyncGenerator<Frame> {
  const ends = [...new Set(cuts.map((cut) => cut % (frame.length + 1))), frame.length].sort((a, b) => a - b)
  let from = 0
  for (const to of ends) {
    yield {
      length: to - from,
      timeMs: frame.timeMs.slice(from, to),
      columns: Object.fromEntries(
        Object.entries(frame.columns).map(([name, v]) => [name, v.slice(from, to)]),
      ),
      filled: {},
    }
    from = to
  }
}

const price = fc.integer({ min: 1, max: 1000 })
const holey = fc.array(fc.option(price, { nil: Number.NaN, freq: 2 }), { minLength: 1, maxLength: 60 })
const cuts = fc.array(fc.nat(60), { maxLength: 6 })

describe('filling', () => {
  const rules: FillRule[] = ['leave', 'previous', 'previous-close', 'zero', 'linear', 'linear-zero']

  /** What the rule says, of the whole column at once. */
  function expected(rule: FillRule, values: readonly number[], runMax: number): number[] {
    return values.map((value, i) => {
      if (!Number.isNaN(value) || rule === 'leave') return value
      let start = i
      while (start > 0 && Number.isNaN(values[start - 1]!)) start--
      let end = i
      while (end < values.length && Number.isNaN(values[end]!)) end++
      const [before, after] = [values[start - 1], values[end]]
      if (before === undefined) return value
      if (rule === 'linear' || rule === 'linear-zero') {
        if (after === undefined || end - start > runMax) return value
        return rule === 'linear' ? before + ((after - before) * (i - start + 1)) / (end - start + 1) : 0
      }
      if (i - start >= runMax) return value
      return rule === 'zero' ? 0 : before
    })
  }

  test.each(rules)(
    '%s: as said, however the rows come, marking what it makes and nothing else',
    async (rule) => {
      await fc.assert(
        fc.asyncProperty(holey, cuts, fc.integer({ min: 1, max: 8 }), async (values, at, runMax) => {
          const whole = frameOf(
            values.map((_, i) => i),
            { close: values },
          )
          const frames = await collect(fillFrames(inPieces(whole, at), { rules: { close: rule }, runMax }))
          const all = concatFrames(frames, ['close'])
          const wanted = expected(rule, values, runMax)
          expect(all.length).toBe(values.length)
          all.columns.close!.forEach((value, i) => {
            if (Number.isNaN(wanted[i]!)) expect(value).toBeNaN()
            else expect(value).toBeCloseTo(wanted[i]!, 9)
            const made = Number.isNaN(values[i]!) && !Number.isNaN(value)
            expect(all.filled.close?.[i] ?? 0).toBe(made ? 1 : 0)
          })
        }),
      )
    },
  )

  test('every price of a missing bar is the close before, whatever column is asked for', async () => {
    const whole = frameOf([0, 1, 2], { open: [1, Number.NaN, 5], close: [2, Number.NaN, 6] })
    const rules = { open: 'previous-close', close: 'previous-close' } as const
    const [frame] = await collect(fillFrames(inPieces(whole, []), { rules, runMax: 9 }))
    expect([...frame!.columns.open!]).toEqual([1, 2, 5])
  })
})

describe('the grid', () => {
  const times = fc.uniqueArray(fc.nat(120), { maxLength: 80 }).map((at) => at.sort((a, b) => a - b))

  test('every slot has a row, stored ones their values, whatever is missing or off the grid', async () => {
    await fc.assert(
      fc.asyncProperty(
        times,
        cuts,
        fc.nat(60),
        fc.integer({ min: 1, max: 90 }),
        fc.integer({ min: 1, max: 17 }),
        async (halves, at, from, width, rowsMax) => {
          // Half minutes: the odd ones are off the grid.
          const rows = halves.map((half) => half / 2)
          const whole = frameOf(rows, { close: rows.map((i) => i + 1000) })
          const range = { startMs: from * MINUTE_MS, endMs: (from + width) * MINUTE_MS }
          const slots = slotsOf('calendar', minute, range)
          const counts = { offGrid: 0, missing: 0 }
          const within = inPieces(whole, at)
          const frames = await collect(densify(within, ['close'], slots, rowsMax, counts))
          const all = concatFrames(frames, ['close'])
          expect(Math.max(0, ...frames.map((frame) => frame.length))).toBeLessThanOrEqual(rowsMax)
          const stored = new Set(rows)
          expect([...all.timeMs]).toEqual(Array.from({ length: width }, (_, i) => (from + i) * MINUTE_MS))
          all.columns.close!.forEach((value, i) => {
            expect(value).toEqual(stored.has(from + i) ? from + i + 1000 : Number.NaN)
          })
          const onGrid = rows.filter((i) => Number.isInteger(i) && i >= from && i < from + width).length
          expect(counts).toEqual({ offGrid: rows.length - onGrid, missing: width - onGrid })
        },
      ),
    )
  })

  test('missing runs are what the slots lack, joined where they touch', () => {
    fc.assert(
      fc.property(times, fc.integer({ min: 1, max: 70 }), (halves, width) => {
        const rows = halves.map((half) => half / 2).filter((i) => i < width)
        const tracker = new MissingTracker(
          slotsOf('calendar', minute, { startMs: 0, endMs: width * MINUTE_MS }),
        )
        for (const i of rows) tracker.saw(i * MINUTE_MS)
        const runs = tracker.end()
        const missing = runs.flatMap(({ range, bars }) => {
          expect(range.endMs - range.startMs).toBe(bars * MINUTE_MS)
          return Array.from({ length: bars }, (_, k) => range.startMs / MINUTE_MS + k)
        })
        const stored = new Set(rows)
        expect(missing).toEqual(Array.from({ length: width }, (_, i) => i).filter((i) => !stored.has(i)))
        runs.slice(1).forEach((run, i) => {
          expect(run.range.startMs).toBeGreaterThan(runs[i]!.range.endMs)
        })
      }),
    )
  })
})

describe('features', () => {
  const engine = new Engine({ threads: 1 })
  afterAll(() => engine.close())

  const backward: Feature[] = [
    { kind: 'return', column: 'x' },
    { kind: 'log-return', column: 'x', bars: 3 },
    { kind: 'lag', column: 'x', bars: 2 },
    { kind: 'spread', column: 'x', minus: 'y' },
    { kind: 'volatility', column: 'x', window: 4 },
    { kind: 'rolling', column: 'x', statistic: 'mean', window: 3 },
    { kind: 'rolling', column: 'y', statistic: 'std', window: 3 },
    { kind: 'rolling', column: 'x', statistic: 'min', window: 5 },
    { kind: 'rolling', column: 'x', statistic: 'max', window: 2 },
    { kind: 'rolling', column: 'x', statistic: 'sum', window: 4, name: 'total' },
  ]
  const targets: Feature[] = [
    { kind: 'target', column: 'x', horizon: 3 },
    { kind: 'target', column: 'x', horizon: 2, of: 'log-return', name: 'ahead' },
  ]

  type Bars = readonly { readonly i: number; readonly x: number; readonly y: number }[]
  const bars = fc
    .uniqueArray(fc.record({ i: fc.nat(40), x: price, y: price }), {
      selector: (bar) => bar.i,
      minLength: 1,
      maxLength: 30,
    })
    .map((rows) => rows.sort((a, b) => a.i - b.i))

  async function compute(rows: Bars, features: readonly Feature[], from = 0, to = 100): Promise<Frame> {
    const values = rows.map(({ i, x, y }) => `(${i * MINUTE_MS}::DOUBLE, ${x}::DOUBLE, ${y}::DOUBLE)`)
    const select = `SELECT * FROM (VALUES ${values.join(', ')}) AS v(t, x, y)`
    const range = { startMs: from * MINUTE_MS, endMs: to * MINUTE_MS }
    const sql = featureSql(select, features, { timeframe: minute, range, keep: ['x'] })
    const names = ['x', ...features.map(featureName)]
    return concatFrames(await collect(framesOf(engine, sql, names, ['memory'], 1000)), names)
  }

  const rowsUpTo = (frame: Frame, i: number) =>
    [...frame.timeMs].flatMap((ms, row) =>
      ms / MINUTE_MS <= i ? [Object.values(frame.columns).map((column) => column[row]!)] : [],
    )

  test('whatever comes later, nothing before it changes', async () => {
    await fc.assert(
      fc.asyncProperty(bars, fc.nat(40), price, async (rows, border, shift) => {
        const changed = rows.map((bar) => (bar.i > border ? { ...bar, x: bar.x + shift, y: bar.y * 2 } : bar))
        const before = await compute(rows, backward)
        const after = await compute(changed, backward)
        expect(rowsUpTo(after, border)).toEqual(rowsUpTo(before, border))
        const cut = rows.filter((bar) => bar.i <= border)
        if (cut.length > 0)
          expect(rowsUpTo(await compute(cut, backward), border)).toEqual(rowsUpTo(before, border))
      }),
      { numRuns: 40 },
    )
  })

  test('a target reaches as far as it says, and no farther', async () => {
    expect(featureReach([...backward, ...targets])).toEqual({ back: 4, ahead: 3 })
    await fc.assert(
      fc.asyncProperty(bars, fc.nat(40), price, async (rows, border, shift) => {
        const changed = rows.map((bar) => (bar.i > border + 3 ? { ...bar, x: bar.x + shift } : bar))
        expect(rowsUpTo(await compute(changed, targets), border)).toEqual(
          rowsUpTo(await compute(rows, targets), border),
        )
      }),
      { numRuns: 20 },
    )
  })

  test('they are what they are called, and not known where a bar in between is missing', async () => {
    await fc.assert(
      fc.asyncProperty(bars, async (rows) => {
        const frame = await compute(rows, [...backward, ...targets])
        const at = new Map(rows.map((bar) => [bar.i, bar]))
        const window = (i: number, n: number, of: 'x' | 'y') =>
          Array.from({ length: n }, (_, k) => at.get(i - k)?.[of] ?? Number.NaN)
        const sum = (values: number[]) => values.reduce((a, b) => a + b, 0)
        const std = (values: number[]) => {
          const mean = sum(values) / values.length
          return Math.sqrt(sum(values.map((v) => (v - mean) ** 2)) / (values.length - 1))
        }
        rows.forEach(({ i, x, y }, row) => {
          const logs = [0, 1, 2, 3].map((k) =>
            Math.log((at.get(i - k)?.x ?? Number.NaN) / (at.get(i - k - 1)?.x ?? Number.NaN)),
          )
          const wanted = [
            x,
            x / (at.get(i - 1)?.x ?? Number.NaN) - 1,
            Math.log(x / (at.get(i - 3)?.x ?? Number.NaN)),
            at.get(i - 2)?.x ?? Number.NaN,
            x - y,
            std(logs),
            sum(window(i, 3, 'x')) / 3,
            std(window(i, 3, 'y')),
            Math.min(...window(i, 5, 'x')),
            Math.max(...window(i, 2, 'x')),
            sum(window(i, 4, 'x')),
            at.get(i + 3)?.x ?? Number.NaN,
            Math.log((at.get(i + 2)?.x ?? Number.NaN) / x),
          ]
          Object.values(frame.columns).forEach((column, k) => {
            if (Number.isNaN(wanted[k]!)) expect(column[row]).toBeNaN()
            else expect(column[row]).toBeCloseTo(wanted[k]!, 6)
          })
        })
      }),
      { numRuns: 30 },
    )
  })

  test('a part of the range has what the whole has there', async () => {
    await fc.assert(
      fc.asyncProperty(bars, fc.nat(40), async (rows, from) => {
        const whole = await compute(rows, backward)
        const part = await compute(rows, backward, from)
        const skipped = [...whole.timeMs].filter((ms) => ms / MINUTE_MS < from).length
        expect(part.length).toBe(whole.length - skipped)
        for (const [name, column] of Object.entries(part.columns)) {
          expect([...column]).toEqual([...whole.columns[name]!.slice(skipped)])
        }
      }),
      { numRuns: 20 },
    )
  })
})

test('an Arrow file gives back every row, whatever the names and lengths', async () => {
  const folder = scratch()
  const row = fc.record({
    item_id: fc.string({ unit: 'grapheme', maxLength: 20 }),
    start: fc.integer({ min: 0, max: 4e12 }),
    target: fc.array(fc.option(fc.float({ noNaN: true }), { nil: Number.NaN }), { maxLength: 20 }),
  })
  let n = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(row, { minLength: 1, maxLength: 4 }), { maxLength: 4 }),
      async (batches) => {
        const path = join(folder, `${n++}.arrow`)
        const sink = new ArrowSink(path, [
          { name: 'start', type: 'timestamp' },
          { name: 'target', type: 'list<float32>' },
          { name: 'item_id', type: 'utf8' },
        ])
        for (const rows of batches) {
          await sink.append(
            [
              { name: 'start', type: 'timestamp', values: Float64Array.from(rows, (r) => r.start) },
              { name: 'target', type: 'list<float32>', values: rows.map((r) => Float32Array.from(r.target)) },
              { name: 'item_id', type: 'utf8', values: rows.map((r) => r.item_id) },
            ],
            rows.length,
          )
        }
        await sink.close()
        const read = readGluonts(path).rows.map((r) => ({ ...r, target: [...r.target] }))
        expect(read).toEqual(batches.flat())
      },
    ),
    { numRuns: 50 },
  )
})
