import { DAY_MS, type EpochMs, HOUR_MS, MINUTE_MS, SECOND_MS, WEEK_MS } from './time.ts'

/** A time as a person names it; made absolute by the venue's clock and the series' first bar. */
export type When =
  | { readonly kind: 'at'; readonly ms: EpochMs }
  /** `-30d`: so long before the venue's now; `now` is 0. */
  | { readonly kind: 'ago'; readonly ms: number }
  /** The first bar the venue has. */
  | { readonly kind: 'listing' }

/** What `readWhen` understands, in one sentence. */
export const whenHint =
  'Write ISO 8601 in UTC (2024, 2024-03, 2024-03-05, 2024-03-05T14:30Z, …+05:30), -90m, -12h, -30d or -4w, now, or listing.'

const relativeUnitMs: Readonly<Record<string, number>> = {
  s: SECOND_MS,
  m: MINUTE_MS,
  h: HOUR_MS,
  d: DAY_MS,
  w: WEEK_MS,
}

const absolute =
  /^(\d{4})(?:-(\d\d)(?:-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,3}))?)?(Z|[+-]\d\d(?::?\d\d)?)?)?)?)?$/i

/**
 * Reads a time: ISO 8601, whole or truncated (`2024-03` is the first instant of March), UTC unless an offset is
 * given; relative to now (`-30d`, with s, m, h, d or w); `now`; `listing`. `undefined` for anything else: days the
 * calendar does not have, times before 1970, and bare epoch numbers, whose unit nobody can tell.
 */
export function readWhen(text: string): When | undefined {
  const word = text.trim().toLowerCase()
  if (word === 'now') return { kind: 'ago', ms: 0 }
  if (word === 'listing') return { kind: 'listing' }
  const relative = /^-(\d{1,9})([smhdw])$/.exec(text.trim())
  if (relative) return { kind: 'ago', ms: Number(relative[1]) * relativeUnitMs[relative[2]!]! }
  const match = absolute.exec(text.trim())
  return match ? instant(match) : undefined
}

/** `90s`, `5m`, `2h`, `1d` or `1w` in milliseconds; `undefined` for anything else, 0 among it. */
export function readDuration(text: string): number | undefined {
  const match = /^([1-9]\d{0,8})([smhdw])$/.exec(text.trim())
  return match ? Number(match[1]) * relativeUnitMs[match[2]!]! : undefined
}

function instant(match: RegExpExecArray): When | undefined {
  const [year, month, day, hour, minute, second] = [0, 1, 1, 0, 0, 0].map((least, i) =>
    match[i + 1] === undefined ? least : Number(match[i + 1]),
  ) as [number, number, number, number, number, number]
  const milli = Number((match[7] ?? '').padEnd(3, '0'))
  const offset = offsetMs(match[8])
  const date = new Date(Date.UTC(year, month - 1, day, hour, minute, second, milli))
  const real = date.getUTCMonth() === month - 1 && date.getUTCDate() === day && date.getUTCHours() === hour
  if (!real || minute > 59 || second > 59 || offset === undefined) return undefined
  const ms = date.getTime() - offset
  return ms < 0 || year < 1970 || year > 5137 ? undefined : { kind: 'at', ms }
}

function offsetMs(zone: string | undefined): number | undefined {
  if (zone === undefined || zone.toUpperCase() === 'Z') return 0
  const [, sign, hours, minutes = '00'] = /^([+-])(\d\d):?(\d\d)?$/.exec(zone)!
  if (Number(hours) > 14 || Number(minutes) > 59) return undefined
  return (sign === '-' ? -1 : 1) * (Number(hours) * HOUR_MS + Number(minutes) * MINUTE_MS)
}

/**
 * Whether a range from `from` to `to` (now, without one) is empty or backwards for sure. Ends of different kinds cannot
 * be compared without the venue's clock and never are.
 */
export function isReversed(from: When | undefined, to: When = { kind: 'ago', ms: 0 }): boolean {
  if (from?.kind === 'at' && to.kind === 'at') return from.ms >= to.ms
  return from?.kind === 'ago' && to.kind === 'ago' && from.ms <= to.ms
}

/** Whether this is a day of the calendar: `1995-01-01`. */
export function isDay(value: string): boolean {
  const ms = /^\d{4}-\d{2}-\d{2}$/.test(value) ? Date.parse(`${value}T00:00:00Z`) : Number.NaN
  return !Number.isNaN(ms) && new Date(ms).toISOString().slice(0, 10) === value
}
