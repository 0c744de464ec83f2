import { sha256 } from '@noble/hashes/sha2.js'
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js'
import { EverybarError } from '../model/errors.ts'
import { type RangeSet, subtract, toRangeSet } from '../model/range-set.ts'
import { DAY_MS, type EpochMs, MINUTE_MS, type TimeRange } from '../model/time.ts'
import { ceilToBar, fixedWidthMs, floorToBar, type Timeframe } from '../model/timeframe.ts'

/** A calendar as its file has it. Days are `2024-03-05` in the market's own time; hours are `09:15-15:30`. */
export interface CalendarData {
  readonly id: string
  /** The day it was made. */
  readonly version: string
  readonly markets: readonly string[]
  /** Where it is from, and what is not known. */
  readonly source: readonly string[]
  /** What the market's clock is ahead of UTC; no summer time. */
  readonly offsetMinutes: number
  /** First and last day it knows the holidays of. Outside it only weekends are known to be closed. */
  readonly from: string
  readonly to: string
  readonly hours: string
  /** Weekdays without trading. */
  readonly closed: readonly string[]
  /** Days with other hours, weekends and closed days included. */
  readonly sessions: readonly { readonly date: string; readonly hours: readonly string[] }[]
  /** Of everything above, as compact JSON in this order. */
  readonly sha256: string
}

/** What a user knows better. Wins over the file. */
export interface CalendarOverrides {
  readonly closed?: readonly string[]
  /** `2026-11-08 18:00-19:00`; without hours the usual ones. Several lines of one day are several sessions. */
  readonly sessions?: readonly string[]
}

/** When a market is open: which slots of a grid a bar can open in. */
export interface SessionCalendar {
  /** `india-equity of 2026-07-23`, with a word where a user has changed it. */
  readonly name: string
  /**
   * The slots of a timeframe in `range` that hold trading hours, as ranges from the first open time to the one after the
   * last. A slot a day wide or wider is open when any day in it is.
   */
  readonly openSlots: (
    grid: { readonly timeframe: Timeframe; readonly anchorMs?: EpochMs },
    range: TimeRange,
  ) => RangeSet
  /** How much longer than usual the market is open on the day that holds `ms`: until an evening session is over. */
  readonly lateMs: (ms: EpochMs) => number
}

interface Hours {
  readonly fromMs: number
  readonly toMs: number
}

/** Answers kept, since thousands of series ask the same of one calendar. */
const ANSWERS_KEPT = 16

/**
 * @throws EverybarError `coverage.bad-calendar` (abort): a checksum that does not fit, a day or hours that cannot be read.
 */
export function sessionCalendar(data: CalendarData, overrides: CalendarOverrides = {}): SessionCalendar {
  checkSum(data)
  const usual = hoursOf(data, data.hours)
  const days = new Map<number, readonly Hours[]>()
  for (const day of data.closed) days.set(dayNumber(data, day), [])
  for (const { date, hours } of data.sessions)
    days.set(
      dayNumber(data, date),
      hours.map((text) => hoursOf(data, text)),
    )
  const changed = override(data, days, overrides, usual)
  const offsetMs = data.offsetMinutes * MINUTE_MS
  const sessionsOf = (day: number): readonly Hours[] => days.get(day) ?? (isWeekend(day) ? [] : [usual])
  const kept = new Map<string, RangeSet>()
  return {
    name: `${data.id} of ${data.version}${changed ? ', changed by the configuration' : ''}`,
    openSlots(grid, range) {
      const key = `${grid.timeframe} ${grid.anchorMs} ${range.startMs} ${range.endMs}`
      const known = kept.get(key)
      if (known) return known
      const slots = toRangeSet(slotsOf(grid, range, sessionsOf, offsetMs))
      if (kept.size >= ANSWERS_KEPT) kept.delete(kept.keys().next().value!)
      kept.set(key, slots)
      return slots
    },
    lateMs: (ms) =>
      Math.max(0, ...sessionsOf(Math.floor((ms + offsetMs) / DAY_MS)).map(({ toMs }) => toMs - usual.toMs)),
  }
}

/** The slots of `range` in which the market is closed. */
export const closedSlots = (
  calendar: SessionCalendar,
  grid: { readonly timeframe: Timeframe; readonly anchorMs?: EpochMs },
  range: TimeRange,
): RangeSet => subtract([range], calendar.openSlots(grid, range))

function* slotsOf(
  { timeframe, anchorMs }: { readonly timeframe: Timeframe; readonly anchorMs?: EpochMs },
  range: TimeRange,
  sessionsOf: (day: number) => readonly Hours[],
  offsetMs: number,
): Generator<TimeRange> {
  const wide = (fixedWidthMs(timeframe) ?? DAY_MS) >= DAY_MS
  const first = Math.floor((range.startMs + offsetMs) / DAY_MS)
  const last = Math.floor((range.endMs - 1 + offsetMs) / DAY_MS)
  // In a slot that began before the range no bar of it opens, and readers count a session's bars from its start.
  const firstMs = ceilToBar(timeframe, range.startMs, anchorMs)
  for (let day = first; day <= last; day++) {
    const midnight = day * DAY_MS - offsetMs
    for (const { fromMs, toMs } of sessionsOf(day)) {
      const startMs = floorToBar(timeframe, midnight + (wide ? 0 : fromMs), anchorMs)
      const endMs = ceilToBar(timeframe, midnight + (wide ? DAY_MS : toMs), anchorMs)
      yield { startMs: Math.max(startMs, firstMs), endMs: Math.min(endMs, range.endMs) }
    }
  }
}

/** Days since 1970-01-01, a Thursday. */
const isWeekend = (day: number): boolean => (((day + 3) % 7) + 7) % 7 >= 5

function override(
  data: CalendarData,
  days: Map<number, readonly Hours[]>,
  { closed = [], sessions = [] }: CalendarOverrides,
  usual: Hours,
): boolean {
  for (const day of closed) days.set(dayNumber(data, day), [])
  const opened = new Map<number, Hours[]>()
  for (const text of sessions) {
    const [date = '', hours] = text.trim().split(/\s+/)
    const day = dayNumber(data, date)
    const of = opened.get(day) ?? []
    of.push(hours === undefined ? usual : hoursOf(data, hours))
    opened.set(day, of)
  }
  for (const [day, hours] of opened) days.set(day, hours)
  return closed.length + sessions.length > 0
}

function dayNumber({ id }: CalendarData, day: string): number {
  const ms = /^\d{4}-\d{2}-\d{2}$/.test(day) ? Date.parse(`${day}T00:00:00Z`) : Number.NaN
  if (Number.isNaN(ms) || new Date(ms).toISOString().slice(0, 10) !== day)
    throw badCalendar(id, `"${day}" is no day`)
  return ms / DAY_MS
}

function hoursOf({ id }: CalendarData, text: string): Hours {
  const match = /^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)$/.exec(text)
  const [fromHour = 0, fromMinute = 0, toHour = 0, toMinute = 0] = match ? match.slice(1).map(Number) : []
  const fromMs = (fromHour * 60 + fromMinute) * MINUTE_MS
  const toMs = (toHour * 60 + toMinute) * MINUTE_MS
  if (!match || toMs <= fromMs) throw badCalendar(id, `"${text}" are no hours`)
  return { fromMs, toMs }
}

function checkSum(data: CalendarData): void {
  const { sha256: told, ...rest } = data
  if (bytesToHex(sha256(utf8ToBytes(JSON.stringify(rest)))) === told) return
  throw badCalendar(data.id, 'its checksum does not fit what is in it')
}

const badCalendar = (id: string, what: string): EverybarError =>
  new EverybarError('coverage.bad-calendar', `the session calendar ${id}: ${what}`, {
    recovery: 'abort',
    hint: 'Write days as 2026-11-08 and hours as 18:00-19:00 in the overrides; do not edit the calendar file itself.',
  })
