import { describe, expect, test } from 'vitest'
import { WeightWindow } from '../../src/simulator/binance/limits.ts'
import { startSimulator } from '../../src/simulator/simulator.ts'

const T0 = Date.UTC(2024, 0, 1)

/**
 * Plays a script of `+ms` (time passes) and weights (a request), and gives what was said to each request: used weight
 * when served, `429/s` when refused, `418/s` when banned, `s` being the wait in seconds.
 */
function play(script: string, options = { capacity: 10, windowMs: 60_000, graceMs: 500 }): string {
  let now = T0
  const window = new WeightWindow({ ...options, now: () => now })
  const said: string[] = []
  for (const word of script.split(' ')) {
    if (word.startsWith('+')) now += Number(word.slice(1))
    else if (word === 'other') window.add(8)
    else {
      const verdict = window.charge(Number(word))
      said.push(
        verdict.kind === 'served'
          ? `${verdict.used}`
          : `${verdict.kind === 'refused' ? 429 : 418}/${verdict.retryAfterS}`,
      )
    }
  }
  return said.join(' ')
}

describe('golden: the window, refusals and bans', () => {
  test.each([
    ['up to the limit and no further', '4 4 2 1', '4 8 10 429/60'],
    [
      'a new window begins on the minute, not a minute after the first request',
      '+59000 10 +1000 10',
      '10 10',
    ],
    ['what is left of the window is the wait', '+15000 10 +400 1', '10 429/45'],
    ['a wait is never less than a second', '+59999 10 1', '10 429/1'],
    ['refused requests count', '6 6 +100 1', '6 429/60 429/60'],
    ['a request too heavy does not let a light one through', '9 5 1', '9 429/60 429/60'],
    [
      'requests under way at the first refusal are not banned for',
      '10 1 +200 1 +300 1',
      '10 429/60 429/60 429/60',
    ],
    ['going on is', '10 1 +501 1', '10 429/60 418/120'],
    ['a ban outlasts its window', '10 1 +501 1 +60000 1', '10 429/60 418/120 418/60'],
    [
      'a ban ends, and the weight of banned requests is forgotten',
      '10 1 +501 1 +120000 5',
      '10 429/60 418/120 5',
    ],
    [
      'the second ban is twice as long',
      '10 1 +600 1 +120000 10 1 +600 1',
      '10 429/60 418/120 10 429/60 418/240',
    ],
    ['waiting as told ends a refusal', '10 1 +60000 1', '10 429/60 1'],
    ['others behind the address use it up', 'other 2 1', '10 429/60'],
  ])('%s', (_, script, expected) => {
    expect(play(script)).toBe(expected)
  })

  test('bans grow with the window, to 4,320 windows', () => {
    const options = { capacity: 1, windowMs: 6000, graceMs: 0 }
    const round = '1 1 +1 1 +30000000'
    const bans = play(Array(14).fill(round).join(' '), options)
      .split(' ')
      .filter((word) => word.startsWith('418'))
    expect(bans.slice(0, 3)).toEqual(['418/12', '418/24', '418/48'])
    expect(bans.at(-1)).toBe('418/25920')
  })

  test('more refusals than anyone has requests under way end the grace early', () => {
    const said = play(`10 ${Array(201).fill('1').join(' ')}`).split(' ')
    expect(said.filter((word) => word.startsWith('429'))).toHaveLength(200)
    expect(said.at(-1)).toBe('418/120')
  })
})

describe('over HTTP', () => {
  test('429 with Retry-After, then 418 with the time in its text, then service again', async () => {
    let ticks = 0
    const venue = await startSimulator({
      weightLimit: 4,
      windowMs: 6000,
      graceMs: 100,
      nowMs: T0,
      ticks: () => ticks,
    })
    const ask = async () => {
      const response = await fetch(`${venue.url}/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=1`)
      const body = (await response.json()) as { msg?: string }
      return [
        response.status,
        response.headers.get('retry-after'),
        response.headers.get('x-mbx-used-weight-6s'),
        body.msg,
      ]
    }
    expect((await ask()).slice(0, 3)).toEqual([200, null, '2'])
    expect((await ask()).slice(0, 3)).toEqual([200, null, '4'])
    const please = 'Please use WebSocket Streams for live updates to avoid'
    expect(await ask()).toEqual([
      429,
      '6',
      '6',
      `Too much request weight used; current limit is 4 request weight per 6 SECOND. ${please} polling the API.`,
    ])
    ticks += 101
    expect(await ask()).toEqual([
      418,
      '12',
      '8',
      `Way too much request weight used; IP banned until ${T0 + 101 + 12_000}. ${please} bans.`,
    ])
    expect((await fetch(`${venue.url}/fapi/v1/ping`)).status).toBe(200)
    ticks += 12_000
    expect((await ask()).slice(0, 3)).toEqual([200, null, '2'])
    const stats = venue.stats()
    expect([stats.refused, stats.banned, stats.requestsByStatus]).toEqual([1, 1, { 200: 4, 418: 1, 429: 1 }])
    expect(stats.weight).toEqual({ spot: 10, um: 1 })
    expect(stats.weightPeak).toEqual({ spot: 8, um: 1 })
    await venue.close()
  })

  test('a round trip delays answers, not one another', async () => {
    const venue = await startSimulator({ rttMs: 150 })
    const started = performance.now()
    await Promise.all(
      Array.from({ length: 8 }, () => fetch(`${venue.url}/api/v3/ping`).then((r) => r.text())),
    )
    expect(performance.now() - started).toBeGreaterThanOrEqual(149)
    // All eight waited at the same time.
    expect(venue.stats().concurrentPeak).toBe(8)
    await venue.close()
  })
})
