import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { LiveState } from '../../src/app/live-state.ts'
import { query, verify } from '../../src/index.ts'
import { type LiveHouse, liveHouse } from '../support/live-house.ts'

const BTC = 'binance:spot:BTCUSDT:1m'
const ETH = 'binance:spot:ETHUSDT:1m'

/** Every series is live and has the bars up to `at` at least. */
const reached = (at: string) => (state: LiveState) =>
  state.series.every(({ doneMs }) => doneMs !== null && doneMs >= Date.parse(at))

describe('live', () => {
  let live: LiveHouse
  beforeEach(async () => {
    live = await liveHouse()
  })
  afterEach(() => live.close())

  const stored = async (series = BTC) => {
    const symbol = series.split(':')[2]
    const sql = `SELECT count(*)::INT AS bars, count(DISTINCT open_time)::INT AS times, epoch_ms(min(open_time)) AS first, epoch_ms(max(open_time)) AS last FROM bars WHERE symbol = '${symbol}'`
    const { rows } = await query({ root: live.root, sql })
    const row = rows[0] as Record<string, unknown>
    return {
      bars: Number(row.bars),
      times: Number(row.times),
      first: Number(row.first),
      last: Number(row.last),
    }
  }

  test('every bar once, as soon as it is final, and none before', async () => {
    const report = await live.follow([BTC, ETH], {
      from: '2024-03-01T11:00Z',
      minutes: 20,
      until: reached('2024-03-01T12:06Z'),
    })
    expect(report.state.series.map(({ lastError }) => lastError)).toEqual([undefined, undefined])
    expect(report.cycles).toBeGreaterThanOrEqual(5)
    for (const series of [BTC, ETH]) {
      const { bars, times, first, last } = await stored(series)
      expect(times).toBe(bars)
      expect(last).toBeGreaterThanOrEqual(Date.parse('2024-03-01T12:05Z'))
      expect(last).toBeLessThan(live.venue.now() - 60_000)
      expect(bars).toBe((last - first) / 60_000 + 1)
    }
    const proof = await verify({ root: live.root, deep: true })
    expect(proof.faults).toEqual([])
    expect(proof.complete).toBe(true)
  })
})
