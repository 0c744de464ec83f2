import { describe, expect, test } from 'vitest'
import { type CalendarData, closedSlots, sessionCalendar } from '../../src/coverage/calendar.ts'
import data from '../../src/coverage/calendars/india-equity.json' with { type: 'json' }
import { calendarOfMarket } from '../../src/coverage/calendars.ts'
import { classifyGaps } from '../../src/coverage/classify.ts'
import { expectedBars, finalEnd, missingRuns } from '../../src/coverage/expected.ts'
import { DAY_MS, HOUR_MS } from '../../src/model/time.ts'
import { fixedWidthMs, parseTimeframe } from '../../src/model/timeframe.ts'
import { istMidnight, istText, kiteAnchorOf } from '../../src/source/kite/intervals.ts'

const calendar = calendarOfMarket('nse')!
const gridOf = (timeframe: string, own = calendar) => ({
  timeframe: parseTimeframe(timeframe),
  anchorMs: kiteAnchorOf(timeframe),
  calendar: own,
})
/** Whole Indian days, the last not included. */
const days = (from: string, to: string) => ({ startMs: istMidnight(from), endMs: istMidnight(to) })
const spans = (runs: readonly { startMs: number; endMs: number }[]) =>
  runs.map((run) => `${istText(run.startMs).slice(0, 16)} … ${istText(run.endMs).slice(0, 16)}`)

describe('the calendar of the Indian stock exchanges', () => {
  test.each([
    ['an ordinary week has five days', '1d', '2024-03-11', '2024-03-18', 5],
    ['a holiday has none: Republic Day', '1d', '2024-01-26', '2024-01-27', 0],
    ['a special Saturday is a day', '1d', '2024-03-02', '2024-03-03', 1],
    ['a Sunday with a budget is a day', '1d', '2026-02-01', '2026-02-02', 1],
    ['Muhurat is a day', '1d', '2024-11-01', '2024-11-02', 1],
    ['375 minutes a day', '1m', '2024-03-11', '2024-03-12', 375],
    ['75 bars of five minutes', '5m', '2024-03-11', '2024-03-12', 75],
    ['38 bars of ten minutes, the last of five', '10m', '2024-03-11', '2024-03-12', 38],
    ['13 half hours', '30m', '2024-03-11', '2024-03-12', 13],
    ['seven hours from 09:15, the last a quarter', '1h', '2024-03-11', '2024-03-12', 7],
    ['two sessions on the day of the drill', '1m', '2024-03-02', '2024-03-03', 105],
    ['an hour of Muhurat', '1m', '2024-11-01', '2024-11-02', 60],
    [
      '249 days in 2024: 262 weekdays less 17, Muhurat, three Saturdays',
      '1d',
      '2024-01-01',
      '2025-01-01',
      249,
    ],
  ])('%s', (_name, timeframe, from, to, bars) => {
    expect(expectedBars(gridOf(timeframe), days(from, to))).toBe(bars)
  })

  test('closed days are not missing, an open day without a bar is', () => {
    const friday = istMidnight('2024-03-15')
    expect(spans(missingRuns(gridOf('1d'), days('2024-03-15', '2024-03-20'), [friday]))).toEqual([
      '2024-03-18 00:00 … 2024-03-20 00:00',
    ])
  })

  test.each([
    ['an ordinary day', '2024-03-05', '16:00'],
    ['a day that ends at noon', '2024-03-02', '16:00'],
    ['a Muhurat day', '2024-11-01', '19:30'],
  ])('%s is final half an hour after the close, and no sooner than its last session', (_name, day, time) => {
    const at = Date.parse(`${day}T${time}+05:30`)
    const final = (ms: number) => istText(finalEnd(gridOf('1d'), ms, -8 * HOUR_MS)).slice(0, 10)
    expect([final(at - 1), final(at)]).toEqual([day, istText(istMidnight(day) + DAY_MS).slice(0, 10)])
  })

  test('an hour grid is counted from the opening', () => {
    const open = calendar.openSlots(gridOf('1h'), days('2024-03-11', '2024-03-12'))
    expect(spans(open)).toEqual(['2024-03-11 09:15 … 2024-03-11 16:15'])
    expect(spans(closedSlots(calendar, gridOf('1h'), days('2024-03-11', '2024-03-12')))).toHaveLength(2)
  })

  test.each([
    ['1h', '2024-03-11T09:30', '2024-03-11 10:15 … 2024-03-11 16:15'],
    ['1d', '2024-03-11T05:30', '2024-03-12 00:00 … 2024-03-13 00:00'],
    ['15m', '2024-03-12T15:20', undefined],
  ])('%s slots from %s on are those that open there, not the rest of one', (timeframe, from, span) => {
    const range = { startMs: Date.parse(`${from}+05:30`), endMs: istMidnight('2024-03-13') }
    const spanned = spans(calendar.openSlots(gridOf(timeframe), range))
    expect(spanned[0]).toBe(span)
    expect(expectedBars(gridOf(timeframe), range)).toBe(
      calendar
        .openSlots(gridOf(timeframe), range)
        .reduce(
          (sum, { startMs, endMs }) =>
            sum + Math.ceil((endMs - startMs) / fixedWidthMs(parseTimeframe(timeframe))!),
          0,
        ),
    )
  })

  test('outside its years weekends are closed and nothing else is', () => {
    expect(expectedBars(gridOf('1d'), days('1995-01-23', '1995-01-30'))).toBe(5)
  })

  test('a user knows better', () => {
    const own = sessionCalendar(data as CalendarData, {
      closed: ['2026-11-24', '2024-03-11'],
      sessions: ['2026-11-08 18:00-19:00', '2024-03-16', '2024-03-17 09:15-10:00', '2024-03-17 11:00-11:30'],
    })
    const count = (timeframe: string, from: string, to: string) =>
      expectedBars(gridOf(timeframe, own), days(from, to))
    expect(count('1m', '2026-11-08', '2026-11-09')).toBe(60)
    expect(count('1d', '2024-03-11', '2024-03-12')).toBe(0)
    expect(count('1m', '2024-03-16', '2024-03-17')).toBe(375)
    expect(count('1m', '2024-03-17', '2024-03-18')).toBe(75)
    expect(own.name).toContain('changed by the configuration')
  })

  test.each([
    ['a day that is none', { closed: ['2024-02-30'] }],
    ['words', { closed: ['Diwali'] }],
    ['hours that end first', { sessions: ['2024-03-16 15:30-09:15'] }],
    ['an hour that is none', { sessions: ['2024-03-16 09:15-25:00'] }],
  ])('%s is refused', (_name, overrides) => {
    expect(() => sessionCalendar(data as CalendarData, overrides)).toThrow(
      expect.objectContaining({ code: 'coverage.bad-calendar', recovery: 'abort' }),
    )
  })

  test('a changed file is refused', () => {
    const changed = { ...(data as CalendarData), closed: data.closed.slice(1) }
    expect(() => sessionCalendar(changed)).toThrow(expect.objectContaining({ code: 'coverage.bad-calendar' }))
  })

  test('its days are real, ascending, and no closed day has no weekday', () => {
    expect(data.closed).toEqual([...new Set(data.closed)].sort())
    for (const day of data.closed) expect([0, 6]).not.toContain(new Date(`${day}T00:00:00Z`).getUTCDay())
    for (const { date, source } of data.sessions) expect(`${date} ${source}`.length).toBeGreaterThan(20)
  })
})

describe('gaps of a market that closes', () => {
  const range = days('2024-03-22', '2024-04-02')
  const absent = (from: string, count: number) =>
    ({ kind: 'missing', openTimeMs: istMidnight(from), count, detail: '' }) as const
  const classes = (findings: readonly ReturnType<typeof absent>[]) =>
    classifyGaps({
      grid: gridOf('1d'),
      range,
      answered: [range],
      notes: [
        {
          range,
          status: 'ok',
          findings,
          error: null,
          venueTimeMs: range.endMs * 2,
          completedAtMs: range.endMs,
        },
      ],
      settleMs: 0,
      quietBars: 'omitted',
    }).map((run) => `${run.class} ${run.bars} ${istText(run.range.startMs).slice(5, 10)}`)

  test('weekends, Holi and Good Friday are closed sessions; a day without a trade is no trade', () => {
    expect(classes([absent('2024-03-23', 3), absent('2024-03-27', 1), absent('2024-03-29', 3)])).toEqual([
      'closed_session 3 03-23',
      'no_trade 1 03-27',
      'closed_session 3 03-29',
    ])
  })

  test('a day traded though the calendar has it closed is no gap', () => {
    expect(classes([absent('2024-03-24', 2)])).toEqual(['closed_session 2 03-24'])
  })

  test('never asked for on a weekend is closed, on a weekday it is not', () => {
    const runs = classifyGaps({
      grid: gridOf('1d'),
      range: days('2024-03-15', '2024-03-19'),
      answered: [],
      notes: [],
      settleMs: 0,
      quietBars: 'omitted',
    })
    expect(runs.map((run) => `${run.class} ${run.bars}`)).toEqual([
      'never_fetched 1',
      'closed_session 2',
      'never_fetched 1',
    ])
  })
})
