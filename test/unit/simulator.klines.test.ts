import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'

const MINUTE = 60_000
const DAY = 86_400_000
/** A Wednesday, not at midnight, so that first days, weeks and months are cut short. */
const LISTED = Date.UTC(2023, 10, 15, 10, 30)
const OUTAGE = { startMs: Date.UTC(2024, 0, 3, 2), endMs: Date.UTC(2024, 0, 3, 4, 30) }
const NOW = Date.UTC(2024, 0, 31, 12, 0, 20)
const at = (minute: number) => Date.UTC(2024, 0, 10) + minute * MINUTE

type Row = [number, string, string, string, string, string, number, string, number, string, string, string]

let venue: Simulator
beforeAll(async () => {
  venue = await startSimulator({
    fromMs: LISTED,
    nowMs: NOW,
    outages: [OUTAGE],
    weightLimit: Number.POSITIVE_INFINITY,
    symbols: [
      { symbol: 'BTCUSDT' },
      { symbol: 'QUIET', quietShare: 0.5, market: 'spot' },
      { symbol: 'GONE', delistedMs: Date.UTC(2024, 0, 20), market: 'spot' },
      { symbol: '１２３４５６', market: 'spot' },
    ],
  })
  venue.setNow(NOW, { held: true })
})
afterAll(() => venue.close())

async function ask(path: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(venue.url + path, { headers })
}

/** Rows of a klines answer; `BTCUSDT 1m` unless the query says otherwise. */
async function rows(query: Record<string, string | number>, base = '/api/v3'): Promise<Row[]> {
  const all = { symbol: 'BTCUSDT', interval: '1m', ...query }
  const response = await ask(`${base}/klines?${new URLSearchParams(all as Record<string, string>)}`)
  expect(response.status).toBe(200)
  return (await response.json()) as Row[]
}

const opens = async (query: Record<string, string | number>, base?: string) =>
  (await rows(query, base)).map((row) => row[0])
const minutes = (from: number, count: number) => Array.from({ length: count }, (_, i) => at(from + i))
const lastMinutes = (until: number, count: number) =>
  Array.from({ length: count }, (_, i) => until - (count - 1 - i) * MINUTE)
const forming = NOW - (NOW % MINUTE)

describe('klines: bounds, order and limits', () => {
  test.each([
    ['both bounds are inclusive', { startTime: at(0), endTime: at(3) }, minutes(0, 4)],
    ['the end bounds open times, not closes', { startTime: at(0), endTime: at(3) + 59_999 }, minutes(0, 4)],
    ['a start inside a bar leaves that bar out', { startTime: at(0) + 1, endTime: at(2) }, minutes(1, 2)],
    ['start and end the same', { startTime: at(7), endTime: at(7) }, minutes(7, 1)],
    ['an end before the first open inside', { startTime: at(0) + 1, endTime: at(1) - 1 }, []],
    ['start after end', { startTime: at(5), endTime: at(4) }, []],
    ['both: the oldest first', { startTime: at(0), endTime: at(100), limit: 3 }, minutes(0, 3)],
    ['start alone: the oldest from it', { startTime: at(0), limit: 5 }, minutes(0, 5)],
    ['end alone: the newest up to it', { endTime: at(9), limit: 3 }, minutes(7, 3)],
    ['neither: the newest, the forming bar last', { limit: 3 }, lastMinutes(forming, 3)],
    ['limit 1', { startTime: at(0), limit: 1 }, minutes(0, 1)],
    ['the first bar of all, asked from 0', { startTime: 0, limit: 1 }, [LISTED]],
    ['before listing', { startTime: 0, endTime: LISTED - 1 }, []],
    ['up to the first bar', { endTime: LISTED, limit: 10 }, [LISTED]],
    [
      'an end in the future stops at the present',
      { startTime: forming - MINUTE, endTime: NOW + DAY },
      lastMinutes(forming, 2),
    ],
    ['a start in the future', { startTime: NOW + MINUTE }, []],
    ['an end in the future alone', { endTime: NOW + DAY, limit: 2 }, lastMinutes(forming, 2)],
    [
      'an outage: no rows, the next come after it',
      { startTime: OUTAGE.startMs - MINUTE, limit: 3 },
      [OUTAGE.startMs - MINUTE, OUTAGE.endMs, OUTAGE.endMs + MINUTE],
    ],
    ['an outage, backwards', { endTime: OUTAGE.endMs, limit: 2 }, [OUTAGE.startMs - MINUTE, OUTAGE.endMs]],
    ['a range inside the outage', { startTime: OUTAGE.startMs, endTime: OUTAGE.endMs - 1 }, []],
    ['microsecond parameters', { startTime: `${at(0)}000`, endTime: `${at(2)}999` }, minutes(0, 3)],
    [
      'a delisted symbol ends',
      { symbol: 'GONE', endTime: NOW, limit: 2 },
      lastMinutes(Date.UTC(2024, 0, 20) - MINUTE, 2),
    ],
    ['a symbol that is not ASCII', { symbol: '１２３４５６', startTime: at(0), limit: 1 }, minutes(0, 1)],
  ])('%s', async (_, query, expected) => {
    expect(await opens(query)).toEqual(expected)
  })

  test.each([
    ['/api/v3', undefined, 500],
    ['/api/v3', 1000, 1000],
    ['/api/v3', 1500, 1000],
    ['/fapi/v1', undefined, 500],
    ['/fapi/v1', 1500, 1500],
    ['/fapi/v1', 9999, 1500],
  ])('%s with limit %s gives %d rows', async (base, limit, count) => {
    expect(await opens({ startTime: at(0), ...(limit && { limit }) }, base)).toEqual(minutes(0, count))
    expect(await opens({ ...(limit && { limit }) }, base)).toEqual(lastMinutes(forming, count))
  })

  test('the same page, whole or cut across blocks, has the same rows', async () => {
    const whole = await rows({ startTime: at(0), limit: 1000 })
    for (const [from, limit] of [
      [0, 7],
      [1, 999],
      [613, 387],
    ] as const)
      expect(await rows({ startTime: at(from), limit })).toEqual(whole.slice(from, from + limit))
  })
})

describe('klines: rows', () => {
  test('spot rows have twelve elements, eight places, and hold together', async () => {
    const page = await rows({ startTime: at(0), limit: 1000 })
    for (const row of page) {
      expect(row).toHaveLength(12)
      for (const column of [1, 2, 3, 4, 5, 7, 9, 10] as const) expect(row[column]).toMatch(/^\d+\.\d{8}$/)
      expect(row[6]).toBe(row[0] + MINUTE - 1)
      expect(Number.isSafeInteger(row[8])).toBe(true)
      expect(row[11]).toBe('0')
      const [open, high, low, close] = [1, 2, 3, 4].map((i) => Number(row[i]))
      expect(high).toBeGreaterThanOrEqual(Math.max(open!, close!))
      expect(low).toBeLessThanOrEqual(Math.min(open!, close!))
      expect(low).toBeGreaterThan(0)
      expect(Number(row[9])).toBeLessThanOrEqual(Number(row[5]))
    }
  })

  test('futures rows show the places the symbol counts in', async () => {
    const [row] = await rows({ startTime: at(0), limit: 1 }, '/fapi/v1')
    expect(row![1]).toMatch(/^\d+\.\d{2}$/)
    expect(row![5]).toMatch(/^\d+\.\d{5}$/)
  })

  test('a quiet minute is a flat bar without volume, about as often as asked', async () => {
    const page = await rows({ symbol: 'QUIET', startTime: at(0), limit: 1000 })
    const quiet = page.filter((row) => row[8] === 0)
    expect(quiet.length).toBeGreaterThan(400)
    expect(quiet.length).toBeLessThan(600)
    for (const row of quiet) {
      expect(new Set(row.slice(1, 5)).size).toBe(1)
      expect([row[5], row[7], row[9], row[10]]).toEqual(Array(4).fill('0.00000000'))
    }
  })

  test('the forming bar grows until its close and then stands', async () => {
    const newest = async (now: number) => {
      venue.setNow(now, { held: true })
      return (await rows({ limit: 2 })).find((row) => row[0] === forming)!
    }
    const seen = []
    for (const second of [0, 10, 20, 30, 40, 50, 59.999]) seen.push(await newest(forming + second * 1000))
    const final = await newest(forming + MINUTE)
    venue.setNow(NOW, { held: true })
    expect(seen[0]!.slice(1, 6)).toEqual([final[1], final[1], final[1], final[1], '0.00000000'])
    const volumes = [...seen, final].map((row) => Number(row[5]))
    expect(volumes).toEqual([...volumes].sort((a, b) => a - b))
    expect(new Set(volumes).size).toBeGreaterThan(3)
    for (const row of seen) expect(row[6]).toBe(final[6])
    expect(seen.at(-1)).toEqual(final)
  })

  test('X-MBX-TIME-UNIT: MICROSECOND gives microseconds', async () => {
    const path = `/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime=${at(0)}&limit=1`
    const [row] = (await (await ask(path, { 'X-MBX-TIME-UNIT': 'MICROSECOND' })).json()) as Row[]
    expect([row![0], row![6]]).toEqual([at(0) * 1000, (at(1) - 1) * 1000 + 999])
  })

  test('the same seed gives the same bars; another seed, market or symbol others', async () => {
    const page = async (options: object, path: string) => {
      const other = await startSimulator({ fromMs: LISTED, nowMs: NOW, ...options })
      const text = await (await fetch(`${other.url}${path}&interval=1m&startTime=${at(50)}&limit=20`)).text()
      await other.close()
      return text
    }
    const first = await page({}, '/api/v3/klines?symbol=BTCUSDT')
    expect(await page({}, '/api/v3/klines?symbol=BTCUSDT')).toBe(first)
    expect(await page({ seed: 2 }, '/api/v3/klines?symbol=BTCUSDT')).not.toBe(first)
    expect(await page({}, '/api/v3/klines?symbol=ETHUSDT')).not.toBe(first)
    expect(await page({}, '/fapi/v1/klines?symbol=BTCUSDT')).not.toBe(first)
    expect(await page({ fromMs: 0 }, '/api/v3/klines?symbol=BTCUSDT')).toBe(first)
  })
})

describe('klines: wider bars', () => {
  const day = Date.UTC(2024, 0, 2)
  test.each([
    ['5m', { startTime: day, limit: 2 }, [day, day + 5 * MINUTE]],
    [
      '1h',
      { startTime: OUTAGE.startMs - 60 * MINUTE, limit: 2 },
      [OUTAGE.startMs - 60 * MINUTE, Date.UTC(2024, 0, 3, 4)],
    ],
    ['1d', { startTime: 0, limit: 2 }, [Date.UTC(2023, 10, 15), Date.UTC(2023, 10, 16)]],
    ['3d', { startTime: day, limit: 1 }, [Date.UTC(2024, 0, 4)]],
    ['1w', { startTime: 0, limit: 2 }, [Date.UTC(2023, 10, 13), Date.UTC(2023, 10, 20)]],
    ['1M', { startTime: 0 }, [Date.UTC(2023, 10, 1), Date.UTC(2023, 11, 1), Date.UTC(2024, 0, 1)]],
    ['4h', { endTime: NOW, limit: 1 }, [Date.UTC(2024, 0, 31, 12)]],
  ])('%s opens where the venue opens it', async (interval, query, expected) => {
    expect(await opens({ interval, ...query })).toEqual(expected)
  })

  test.each([
    ['15m', 15],
    ['1d', 1440],
  ])('%s is exactly what its minutes make', async (interval, count) => {
    const [wide] = await rows({ interval, startTime: at(0), limit: 1 })
    const parts: Row[] = []
    while (parts.length < count)
      parts.push(
        ...(await rows({ startTime: at(parts.length), limit: Math.min(1000, count - parts.length) })),
      )
    const sum = (column: number) => {
      const total = parts.reduce((all, row) => all + BigInt(String(row[column]).replace('.', '')), 0n)
      return String(total).replace(/(\d{8})$/, '.$1')
    }
    const prices = (column: number) =>
      parts.map((row) => String(row[column])).sort((a, b) => Number(a) - Number(b))
    expect(wide).toEqual([
      at(0),
      parts[0]![1],
      prices(2).at(-1),
      prices(3)[0],
      parts.at(-1)![4],
      sum(5),
      at(count) - 1,
      sum(7),
      parts.reduce((all, row) => all + row[8], 0),
      sum(9),
      sum(10),
      '0',
    ])
  })

  test('the forming hour is made of what has happened of it', async () => {
    const [hour] = await rows({ interval: '1h', limit: 1 })
    const [minute] = await rows({ limit: 1 })
    expect(hour![0]).toBe(forming)
    expect(hour!.slice(1, 6)).toEqual(minute!.slice(1, 6))
    expect(hour![6]).toBe(forming + 60 * MINUTE - 1)
  })
})

describe('klines: seconds', () => {
  test('sixty make their minute exactly, and run on over minutes and blocks', async () => {
    const seconds = await rows({ interval: '1s', startTime: at(0), limit: 1000 })
    expect(seconds.map((row) => row[0])).toEqual(Array.from({ length: 1000 }, (_, i) => at(0) + i * 1000))
    const units = (text: unknown) => BigInt(String(text).replace('.', ''))
    for (const [i, minute] of (await rows({ startTime: at(0), limit: 16 })).entries()) {
      const own = seconds.slice(60 * i, 60 * i + 60)
      const prices = own.map((row) => Number(row[4]))
      expect([own[0]![1], own.at(-1)![4]]).toEqual([minute[1], minute[4]])
      expect([Math.max(...prices), Math.min(...prices)]).toEqual([Number(minute[2]), Number(minute[3])])
      for (const column of [5, 7, 9, 10] as const)
        expect(own.reduce((sum, row) => sum + units(row[column]), 0n)).toBe(units(minute[column]))
      expect(own.reduce((sum, row) => sum + row[8], 0)).toBe(minute[8])
    }
  })

  test('none while trading is suspended; the newest is the second that holds the present', async () => {
    const range = { startTime: OUTAGE.startMs - 1000, endTime: OUTAGE.endMs }
    expect(await opens({ interval: '1s', ...range })).toEqual([OUTAGE.startMs - 1000, OUTAGE.endMs])
    expect(await opens({ interval: '1s', limit: 2 })).toEqual([NOW - 1000, NOW])
  })
})

describe('klines: a bar the venue corrects', () => {
  test('later answers have the new values, wider bars with them', async () => {
    const openTimeMs = at(500)
    const before = await rows({ startTime: openTimeMs, limit: 1 })
    const [hour] = await rows({ interval: '1h', startTime: openTimeMs - (openTimeMs % 3_600_000), limit: 1 })
    const futures = await rows({ startTime: openTimeMs, limit: 1 }, '/fapi/v1')
    venue.restate({ symbol: 'BTCUSDT', openTimeMs, high: '99999.00000000' })
    const [after] = await rows({ startTime: openTimeMs, limit: 1 })
    const [hourAfter] = await rows({ interval: '1h', startTime: hour![0], limit: 1 })
    expect(after).toEqual(before[0]!.map((cell, i) => (i === 2 ? '99999.00000000' : cell)))
    expect(hourAfter).toEqual(hour!.map((cell, i) => (i === 2 ? '99999.00000000' : cell)))
    expect(await rows({ startTime: openTimeMs, limit: 1 }, '/fapi/v1')).toEqual(futures)
  })
})
