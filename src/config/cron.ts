import { Cron } from 'croner'
import type { EpochMs } from '../model/time.ts'

/**
 * The first time a schedule comes round after `afterMs`, to the minute, in the time zone's own clock: what is set for an
 * hour that a zone skips comes right after it, and what is set for one it has twice comes once. `undefined` when it never
 * does (30 February).
 *
 * @param schedule five fields, `0 18 * * 1-5`, or `@daily` and its like.
 * @param timezone an IANA name.
 * @throws TypeError, RangeError for what `scheduleFault` finds fault with.
 */
export function nextRun(schedule: string, timezone: string, afterMs: EpochMs): EpochMs | undefined {
  const cron = new Cron(schedule, { timezone, paused: true, mode: '5-part' })
  return cron.nextRun(new Date(afterMs))?.getTime()
}

/** What is wrong with a schedule; `undefined` when it comes round some day. */
export function scheduleFault(schedule: string): string | undefined {
  try {
    return nextRun(schedule, 'UTC', 0) === undefined ? 'that day never comes' : undefined
  } catch (error) {
    return (error as Error).message.replace(/^CronPattern: /, '')
  }
}

export function isTimezone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}
