import { describe, expect, test } from 'vitest'
import { readEnds } from '../../src/cli/when.ts'
import { EverybarError } from '../../src/model/errors.ts'
import { iso } from '../../src/model/time.ts'
import { readWhen } from '../../src/model/when.ts'

const shown = (text: string): string => {
  const when = readWhen(text)
  if (!when) return 'refused'
  return when.kind === 'at' ? iso(when.ms) : when.kind === 'ago' ? `-${when.ms}` : when.kind
}

describe('times as people write them', () => {
  test.each([
    ['2018', '2018-01-01T00:00:00Z'],
    ['2018-03', '2018-03-01T00:00:00Z'],
    ['2018-03-05', '2018-03-05T00:00:00Z'],
    ['2018-03-05T14:30', '2018-03-05T14:30:00Z'],
    ['2018-03-05 14:30', '2018-03-05T14:30:00Z'],
    ['2018-03-05T14:30Z', '2018-03-05T14:30:00Z'],
    ['2018-03-05T14:30:15z', '2018-03-05T14:30:15Z'],
    ['2018-03-05T14:30:15.25Z', '2018-03-05T14:30:15.250Z'],
    ['2018-03-05T14:30+05:30', '2018-03-05T09:00:00Z'],
    ['2018-03-05T14:30+0530', '2018-03-05T09:00:00Z'],
    ['2018-03-05T14:30-08', '2018-03-05T22:30:00Z'],
    ['2020-02-29', '2020-02-29T00:00:00Z'],
    ['1970', '1970-01-01T00:00:00Z'],
    [' 2018 ', '2018-01-01T00:00:00Z'],
    ['-30d', `-${30 * 86_400_000}`],
    ['-12h', `-${12 * 3_600_000}`],
    ['-90m', `-${90 * 60_000}`],
    ['-4w', `-${28 * 86_400_000}`],
    ['now', '-0'],
    ['NOW', '-0'],
    ['listing', 'listing'],
  ])('%s is %s', (text, expected) => expect(shown(text)).toBe(expected))

  test.each([
    '',
    ' ',
    '2018-13',
    '2018-00',
    '2019-02-29',
    '2018-04-31',
    '2018-3',
    '18-03-05',
    '03/05/2018',
    '2018-03-05T24:00',
    '2018-03-05T14:60',
    '2018-03-05T14:30:60',
    '2018-03-05T14',
    '2018-03-05T14:30:15.1234Z',
    '2018-03-05Z',
    '2018-03-05T14:30+15:00',
    '2018-03-05T14:30+05:60',
    '1969',
    '1970-01-01T00:00+01:00',
    '5138',
    '30d',
    '+30d',
    '-30',
    '-30D',
    '-1M',
    '-1y',
    '-1.5d',
    '-d',
    'yesterday',
    '1514764800000',
    '1514764800',
    '2018-03-05T14:30Zx',
    '２０１８',
  ])('"%s" is refused', (text) => expect(shown(text)).toBe('refused'))
})

describe('--from and --to', () => {
  const codeOf = (from?: string, to?: string): string => {
    try {
      readEnds(from, to)
      return 'fine'
    } catch (error) {
      return error instanceof EverybarError ? error.code : String(error)
    }
  }

  test.each([
    [undefined, undefined, 'fine'],
    ['2017-08', '2018-03', 'fine'],
    ['listing', 'now', 'fine'],
    ['-30d', '-1d', 'fine'],
    ['-30d', undefined, 'fine'],
    [undefined, '2018', 'fine'],
    // Ends of different kinds wait for the venue's clock.
    ['2999', 'now', 'fine'],
    ['2018-03', '2017-08', 'cli.range-reversed'],
    ['2018', '2018-01', 'cli.range-reversed'],
    ['-1d', '-30d', 'cli.range-reversed'],
    ['-1d', '-24h', 'cli.range-reversed'],
    ['now', undefined, 'cli.range-reversed'],
    ['2018-1', '2019', 'cli.bad-time'],
    ['2018', '2019-02-30', 'cli.bad-time'],
    ['2018', 'listing', 'cli.bad-time'],
    ['1514764800000', undefined, 'cli.bad-time'],
  ])('%s … %s: %s', (from, to, expected) => expect(codeOf(from, to)).toBe(expected))

  test('a truncated --to is the first instant of what it names', () => {
    expect(readEnds(undefined, '2018-03').to).toEqual({ kind: 'at', ms: Date.UTC(2018, 2, 1) })
  })
})
