import { describe, expect, test } from 'vitest'
import { countersIn } from '../../src/fetch/limits/counters.ts'
import { bannedForMs, penaltyMs, retryAfterMs } from '../../src/fetch/limits/penalty.ts'
import { networkFault } from '../../src/fetch/undici/faults.ts'
import { redactUrl } from '../../src/fetch/undici/redact.ts'

const now = Date.UTC(2024, 2, 5, 12)
const date = (ms: number) => new Date(ms).toUTCString()

describe('what an answer asks the client to wait', () => {
  test.each<[string, Record<string, string>, number | undefined]>([
    ['no header', {}, undefined],
    ['seconds', { 'retry-after': '7' }, 7_000],
    ['seconds with blanks', { 'retry-after': ' 7 ' }, 7_000],
    ['a date by our clock', { 'retry-after': date(now + 5_000) }, 5_000],
    ["a date by the venue's clock", { 'retry-after': date(now + 65_000), date: date(now + 60_000) }, 5_000],
    ['a date gone by', { 'retry-after': date(now - 5_000) }, 0],
    ['a negative number', { 'retry-after': '-1 second' }, undefined],
    ['a word', { 'retry-after': 'later' }, undefined],
  ])('Retry-After: %s', (_name, headers, ms) => expect(retryAfterMs(headers, now)).toBe(ms))

  test.each<[string, string, Record<string, string>, number | undefined]>([
    ['milliseconds', `Way too many requests; IP banned until ${now + 9_000}. Please`, {}, 9_000],
    ['seconds', `IP(1.2.3.4) banned until ${now / 1_000 + 9}`, {}, 9_000],
    ['microseconds', `banned until ${(now + 9_000) * 1_000}.`, {}, 9_000],
    ["the venue's clock", `banned until ${now + 9_000}`, { date: date(now + 4_000) }, 5_000],
    ['gone by', `banned until ${now - 1}`, {}, 0],
    ['no time', 'IP banned until further notice', {}, undefined],
  ])('banned until: %s', (_name, text, headers, ms) => expect(bannedForMs(text, headers, now)).toBe(ms))

  const random = () => 0.5
  test.each<[string, number | undefined, number, number, number]>([
    ['what the answer says, and a little later', 3_000, 429, 1, 3_050],
    ['429 without a word', undefined, 429, 1, 1_500],
    ['the third in a row', undefined, 429, 3, 6_000],
    ['never above the cap', undefined, 429, 40, 22_500],
    ['Retry-After 0 is no word', 0, 429, 1, 1_500],
    ['a ban without a word', undefined, 418, 1, 120_000],
  ])('penalty: %s', (_name, told, status, strikes, ms) => {
    expect(penaltyMs(told, status, strikes, { baseMs: 2_000, capMs: 30_000, random })).toBe(ms)
  })
})

test.each<[Record<string, string>, { windowMs: number; used: number }[]]>([
  [{ 'x-mbx-used-weight-1m': '240', date: 'x' }, [{ windowMs: 60_000, used: 240 }]],
  [{ 'x-mbx-used-weight-10s': '5' }, [{ windowMs: 10_000, used: 5 }]],
  [
    { 'x-mbx-used-weight-1h': '5', 'x-mbx-used-weight-1d': '6' },
    [
      { windowMs: 3_600_000, used: 5 },
      { windowMs: 86_400_000, used: 6 },
    ],
  ],
  [{ 'x-mbx-used-weight': '5', 'x-mbx-used-weight-1x': '5', 'x-mbx-used-weight-1m': 'many' }, []],
])('counters in %j', (headers, counters) => expect(countersIn(headers)).toEqual(counters))

test.each([
  ['https://user:pw@host.test/a?symbol=BTC&limit=5#frag', 'https://host.test/a?symbol=BTC&limit=5'],
  ['https://host.test/a?apiKey=1&symbol=B', 'https://host.test/a?symbol=B'],
  [
    'https://host.test:8443/a?X-MBX-APIKEY=1&signature=2&access_token=3&Authorization=4',
    'https://host.test:8443/a',
  ],
  ['http://127.0.0.1:9/', 'http://127.0.0.1:9/'],
])('%s is shown as %s', (url, shown) => expect(redactUrl(new URL(url))).toBe(shown))

test.each([
  ['ENOTFOUND', 'fetch.unreachable', 'retry'],
  ['EAI_AGAIN', 'fetch.unreachable', 'retry'],
  ['ECONNREFUSED', 'fetch.unreachable', 'retry'],
  ['ECONNRESET', 'fetch.unreachable', 'retry'],
  ['UND_ERR_SOCKET', 'fetch.unreachable', 'retry'],
  ['HPE_INVALID_CONSTANT', 'fetch.unreachable', 'retry'],
  ['UND_ERR_CONNECT_TIMEOUT', 'fetch.timeout', 'retry'],
  ['ETIMEDOUT', 'fetch.timeout', 'retry'],
  ['CERT_HAS_EXPIRED', 'fetch.untrusted', 'abort'],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'fetch.untrusted', 'abort'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 'fetch.untrusted', 'abort'],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'fetch.untrusted', 'abort'],
  ['UND_ERR_INVALID_ARG', 'fetch.bad-request', 'abort'],
])('a failure with code %s is %s', (code, name, recovery) => {
  const inner = Object.assign(new Error('inner'), { code })
  for (const cause of [inner, new Error('outer', { cause: inner })]) {
    const error = networkFault(cause, 'https://host.test/x')
    expect([error.code, error.recovery, error.cause]).toEqual([name, recovery, cause])
    expect(error.hint).not.toBe('')
  }
})
