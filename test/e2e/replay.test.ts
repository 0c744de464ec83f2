import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { inFolder, runHere } from '../run-cli.ts'
import { sharedData } from '../shared-data.ts'
import { filesIn, readLakeFile } from '../support/root.ts'
import { lakeRowOf, readVision, visionMonths } from '../support/vision.ts'

/** As the data's own page counts them. */
const MISSING: Readonly<Record<string, number>> = {
  '2017-09-06': 419,
  '2018-02-08': 1411,
  '2018-02-09': 600,
  '2018-02-10': 15,
  '2018-02-11': 34,
  '2020-02-09': 60,
  '2020-02-19': 354,
  '2021-04-20': 150,
  '2021-04-25': 284,
  '2023-03-24': 80,
}
const DAY_MS = 86_400_000
const nextMonth = (month: string): string =>
  new Date(Date.UTC(Number(month.slice(0, 4)), Number(month.slice(5)), 1)).toISOString().slice(0, 7)

/** Every series of the shared data: its selector, and the file of each month. */
function seriesThere(data: string): { selector: string; symbol: string; months: Map<string, string> }[] {
  return [
    ['spot', 'spot'],
    ['um', 'futures/um'],
  ].flatMap(([market, folder]) => {
    const klines = join(data, 'binance-vision/data', folder!, 'monthly/klines')
    return readdirSync(klines).map((symbol) => ({
      selector: `binance:${market}:${symbol}:1m`,
      symbol,
      months: visionMonths(join(klines, symbol, '1m')),
    }))
  })
}

/** Missing bars by day and class, from `gaps --json`. */
function perDay(gaps: readonly { class: string; range: { startMs: number; endMs: number } }[]) {
  const days: Record<string, number> = {}
  for (const { class: name, range } of gaps) {
    for (let at = range.startMs; at < range.endMs; ) {
      const end = Math.min(range.endMs, (Math.floor(at / DAY_MS) + 1) * DAY_MS)
      const key = `${new Date(at).toISOString().slice(0, 10)} ${name}`
      days[key] = (days[key] ?? 0) + (end - at) / 60_000
      at = end
    }
  }
  return days
}

describe.skipIf(!sharedData)('real months, replayed (skipped where ../shared/data is absent)', () => {
  let venue: Simulator
  beforeAll(async () => {
    venue = await startSimulator({ replay: sharedData!, weightLimit: Number.POSITIVE_INFINITY })
  })
  afterAll(() => venue.close())

  const run = (root: string, ...args: string[]) =>
    runHere([...args, '--root', root, '--json'], {
      env: { EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url },
    })

  test('the lake holds exactly the rows of the files, and gaps exactly what they lack', {
    timeout: 240_000,
  }, async () => {
    await inFolder(async (root) => {
      const monthsChecked: string[] = []
      for (const { selector, symbol, months } of seriesThere(sharedData!)) {
        const missing: Record<string, number> = {}
        for (const month of months.keys()) {
          const range = [selector, '--from', month, '--to', nextMonth(month)]
          const synced = await run(root, 'sync', ...range)
          expect(`${synced.code} ${synced.stderr}`, range.join(' ')).toBe('0 ')
          const gaps = await run(root, 'gaps', ...range)
          expect(gaps.code).toBe(0)
          Object.assign(missing, perDay(gaps.json().data))
        }
        for (const [month, path] of months) {
          const files = filesIn(join(root, 'lake')).filter((name) =>
            name.includes(`/${symbol}_1min_h0_${month.replace('-', '_')}_`),
          )
          expect(files).toHaveLength(1)
          const expected = readVision(path).map(lakeRowOf)
          expect(expected.length).toBeGreaterThan(20_000)
          expect(await readLakeFile(join(root, 'lake', files[0]!))).toEqual(expected)
          monthsChecked.push(`${symbol} ${month}`)
        }
        const absent = Object.entries(MISSING).filter(([day]) => months.has(day.slice(0, 7)))
        expect(missing).toEqual({
          ...(months.has('2017-08') && {
            // Listed on the 17th at 04:00.
            ...Object.fromEntries(
              Array.from({ length: 17 }, (_, d) => [
                `2017-08-${String(d + 1).padStart(2, '0')} before_listing`,
                d === 16 ? 240 : 1440,
              ]),
            ),
          }),
          ...Object.fromEntries(absent.map(([day, bars]) => [`${day} source_absent`, bars])),
        })
      }
      expect(monthsChecked).toHaveLength(11)
      const verify = await run(root, 'verify')
      expect(verify.json().data).toMatchObject({ faults: [] })
    })
  })

  test('a range that was never fetched is not complete: exit 3', async () => {
    await inFolder(async (root) => {
      const one = 'binance:spot:BTCUSDT:1m'
      await run(root, 'sync', one, '--from', '2020-02', '--to', '2020-02-10')
      const gaps = await run(root, 'gaps', one, '--from', '2020-02', '--to', '2020-03')
      expect(gaps.code).toBe(3)
      // Whole slices were fetched: they reach beyond the day asked for.
      const fetchedUntil = Math.ceil(Date.UTC(2020, 1, 10) / 60_000_000) * 60_000_000
      expect(gaps.json().data).toMatchObject([
        { class: 'source_absent', bars: 60 },
        {
          class: 'never_fetched',
          range: { startMs: fetchedUntil, endMs: Date.UTC(2020, 2, 1) },
          bars: (Date.UTC(2020, 2, 1) - fetchedUntil) / 60_000,
        },
      ])
      expect((await run(root, 'verify', one, '--from', '2020-02', '--to', '2020-03')).code).toBe(3)
      expect(
        (await run(root, 'status', one, '--from', '2020-02', '--to', '2020-03')).json().data,
      ).toMatchObject([{ complete: false }])
    })
  })

  // Outages longer than a slice leave answers with nothing in them, wherever the range asked for ends.
  test.each([
    ['ending within an outage', '2018-02-07', '2018-02-08T12:00Z', 691],
    ['within an outage', '2018-02-08T05:00Z', '2018-02-08T12:00Z', 420],
    ['beginning within an outage', '2018-02-08T12:00Z', '2018-02-10', 0],
  ])('a range %s is complete', async (_, from, to, absent) => {
    await inFolder(async (root) => {
      const synced = await run(root, 'sync', 'binance:spot:BTCUSDT:1m', '--from', from, '--to', to)
      expect(synced.json()).toMatchObject({ ok: true, code: 0 })
      if (absent > 0) expect(synced.json().data.series[0].missing).toEqual({ source_absent: absent })
      expect((await run(root, 'verify')).code).toBe(0)
    })
  })
})
