import { expect, test } from 'vitest'
import { parseSeries } from '../../src/model/series.ts'
import { slice } from '../../src/model/slice.ts'
import { jobOf } from '../../src/pipeline/house.ts'
import { sliceAnswered } from '../../src/pipeline/own-slice.ts'
import { klines } from '../../src/source/binance/klines.ts'
import { umKlines } from '../../src/source/binance/um-klines.ts'

const sources = [klines('https://api.binance.com'), umKlines('https://fapi.binance.com')]
const job = (market: string) => jobOf({ sources }, parseSeries(`binance:${market}:BTCUSDT:1h`))
const hour = 3_600_000
const range = { startMs: 1_000 * 499 * hour, endMs: 1_001 * 499 * hour }
const own = slice(job('spot').series, 'binance.klines', range, 499)
const address = (path: string, { startMs, endMs } = range) =>
  `${path}?symbol=BTCUSDT&interval=1h&startTime=${startMs}&endTime=${endMs - 1}&limit=499`

const isOwn = async (market: string, url: string) =>
  (await sliceAnswered(job(market), { sliceKey: own.key, url }))?.id === own.id

test('the address tells of which market an answer is', async () => {
  const spot = address('https://api.binance.com/api/v3/klines')
  const um = address('https://fapi.binance.com/fapi/v1/klines')
  expect([await isOwn('spot', spot), await isOwn('um', um)]).toEqual([true, true])
  expect([await isOwn('spot', um), await isOwn('um', spot)]).toEqual([false, false])
})

test('another host, another path before it, a part of the slice: it is the same', async () => {
  const part = { startMs: range.startMs + 5 * hour, endMs: range.endMs - 7 * hour }
  expect(await isOwn('spot', address('http://127.0.0.1:8080/api/v3/klines'))).toBe(true)
  expect(await isOwn('spot', address('https://proxy.example/venue/api/v3/klines', part))).toBe(true)
  expect(await isOwn('spot', address('https://proxy.example/venue/fapi/v1/klines', part))).toBe(false)
})

test('an address that nobody would ask today says nothing', async () => {
  expect(await isOwn('spot', address('https://api.binance.com/api/v1/klines'))).toBe(true)
  expect(await isOwn('spot', '')).toBe(true)
})

test('the key of another series', async () => {
  const url = address('https://api.binance.com/api/v3/klines')
  for (const sliceKey of [own.key.replace('BTC', 'ETH'), own.key.replace('1h', '2h'), 'none'])
    expect(await sliceAnswered(job('spot'), { sliceKey, url })).toBeUndefined()
})
