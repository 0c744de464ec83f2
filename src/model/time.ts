import { EverybarError } from './errors.ts'

/** Milliseconds since 1970-01-01T00:00:00Z, a safe integer. Never seconds, never microseconds. */
export type EpochMs = number

/** `[startMs, endMs)`: the start belongs to it, the end does not. Never empty. */
export interface TimeRange {
  readonly startMs: EpochMs
  readonly endMs: EpochMs
}

export const SECOND_MS = 1_000
export const MINUTE_MS = 60_000
export const HOUR_MS = 3_600_000
export const DAY_MS = 86_400_000
export const WEEK_MS = 7 * DAY_MS

/** Past this a number is surely microseconds (the year 5138 in milliseconds). */
const LATEST_MS = 1e14

/**
 * The half-open range `[startMs, endMs)`.
 *
 * @throws EverybarError `time.bad-range` (abort) when it would be empty or reversed, or when an end is not a
 *   whole number of milliseconds in the years 1970 to 5138.
 */
export function timeRange(startMs: EpochMs, endMs: EpochMs): TimeRange {
  for (const [name, ms] of [
    ['start', startMs],
    ['end', endMs],
  ] as const) {
    if (!Number.isSafeInteger(ms) || ms < 0 || ms > LATEST_MS) {
      throw new EverybarError('time.bad-range', `${name} ${ms} is not a time in epoch milliseconds`, {
        recovery: 'abort',
        hint: 'Times are whole milliseconds since 1970, UTC. Multiply seconds by 1,000.',
      })
    }
  }
  if (endMs <= startMs) {
    throw new EverybarError('time.bad-range', `the range ${iso(startMs)} … ${iso(endMs)} is empty`, {
      recovery: 'abort',
      hint: 'A range holds its start and not its end, so the end has to come after the start.',
    })
  }
  return { startMs, endMs }
}

/** The common part of two ranges, or `undefined` when they only touch or lie apart. */
export function overlap(a: TimeRange, b: TimeRange): TimeRange | undefined {
  const startMs = Math.max(a.startMs, b.startMs)
  const endMs = Math.min(a.endMs, b.endMs)
  return startMs < endMs ? { startMs, endMs } : undefined
}

export const contains = (range: TimeRange, ms: EpochMs): boolean => ms >= range.startMs && ms < range.endMs

/** `2024-03-05T00:00:00Z`, with milliseconds only where there are some. */
export function iso(ms: EpochMs): string {
  const text = new Date(ms).toISOString()
  return text.endsWith('.000Z') ? `${text.slice(0, -5)}Z` : text
}

/** The UTC calendar month that holds `ms`: its first millisecond and the first of the next month. */
export function monthOf(ms: EpochMs): TimeRange {
  const date = new Date(ms)
  const year = date.getUTCFullYear()
  const month = date.getUTCMonth()
  return { startMs: Date.UTC(year, month, 1), endMs: Date.UTC(year, month + 1, 1) }
}
