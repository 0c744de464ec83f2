import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { batchProgress } from '../../src/app/kite-import.ts'
import { Bucket } from '../../src/fetch/limits/bucket.ts'
import { createFetcher } from '../../src/fetch/undici/create-fetcher.ts'
import { openInstrumentBook } from '../../src/ledger/sqlite/instrument-book.ts'
import { barsOf } from '../../src/model/bar.ts'
import type { Clock } from '../../src/model/events.ts'
import type { InstrumentLine } from '../../src/model/instrument-line.ts'
import { parseSeries } from '../../src/model/series.ts'
import { sliceRanges } from '../../src/model/slice.ts'
import { DAY_MS } from '../../src/model/time.ts'
import { jobOf } from '../../src/pipeline/house.ts'
import { CandleMaker } from '../../src/simulator/kite/candles.ts'
import { readCandles } from '../../src/source/kite/candles.ts'
import { istMidnight, istStamp, istText, kiteIntervals } from '../../src/source/kite/intervals.ts'
import { kiteLimits, kiteSources } from '../../src/source/kite/sources.ts'
import { openMemoryStore } from '../../src/store/memory/open-memory-store.ts'
import type { Store } from '../../src/store/store.ts'
import { collect } from '../../src/testing/collect.ts'
import { validate } from '../../src/validate/validate.ts'
import { kiteHouse } from '../support/kite-house.ts'
import { virtualClock } from '../virtual-clock.ts'

const NOW = '2024-03-05T18:00:00+05:30'
const few = { numRuns: 15 }

const line: fc.Arbitrary<InstrumentLine> = fc.record({
  token: fc.integer({ min: 1, max: 1e9 }).map(String),
  symbol: fc.stringMatching(/^[A-Z&-]{1,8}$/),
  exchange: fc.constantFrom('NSE', 'BSE', 'NFO'),
  exchangeToken: fc.constant('1'),
  name: fc.constant('A NAME'),
  expiry: fc.constantFrom(null, '2024-03-28', '2024-04-25'),
  strike: fc.constant(0),
  tickSize: fc.constant(0.05),
  lotSize: fc.constant(1),
  type: fc.constantFrom('EQ', 'FUT', 'CE', 'PE'),
  segment: fc.constantFrom('NSE', 'BSE', 'NFO-FUT', 'INDICES'),
})
const lines = fc.uniqueArray(line, { maxLength: 40, selector: ({ token }) => token })

function bookOf(given: readonly InstrumentLine[]) {
  const book = openInstrumentBook({ path: ':memory:' })
  book.update('kite', given, { seenAtMs: 1, exchanges: ['NSE', 'BSE', 'NFO'] })
  return book
}
const tokens = (of: readonly { readonly token: string }[]) => of.map(({ token }) => token).sort()

describe('choosing instruments', () => {
  test('Property 1: Instrument filtering by type is correct', () => {
    fc.assert(
      fc.property(lines, fc.subarray(['EQ', 'FUT', 'CE', 'PE'], { minLength: 1 }), (given, types) => {
        const found = bookOf(given).list({ types })
        expect(tokens(found)).toEqual(tokens(given.filter(({ type }) => types.includes(type))))
      }),
    )
  })

  test('Property 2: Instrument filtering by exchange is correct', () => {
    fc.assert(
      fc.property(lines, fc.subarray(['NSE', 'BSE', 'NFO'], { minLength: 1 }), (given, exchanges) => {
        const found = bookOf(given).list({ exchanges: exchanges.map((name) => name.toLowerCase()) })
        expect(tokens(found)).toEqual(tokens(given.filter(({ exchange }) => exchanges.includes(exchange))))
      }),
    )
  })

  test('owners of a token or a symbol are never one series, whatever lists come', () => {
    fc.assert(
      fc.property(fc.array(lines, { minLength: 1, maxLength: 5 }), (lists) => {
        const book = openInstrumentBook({ path: ':memory:' })
        lists.forEach((given, day) => {
          book.update('kite', given, { seenAtMs: day, exchanges: ['NSE', 'BSE', 'NFO'], accept: true })
          const live = new Set(
            book.list().map(({ exchange, symbol, token }) => `${exchange} ${symbol} ${token}`),
          )
          expect(live).toEqual(
            new Set(given.map(({ exchange, symbol, token }) => `${exchange} ${symbol} ${token}`)),
          )
        })
        const all = book.list({ gone: 'also' })
        expect(new Set(all.map((one) => `${one.exchange} ${one.seriesSymbol}`)).size).toBe(all.length)
        expect(new Set(all.map((one) => one.tokenKey)).size).toBe(all.length)
      }),
    )
  })
})

const weekday = fc
  .integer({ min: Date.UTC(2023, 11, 4) / DAY_MS, max: Date.UTC(2024, 2, 29) / DAY_MS })
  .filter((day) => (day + 3) % 7 < 5)
/** Saturdays on which NSE traded all the same. */
const specialSessions = ['2024-01-20', '2024-03-02']
const dayText = (day: number) => new Date(day * DAY_MS).toISOString().slice(0, 10)

describe('what is asked for', () => {
  test('Property 3: Date range calculation uses max date plus one', async () => {
    await fc.assert(
      fc.asyncProperty(weekday, fc.integer({ min: 1, max: 30 }), async (day, later) => {
        const kite = kiteHouse({ now: `${dayText(day)}T20:00:00+05:30`, instruments: 1 })
        await kite.run()
        const extent = await kite.store.extent(parseSeries(kite.selector(kite.instruments[0]!)))
        kite.setNow(`${dayText(day + later)}T20:00:00+05:30`)
        kite.asked.length = 0
        await kite.run()
        const next = istText(extent!.lastMs + DAY_MS)
        for (const { from } of kite.asked) expect(from).toBe(next)
        const closed = Array.from({ length: later }, (_, i) => day + 1 + i).every(
          (d) => (d + 3) % 7 >= 5 && !specialSessions.includes(dayText(d)),
        )
        if (closed) expect(kite.asked).toEqual([])
      }),
      few,
    )
  })

  test('Property 4: To-date is always current date', async () => {
    await fc.assert(
      fc.asyncProperty(weekday, fc.integer({ min: 0, max: 24 * 60 - 1 }), async (day, minute) => {
        const nowMs = istMidnight(dayText(day)) + minute * 60_000
        const kite = kiteHouse({ now: new Date(nowMs).toISOString(), instruments: 1 })
        await kite.run()
        // Today as soon as its bar is final, half an hour after the close; until then the bar is forming and not asked for.
        const last = minute >= 16 * 60 ? day : day - 1
        expect(kite.asked.at(-1)!.to).toBe(`${dayText(last)} 23:59:59`)
      }),
      few,
    )
  })

  test('Property 19: Date range chunking respects API limits', () => {
    const sources = kiteSources({ authorization: () => 'token', tokenOf: () => '1' })
    const caps = {
      '1m': 60,
      '3m': 100,
      '5m': 100,
      '10m': 100,
      '15m': 200,
      '30m': 200,
      '1h': 400,
      '1d': 2_000,
    }
    fc.assert(
      fc.property(
        fc.constantFrom(...Object.values(kiteIntervals)),
        fc.integer({ min: 0, max: 20_000 }),
        fc.integer({ min: 1, max: 12_000 }),
        (timeframe, start, length) => {
          const job = jobOf({ sources }, parseSeries(`kite:nse:X:${timeframe}`))
          const range = { startMs: start * DAY_MS, endMs: (start + length) * DAY_MS }
          let coveredMs = range.startMs
          for (const slice of sliceRanges(job.slices, range)) {
            expect(slice.startMs).toBeLessThanOrEqual(coveredMs)
            expect(slice.endMs - slice.startMs).toBeLessThanOrEqual(caps[timeframe] * DAY_MS)
            coveredMs = slice.endMs
          }
          expect(coveredMs).toBeGreaterThanOrEqual(range.endMs)
        },
      ),
    )
  })
})

const candle = fc
  .tuple(
    fc.integer({ min: 0, max: 20_000_000 }),
    fc.integer({ min: 1, max: 1e6 }),
    fc.integer({ min: 0, max: 1e5 }),
    fc.integer({ min: 0, max: 1e5 }),
    fc.double({ min: 0, max: 1, noNaN: true }),
    fc.nat(1e12),
  )
  .map(([minute, base, up, down, at, volume]) => {
    const low = base / 20
    const high = (base + up + down) / 20
    const open = (base + down) / 20
    return { ms: minute * 60_000, open, high, low, close: low + (high - low) * at, volume }
  })
const interest = fc.option(fc.nat(1e9), { nil: undefined })
const body = (candles: readonly unknown[]) =>
  new TextEncoder().encode(JSON.stringify({ status: 'success', data: { candles } }))
const cells = ({ ms, open, high, low, close, volume }: { ms: number } & Record<string, number>) =>
  [istStamp(ms), open, high, low, close, volume] as const
const series = parseSeries('kite:nse:X:1m')
const judged = (candles: readonly unknown[]) =>
  validate(readCandles(body(candles)), {
    series,
    range: { startMs: 0, endMs: 20_000_001 * 60_000 },
    asOfMs: 8e15,
    settleMs: 0,
  })

describe('reading candles', () => {
  test('Property 17: Array format parsing is correct', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(candle, interest)), (given) => {
        const { rows, badRows } = readCandles(
          body(given.map(([one, oi]) => (oi === undefined ? cells(one) : [...cells(one), oi]))),
        )
        expect(badRows).toEqual([])
        expect([...rows.openTimeMs]).toEqual(given.map(([{ ms }]) => ms))
        for (const field of ['open', 'high', 'low', 'close', 'volume'] as const)
          expect([...rows[field]]).toEqual(given.map(([one]) => one[field]))
        const known = given.map(([, oi]) => oi ?? Number.NaN)
        expect(rows.native.openInterest && [...rows.native.openInterest]).toEqual(
          given.some(([, oi]) => oi !== undefined) ? known : undefined,
        )
      }),
    )
  })

  test('Property 18: Dictionary format parsing is correct', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(candle, interest)), (given) => {
        const asObjects = given.map(([{ ms, ...rest }, oi]) => ({
          date: istStamp(ms),
          ...rest,
          ...(oi !== undefined && { oi }),
        }))
        const asArrays = given.map(([one, oi]) => (oi === undefined ? cells(one) : [...cells(one), oi]))
        expect(readCandles(body(asObjects))).toEqual(readCandles(body(asArrays)))
      }),
    )
  })

  const broken = (bad: fc.Arbitrary<unknown>, column: fc.Arbitrary<number>) =>
    fc.property(
      fc.uniqueArray(candle, { minLength: 1, selector: ({ ms }) => ms }),
      fc.nat(),
      column,
      bad,
      (given, at, where, value) => {
        const i = at % given.length
        const rows = given.map((one, n) =>
          n === i ? cells(one).map((cell, c) => (c === where ? value : cell)) : cells(one),
        )
        const { accepted, findings } = judged(rows)
        expect(accepted.length).toBe(given.length - 1)
        expect([...accepted.openTimeMs]).not.toContain(given[i]!.ms)
        expect(findings.length).toBeGreaterThan(0)
      },
    )

  test('Property 9: Required fields validation', () => {
    fc.assert(broken(fc.constantFrom(null, '', []), fc.integer({ min: 0, max: 5 })))
    fc.assert(
      fc.property(
        candle,
        fc.constantFrom('date', 'open', 'high', 'low', 'close', 'volume'),
        ({ ms, ...rest }, field) => {
          const { [field]: _, ...lacking } = { date: istStamp(ms), ...rest } as Record<string, unknown>
          expect(judged([lacking]).accepted.length).toBe(0)
        },
      ),
    )
  })

  test('Property 10: Numeric fields contain valid numbers', () => {
    const words = fc.constantFrom<unknown>('abc', 'NaN', 'Infinity', '1,000', '0x10', true, {}, -1)
    fc.assert(broken(words, fc.integer({ min: 1, max: 5 })))
    fc.assert(
      fc.property(candle, (one) => {
        const { accepted, findings } = judged([cells({ ...one, high: one.low, low: one.high + 1 })])
        expect([accepted.length, findings[0]?.kind]).toEqual([0, 'bad-ohlc'])
      }),
    )
  })

  test('Property 11: Date field is valid', () => {
    const noDates = fc.constantFrom<unknown>(
      'soon',
      '2024-02-30T09:15:00+0530',
      '2024-03-05',
      20240305,
      '2024-03-05 09:15:00',
    )
    fc.assert(broken(noDates, fc.constant(0)))
  })
})

describe('what is stored', () => {
  test('Property 5: All required OHLCV fields are stored', async () => {
    await fc.assert(
      fc.asyncProperty(fc.boolean(), fc.integer({ min: 1, max: 3 }), async (objects, count) => {
        const kite = kiteHouse({ now: NOW, instruments: count, objects })
        const report = await kite.run()
        expect(report.complete).toBe(true)
        for (const one of kite.instruments) {
          const range = { startMs: istMidnight('2023-12-01'), endMs: istMidnight('2024-03-06') }
          const truth = new CandleMaker(one, 1, (day) => (day + 3) % 7 < 5).between(
            'day',
            range.startMs,
            range.endMs - 1,
            Date.parse(NOW),
          )
          const batches = await collect(kite.store.scan(parseSeries(kite.selector(one)), range))
          const stored = batches.flatMap(barsOf).map(({ native: _, ...bar }) => bar)
          expect(stored).toEqual(truth.map(({ openMs, ...rest }) => ({ openTimeMs: openMs, ...rest })))
        }
      }),
      { numRuns: 4 },
    )
  })

  test('Property 6: Upsert updates existing records', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(candle, { minLength: 1, maxLength: 30, selector: ({ ms }) => ms }),
        fc.nat(),
        async (given, which) => {
          const store = openMemoryStore()
          const sorted = given.toSorted((a, b) => a.ms - b.ms)
          const first = await store.commit(series, readCandles(body(sorted.map(cells))).rows)
          expect(first).toMatchObject({ inserted: given.length, revised: 0 })
          const changed = sorted.map((one, i) =>
            i === which % sorted.length ? { ...one, volume: one.volume + 1 } : one,
          )
          const second = await store.commit(series, readCandles(body(changed.map(cells))).rows)
          expect(second).toMatchObject({ inserted: 0, revised: 1, unchanged: given.length - 1 })
          const [read] = await collect(store.scan(series, { startMs: 0, endMs: 8e15 }))
          expect((await store.extent(series))!.rows).toBe(given.length)
          expect([...read!.volume].length).toBeGreaterThan(0)
        },
      ),
      few,
    )
  })

  // The later text of the seed: each instrument is kept by itself. Stopped anywhere, it is there whole or not at all.
  test.each([1, 2, 3, 4])('Property 15: Batch commits are transactional, %i workers', async (workers) => {
    const count = 6
    for (let stopAt = 1; stopAt <= count + 1; stopAt++) {
      const kite = kiteHouse({ now: NOW, instruments: count })
      const rows = () =>
        Promise.all(
          kite.instruments.map(
            async (one) => (await kite.store.extent(parseSeries(kite.selector(one))))?.rows ?? 0,
          ),
        )
      const stop = new AbortController()
      kite.onAsk = (asked) => {
        if (asked === stopAt) stop.abort()
      }
      const cut = await kite.run({ workers, signal: stop.signal })
      // What the other workers had sent by then is kept as well; nothing is asked after.
      const asked = Math.min(count, Math.max(stopAt, workers))
      expect(kite.asked).toHaveLength(asked)
      const whole = (await rows())[0]!
      expect(whole).toBeGreaterThan(1_000)
      expect((await rows()).sort((a, b) => b - a)).toEqual(
        Array.from({ length: count }, (_, i) => (i < asked ? whole : 0)),
      )
      expect(cut.complete).toBe(asked === count)
      kite.onAsk = () => {}
      expect((await kite.run({ workers })).complete).toBe(true)
      expect(await rows()).toEqual(Array.from({ length: count }, () => whole))
      expect(new Set(kite.asked.map(({ token }) => token)).size).toBe(count)
      expect(kite.asked).toHaveLength(count)
    }
  })
})

const failing = (names: ReadonlySet<string>): Store => {
  const inner = openMemoryStore()
  return {
    ...{ traits: inner.traits, name: inner.name },
    commit: async (of, batch, signal) => {
      if (names.has(of.instrument.symbol)) throw new Error('the transaction was rolled back')
      return inner.commit(of, batch, signal)
    },
    append: inner.append.bind(inner),
    replace: inner.replace.bind(inner),
    scan: inner.scan.bind(inner),
    extent: inner.extent.bind(inner),
    [Symbol.asyncDispose]: async () => {},
  }
}
const some = fc.subarray(['EVB0001', 'EVB0002', 'EVB0003', 'EVB0004', 'EVB0005'], { maxLength: 4 })

describe('what fails', () => {
  test('Property 7: API errors don’t stop processing', async () => {
    const fault = fc.constantFrom(
      ...[400, 404, 500, 503].map((value) => ({ kind: 'status', value }) as const),
      ...(['html', 'truncate', 'null', 'blank'] as const).map((kind) => ({ kind })),
    )
    await fc.assert(
      fc.asyncProperty(some, fault, async (bad, how) => {
        const kite = kiteHouse({ now: NOW, instruments: 5 })
        kite.setFaults(bad.map((symbol) => ({ symbol, ...how })))
        const report = await kite.run()
        for (const one of report.series) {
          const hit = bad.some((symbol) => one.series.includes(symbol))
          expect([one.series, one.complete]).toEqual([one.series, !hit])
          // A body that could not be read is kept aside; anything else is told.
          if (hit) expect(one.problems.length + one.slices.quarantined).toBeGreaterThan(0)
        }
        kite.setFaults([])
        expect((await kite.run()).complete).toBe(true)
      }),
      few,
    )
  })

  test('Property 16: Batch failures don’t stop processing', async () => {
    await fc.assert(
      fc.asyncProperty(some, async (bad) => {
        const names = new Set(bad)
        const kite = kiteHouse({ now: NOW, instruments: 5, store: failing(names) })
        const report = await kite.run()
        expect(report.series.filter(({ complete }) => complete).length).toBe(5 - bad.length)
        names.clear()
        kite.asked.length = 0
        // What was fetched is in the archive: the next run settles it without a request.
        expect((await kite.run()).complete).toBe(true)
        expect(kite.asked).toEqual([])
      }),
      few,
    )
  })

  test('a login that ends in the middle stops the rest, keeps what was fetched, and the next run goes on', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 11 }),
        fc.integer({ min: 1, max: 4 }),
        async (endAt, workers) => {
          const kite = kiteHouse({ now: NOW, instruments: 12 })
          kite.onAsk = (count) => {
            if (count === endAt) kite.endLogin()
          }
          const cut = await kite.run({ workers })
          expect(cut.complete).toBe(false)
          const codes = new Set(cut.series.flatMap(({ problems }) => problems.map(({ code }) => code)))
          expect(codes).toEqual(new Set(['source.login-expired']))
          // Those under way when it ended are all that was still asked.
          expect(kite.asked.length).toBeLessThanOrEqual(endAt + workers)
          kite.newLogin()
          kite.onAsk = () => {}
          const kept = cut.series.filter(({ complete }) => complete).length
          const before = kite.asked.length
          expect((await kite.run()).complete).toBe(true)
          expect(kite.asked.length - before).toBe(12 - kept)
        },
      ),
      few,
    )
  })

  test('Property 8: Exponential backoff increases retry delays', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 2, max: 6 }),
        fc.integer({ min: 1, max: 2_000 }),
        async (attempts, baseMs) => {
          const waits: number[] = []
          const clock: Clock = {
            nowMs: () => 0,
            monotonicMs: () => 0,
            sleep: async (ms) => void waits.push(ms),
          }
          const fetcher = createFetcher({
            clock,
            onEvent: () => {},
            retry: { attempts, baseMs, capMs: 1e9 },
            random: () => 1,
          })
          // Nobody listens on port 1.
          const asked = fetcher.fetch({ url: 'http://127.0.0.1:1/', bucket: 'x', weight: 1 })
          await expect(asked).rejects.toMatchObject({ code: 'fetch.unreachable' })
          expect(waits).toEqual(Array.from({ length: attempts - 1 }, (_, i) => baseMs * 2 ** i))
          await fetcher[Symbol.asyncDispose]()
        },
      ),
      few,
    )
  })
})

/** Departures of so many requests by so many workers, each answered after a time of its own. */
async function departures(
  requests: number,
  workers: number,
  rate: number,
  rtts: readonly number[],
): Promise<number[]> {
  const clock = virtualClock()
  const bucket = new Bucket('kite', { clock, connections: workers, share: 1, maxWaitMs: 1e9 })
  bucket.setLimits(kiteLimits(rate))
  const out: number[] = []
  let next = 0
  const worker = async (): Promise<void> => {
    for (let i = next++; i < requests; i = next++) {
      const permit = await bucket.acquire({ weight: 1, order: i })
      out.push(clock.monotonicMs())
      await clock.sleep(rtts[i % rtts.length]!)
      permit.settle([])
      permit.release()
    }
  }
  await clock.run(Promise.all(Array.from({ length: workers }, worker)))
  return out
}

/** Requests in the busiest window of this length, wherever it begins. */
const busiest = (times: readonly number[], windowMs: number): number =>
  Math.max(0, ...times.map((from) => times.filter((at) => at >= from && at < from + windowMs).length))

const rtts = fc.array(fc.integer({ min: 0, max: 3_000 }), { minLength: 1, maxLength: 10 })

describe('the rate', () => {
  test('Property 12: Rate limiting enforces minimum delay', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 40 }),
        fc.constantFrom(0.5, 1, 1.5, 2, 2.1, 2.5, 2.9, 3),
        rtts,
        async (count, rate, times) => {
          const left = await departures(count, 1, rate, times)
          // Never more than the rate, rounded up, in any second; so n requests take (n − 1) / rate seconds, but for the first burst.
          expect(busiest(left, 1_000)).toBeLessThanOrEqual(Math.ceil(rate))
          expect(left.at(-1)! - left[0]!).toBeGreaterThanOrEqual(((count - Math.max(1, rate)) / rate) * 1_000)
        },
      ),
      { numRuns: 40 },
    )
  })

  test('Property 20: Thread-safe rate limiting works across workers', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 60 }),
        fc.integer({ min: 2, max: 16 }),
        rtts,
        async (count, workers, times) => {
          const left = await departures(count, workers, 3, times)
          expect(left).toHaveLength(count)
          expect(busiest(left, 1_000)).toBeLessThanOrEqual(3)
        },
      ),
      { numRuns: 40 },
    )
  })

  test('more workers hide latency', async () => {
    const spent = async (workers: number) => (await departures(30, workers, 3, [2_000])).at(-1)!
    expect(await spent(1)).toBeGreaterThan(55_000)
    expect(await spent(10)).toBeLessThan(35_000)
  })
})

describe('batches', () => {
  const fakeHouse = () => {
    const events: { event: string; [field: string]: unknown }[] = []
    const clock = virtualClock()
    return {
      events,
      house: {
        ...kiteHouse({ now: NOW }).house,
        clock,
        onEvent: (event: (typeof events)[number]) => void events.push(event),
      },
    }
  }
  const report = (i: number) => ({
    series: `kite:nse:S${i}:1d`,
    range: null,
    slices: { planned: 0, fetched: 0, replayed: 0, failed: 0, quarantined: 0, partial: 0 },
    bars: { inserted: 1, revised: 0, unchanged: 0 },
    ...{ missing: {}, findings: {}, complete: true, problems: [] },
  })

  test('Property 13: Instruments are grouped into correct batch sizes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 1, max: 120 }), (total, size) => {
        const { events, house } = fakeHouse()
        const onDone = batchProgress(house, size, total)
        for (let i = 1; i <= total; i++) onDone(report(i), i)
        const ends = events.filter(({ event }) => event === 'batch_done').map(({ done }) => Number(done))
        expect(ends.length).toBe(Math.ceil(total / size))
        const sizes = ends.map((end, i) => end - (ends[i - 1] ?? 0))
        expect(sizes.slice(0, -1).every((length) => length === size)).toBe(true)
        expect(sizes.at(-1)).toBe(total % size || size)
      }),
    )
  })

  test('Property 14: Batch processing is sequential with rate limiting', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 8 }),
        fc.integer({ min: 1, max: 6 }),
        async (workers, count) => {
          const kite = kiteHouse({ now: NOW, instruments: count })
          await kite.run({ workers })
          // Every instrument once, in the order of the list but for the workers' lead: no batch waits behind another.
          const order = kite.asked.map(({ token }) =>
            kite.instruments.findIndex((one) => String(one.token) === token),
          )
          expect([...order].sort((a, b) => a - b)).toEqual(kite.instruments.map((_, i) => i))
          for (const [i, at] of order.entries()) expect(Math.abs(at - i)).toBeLessThan(workers)
        },
      ),
      few,
    )
  })
})
