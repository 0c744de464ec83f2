import { describe, expect, test } from 'vitest'
import { parseSeries } from '../../src/model/series.ts'
import { DAY_MS } from '../../src/model/time.ts'
import { keyOf } from '../../src/store/bigquery/columns.ts'
import { storeFailure } from '../../src/store/bigquery/failures.ts'
import { DAYS_PER_JOB, partsByDays } from '../../src/store/bigquery/history.ts'
import { requests } from '../../src/store/bigquery/live.ts'
import { settingsOf } from '../../src/store/bigquery/options.ts'
import { minutes } from '../support/bars.ts'

test.each([
  ['binance:spot:BTCUSDT:1m', 'binance'],
  ['binance:um:BTCUSDT:1m', 'binance:um'],
  ['binance:um:BTCUSDT:1m@mark', 'binance:um@mark'],
  ['binance:spot:BTCUSDT:1m@index', 'binance@index'],
  ['kite:nse:INFY:1d', 'kite:nse'],
])('%s is of exchange %s', (id, exchange) => {
  const series = parseSeries(id)
  expect(keyOf(series)).toEqual({
    exchange,
    symbol: series.instrument.symbol,
    timeframe: series.timeframe,
  })
})

describe('requests', () => {
  const rows = (count: number, bytes: number) => Array.from({ length: count }, () => ({ bytes }))
  test.each([
    ['none', 0, 100, []],
    ['500 go in one', 500, 100, [500]],
    ['501 do not', 501, 100, [500, 1]],
    ['9 MB', 30, 1_000_000, [9, 9, 9, 3]],
    ['a row that is too large goes alone', 2, 9_500_000, [1, 1]],
  ])('%s', (_, count, bytes, lengths) => {
    expect(requests(rows(count, bytes)).map(({ length }) => length)).toEqual(lengths)
  })
})

test('no part of a batch has more days than a job may change', () => {
  const days = minutes(10_000)
  for (let i = 0; i < days.length; i++) days.openTimeMs[i] = i * DAY_MS * (i > 5_000 ? 2 : 1)
  const parts = partsByDays(days)
  expect(parts.reduce((sum, { length }) => sum + length, 0)).toBe(10_000)
  for (const { openTimeMs, length } of parts) {
    expect(openTimeMs[length - 1]! - openTimeMs[0]!).toBeLessThan(DAYS_PER_JOB * DAY_MS)
  }
  expect(partsByDays(minutes(0))).toEqual([])
})

test.each([{ project: 'Has Space' }, { dataset: 'a-b' }, { table: 'x`; DROP' }, { table: '' }])(
  '%j is no name',
  (options) => expect(() => settingsOf({ name: 'bq', project: 'p', ...options })).toThrow(/cannot be a name/),
)

describe('what went wrong and what to do', () => {
  const api = (code: number, reason: string) => Object.assign(new Error('no'), { code, errors: [{ reason }] })
  test.each<[string, unknown, string, string]>([
    ['rate limit', api(403, 'rateLimitExceeded'), 'store.unreachable', 'retry'],
    ['quota', api(403, 'quotaExceeded'), 'store.quota', 'retry'],
    ['rights', api(403, 'accessDenied'), 'store.not-writable', 'abort'],
    ['token refused', api(401, 'authError'), 'store.auth', 'abort'],
    ['server', api(502, 'backendError'), 'store.unreachable', 'retry'],
    ['job failed', Object.assign(new Error('no'), { reason: 'invalidQuery' }), 'store.schema', 'abort'],
    ['no such host', Object.assign(new Error('x'), { code: 'ENOTFOUND' }), 'store.unreachable', 'retry'],
    [
      'clock is wrong',
      new Error('invalid_grant: Invalid JWT: Token must be short-lived'),
      'store.auth',
      'abort',
    ],
    ['no credentials', new Error('Could not load the default credentials.'), 'store.auth', 'abort'],
    ['two at once', new Error('Could not serialize access to table t'), 'store.unreachable', 'retry'],
    ['anything else', new Error('odd'), 'store.failed', 'abort'],
  ])('%s', (_, error, code, recovery) => expect(storeFailure(error, 'bq')).toMatchObject({ code, recovery }))

  test('an hour of waiting for a quota', () =>
    expect(storeFailure(api(403, 'quotaExceeded'), 'bq').retryAfterMs).toBe(3_600_000))

  test('no key and no token is shown', () => {
    const key = '-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----'
    const { message, cause } = storeFailure(new Error(`bad ${key} and ya29.a0Af-x`), 'bq')
    expect(`${message} ${(cause as Error).message}`).not.toMatch(/MIIEvQ|ya29/)
  })
})
