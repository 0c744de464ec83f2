import { describe, expect, test } from 'vitest'
import {
  computeExpectedSlices,
  computeMissingSlices,
  type KnownStatus,
  parseSeries,
  sliceId,
  slicingOf,
} from '../../src/index.ts'

const BTC = parseSeries('binance:spot:BTCUSDT:1m')
const SPAN = 60_000_000

const expected = (startMs: number, endMs: number, limit = 1000) =>
  computeExpectedSlices({ series: BTC, range: { startMs, endMs }, endpoint: 'binance.klines', limit })
const keys = (slices: Iterable<{ readonly key: string }>) => [...slices].map(({ key }) => key)

describe('computeExpectedSlices', () => {
  test('covers the range with whole slices, anchored on the epoch', () => {
    expect(keys(expected(1.5 * SPAN, 3 * SPAN + 1))).toEqual([
      'BTCUSDT:1m:60000000-119999999:1000',
      'BTCUSDT:1m:120000000-179999999:1000',
      'BTCUSDT:1m:180000000-239999999:1000',
    ])
  })

  test('an earlier start changes no key', () => {
    const late = keys(expected(7 * SPAN, 9 * SPAN))
    expect(keys(expected(5 * SPAN + 1, 9 * SPAN)).slice(-2)).toEqual(late)
  })

  test('an id is the BLAKE2b-128 of the key', () => {
    const [one] = expected(0, 1)
    expect(one!.id).toBe(sliceId(one!.key))
    expect(one!.id).toMatch(/^[0-9a-f]{32}$/)
  })

  test('is lazy: the first of a hundred million comes at once', () => {
    const first = expected(0, 1e14, 1).next().value
    expect(first?.range).toEqual({ startMs: 0, endMs: 60_000 })
  })

  test('slices by the endpoint that serves the series', () => {
    expect(slicingOf(BTC)).toEqual({ endpoint: 'binance.klines', limit: 1000 })
    expect(slicingOf('binance:um:BTCUSDT:1m')).toEqual({ endpoint: 'binance.um-klines', limit: 499 })
  })
})

describe('computeMissingSlices', () => {
  const all = keys(expected(0, 7 * SPAN))
  const missing = (known: Readonly<Record<number, KnownStatus>>) => {
    const statuses = new Map(Object.entries(known).map(([i, status]) => [all[Number(i)]!, status]))
    return keys(computeMissingSlices(expected(0, 7 * SPAN), statuses)).map((key) => all.indexOf(key))
  }

  test('nothing known: all of them', () => expect(missing({})).toEqual([0, 1, 2, 3, 4, 5, 6]))
  test('settled ones are left out, all others stay, in order', () =>
    expect(
      missing({ 0: 'ok', 1: 'failed', 2: 'empty', 3: 'pending', 4: 'partial', 5: 'quarantined' }),
    ).toEqual([1, 3, 4, 5, 6]))
  test('what is known of other slices does not matter', () => {
    const others = new Map<string, KnownStatus>([['BTCUSDT:1m:0-59999:1', 'ok']])
    expect(keys(computeMissingSlices(expected(0, SPAN), others))).toEqual(all.slice(0, 1))
  })
})
