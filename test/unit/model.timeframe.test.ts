import { describe, expect, test } from 'vitest'
import {
  anchorOf,
  ceilToBar,
  countOpens,
  fixedWidthMs,
  floorToBar,
  nextOpen,
  parseTimeframe,
  shiftBars,
} from '../../src/model/timeframe.ts'

const at = (text: string) => Date.parse(text.length === 10 ? `${text}T00:00:00Z` : `${text}Z`)
const iso = (ms: number) => new Date(ms).toISOString().slice(0, 19)

function floors(timeframe: string, instant: string, open: string, next: string) {
  test(`the ${timeframe} bar that holds ${instant} opens ${open}`, () => {
    const tf = parseTimeframe(timeframe)
    expect(iso(floorToBar(tf, at(instant)))).toBe(iso(at(open)))
    expect(iso(nextOpen(tf, at(open)))).toBe(iso(at(next)))
    expect(floorToBar(tf, at(open))).toBe(at(open))
    expect(ceilToBar(tf, at(open))).toBe(at(open))
    expect(ceilToBar(tf, at(open) + 1)).toBe(at(next))
  })
}

describe('timeframes', () => {
  floors('1s', '2024-02-29T12:34:56', '2024-02-29T12:34:56', '2024-02-29T12:34:57')
  floors('1m', '2024-02-29T12:34:56', '2024-02-29T12:34:00', '2024-02-29T12:35:00')
  floors('8h', '2024-02-29T15:59:59', '2024-02-29T08:00:00', '2024-02-29T16:00:00')
  floors('1d', '2024-02-29T23:59:59', '2024-02-29', '2024-03-01')
  floors('1w', '2023-06-18T23:59:59', '2023-06-12', '2023-06-19') // Monday, as the venue's archive names them
  floors('1w', '1970-01-05', '1970-01-05', '1970-01-12')
  floors('1M', '2024-02-29T23:59:59', '2024-02-01', '2024-03-01')
  floors('1M', '2023-12-31', '2023-12-01', '2024-01-01')

  test.each([
    '1s',
    '1m',
    '3m',
    '5m',
    '15m',
    '30m',
    '1h',
    '2h',
    '4h',
    '6h',
    '8h',
    '12h',
    '1d',
    '3d',
    '1w',
    '1M',
  ])('%s is read as it stands', (text) => expect(parseTimeframe(text)).toBe(text))

  test.each(['', '1', 'm', '0m', '1x', '1 m', '-1m', '1mo', '01m', '1M ', '99999m'])(
    '%j is refused',
    (text) => {
      expect(() => parseTimeframe(text)).toThrow(expect.objectContaining({ code: 'timeframe.unknown' }))
    },
  )

  test('no anchor is guessed for 3d: without one it is an error, with one it is a grid', () => {
    const tf = parseTimeframe('3d')
    expect(anchorOf(tf)).toBeUndefined()
    expect(() => floorToBar(tf, at('2023-12-09'))).toThrow(
      expect.objectContaining({ code: 'timeframe.no-anchor' }),
    )
    expect(iso(floorToBar(tf, at('2023-12-10T05:00:00'), at('2017-08-17')))).toBe('2023-12-08T00:00:00')
    expect(iso(floorToBar(tf, at('2017-08-16'), at('2017-08-17')))).toBe('2017-08-14T00:00:00')
  })

  test('months have no fixed width; shifting and counting walk the calendar', () => {
    const tf = parseTimeframe('1M')
    expect(fixedWidthMs(tf)).toBeUndefined()
    expect(iso(shiftBars(tf, at('2024-01-01'), 14))).toBe('2025-03-01T00:00:00')
    expect(iso(shiftBars(tf, at('2024-01-01'), -1))).toBe('2023-12-01T00:00:00')
    expect(countOpens(tf, { startMs: at('2024-01-02'), endMs: at('2025-01-01') })).toBe(11)
  })

  test.each([
    ['2024-01-01', '2024-01-02', 1_440],
    ['2024-01-01T00:00:01', '2024-01-01T00:01:00', 0],
    ['2024-01-01T00:00:01', '2024-01-01T00:01:01', 1],
    ['2024-01-01T00:00:00', '2024-01-01T00:00:01', 1],
  ])('1m bars that open from %s before %s: %d', (from, to, count) => {
    expect(countOpens(parseTimeframe('1m'), { startMs: at(from), endMs: at(to) })).toBe(count)
  })
})
