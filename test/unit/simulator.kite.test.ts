import { KiteConnect } from 'kiteconnect'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type KiteSimulator, startKiteSimulator } from '../../src/simulator/kite-simulator.ts'

const instruments = [
  { token: 738561, symbol: 'RELIANCE', name: 'RELIANCE INDUSTRIES', listed: '2000-01-03' },
  { token: 2953217, symbol: 'TCS', listed: '2024-02-12', suspended: [['2024-02-20', '2024-02-21']] as const },
  {
    token: 13368834,
    symbol: 'NIFTY24MARFUT',
    exchange: 'NFO',
    type: 'FUT',
    segment: 'NFO-FUT',
    expiry: '2024-03-28',
  },
]

describe('a simulated Kite and the venue’s own client', () => {
  let venue: KiteSimulator
  beforeAll(async () => {
    venue = await startKiteSimulator({
      instruments,
      nowMs: Date.parse('2024-03-05T10:00:30+05:30'),
      closed: ['2024-01-26'],
      requestsPerSecond: Number.POSITIVE_INFINITY,
    })
  })
  afterAll(() => venue.close())
  const client = (access_token = venue.accessToken()) =>
    new KiteConnect({ api_key: 'key', access_token, root: venue.url })
  const candles = (interval: string, from: string, to: string, token = 738561, oi = false) =>
    client().getHistoricalData(token, interval as 'day', from, to, false, oi)
  const refused = (attempt: Promise<unknown>) =>
    attempt.then(
      () => 'answered',
      (error: { error_type: string; message: string }) => `${error.error_type}: ${error.message}`,
    )

  test('reads days, the open one as it stands', async () => {
    const days = await candles('day', '2024-01-22 00:00:00', '2024-03-05 23:59:59')
    expect(days.length).toBe(31) // 32 weekdays less Republic Day
    expect(days[0]!.date.toISOString()).toBe('2024-01-21T18:30:00.000Z')
    const minutes = await candles('minute', '2024-03-05 09:15:00', '2024-03-05 15:30:00')
    expect(minutes.at(-1)!.date.toISOString()).toBe('2024-03-05T04:30:00.000Z')
    expect(days.at(-1)!.volume).toBe(minutes.reduce((sum, { volume }) => sum + volume, 0))
  })

  test('wider candles are made of minutes', async () => {
    const day = '2024-03-04'
    const [whole] = await candles('day', `${day} 00:00:00`, `${day} 23:59:59`)
    for (const [interval, count] of [
      ['minute', undefined],
      ['10minute', 38],
      ['60minute', 7],
    ] as const) {
      const parts = await candles(interval, `${day} 09:15:00`, `${day} 15:29:59`)
      if (count !== undefined) expect(parts.length).toBe(count)
      expect(Math.max(...parts.map(({ high }) => high))).toBe(whole!.high)
      expect(Math.min(...parts.map(({ low }) => low))).toBe(whole!.low)
      expect([parts[0]!.open, parts.at(-1)!.close]).toEqual([whole!.open, whole!.close])
    }
  })

  test('bounds are inclusive, illiquid minutes and suspended days are left out', async () => {
    expect(await candles('minute', '2024-03-04 09:15:00', '2024-03-04 09:15:00')).toHaveLength(1)
    const minutes = await candles('minute', '2024-03-04 09:15:00', '2024-03-04 15:29:00')
    expect(minutes.length).toBeGreaterThan(340)
    expect(minutes.length).toBeLessThan(375)
    const tcs = await candles('day', '2024-01-01 00:00:00', '2024-02-23 23:59:59', 2953217)
    expect(tcs.length).toBe(8) // from the 12th, ten days less two
  })

  test('lists instruments', async () => {
    const listed = (await client().getInstruments(['NFO'] as never)) as unknown as { tradingsymbol: string }[]
    expect(listed[0]).toMatchObject({ tradingsymbol: 'NIFTY24MARFUT', segment: 'NFO-FUT' })
  })

  test('logs in', async () => {
    const kite = new KiteConnect({ api_key: 'key', root: venue.url })
    const session = await kite.generateSession('request', 'secret')
    expect(session.access_token).toBe(venue.accessToken())
    expect(await refused(kite.generateSession('request', 'wrong'))).toContain('TokenException')
    expect((await client().getProfile()).user_id).toBe('EVB001')
  })

  test.each([
    [
      'an unknown instrument',
      () => candles('day', '2024-01-01', '2024-01-02', 1),
      'InputException: invalid token',
    ],
    [
      'an unknown interval',
      () => candles('week', '2024-01-01', '2024-01-02'),
      'InputException: invalid interval',
    ],
    ['ends reversed', () => candles('day', '2024-01-03', '2024-01-02'), 'InputException: from date'],
    ['too many days', () => candles('minute', '2024-01-01', '2024-03-02'), 'exceeds max limit: 60 days'],
    ['a wrong login', () => client('old').getProfile(), 'TokenException: Incorrect'],
  ])('refuses %s', async (_name, attempt, message) => {
    expect(await refused(attempt())).toContain(message)
  })

  test('a login ends', async () => {
    venue.endLogin()
    expect(await refused(candles('day', '2024-01-01', '2024-01-02'))).toContain('TokenException')
    venue.endLogin(venue.now() + 3_600_000)
  })

  test('faults: of the body, of the rows, of the rate', async () => {
    const seen = async (faults: string) => {
      venue.setFaults(faults)
      const answer = await fetch(
        `${venue.url}/instruments/historical/738561/day?from=2024-02-01&to=2024-02-08`,
        {
          headers: { Authorization: `token key:${venue.accessToken()}` },
        },
      )
      const text = await answer.text()
      venue.setFaults('')
      return `${answer.status} ${text}`
    }
    expect(await seen('html')).toContain('200 <!DOCTYPE html>')
    expect(await seen('empty')).toBe('200 {"status":"success","data":{"candles":[]}}')
    expect(await seen('null-price')).toContain(',null,')
    expect(await seen('429')).toContain('429 {"status":"error"')
    expect(await seen('502')).toContain('502 <!DOCTYPE html>')
  })

  test('more than three a second are refused', async () => {
    const strict = await startKiteSimulator({ instruments, nowMs: Date.parse('2024-03-05T10:00:30+05:30') })
    try {
      const ask = () =>
        fetch(`${strict.url}/instruments/historical/738561/day?from=2024-02-01&to=2024-02-08`, {
          headers: { Authorization: `token key:${strict.accessToken()}` },
        }).then(({ status }) => status)
      const statuses = await Promise.all(Array.from({ length: 5 }, ask))
      expect(statuses.filter((status) => status === 429)).toHaveLength(2)
      expect(strict.stats()).toMatchObject({ historical: 5, refused: 2, peakPerSecond: 5 })
    } finally {
      await strict.close()
    }
  })
})
