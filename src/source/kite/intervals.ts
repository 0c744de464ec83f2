import { DAY_MS, type EpochMs } from '../../model/time.ts'
import { fixedWidthMs, type Timeframe } from '../../model/timeframe.ts'

/** India has one time zone and no summer time. */
export const IST_OFFSET_MS = 19_800_000

/** Timeframes by the venue's word for them. It has no weeks and no months. */
export const kiteIntervals = {
  minute: '1m',
  '3minute': '3m',
  '5minute': '5m',
  '10minute': '10m',
  '15minute': '15m',
  '30minute': '30m',
  '60minute': '1h',
  day: '1d',
} as const

export type KiteInterval = keyof typeof kiteIntervals

const byTimeframe = new Map<string, KiteInterval>(
  Object.entries(kiteIntervals).map(([interval, timeframe]) => [timeframe, interval as KiteInterval]),
)

/** `day` for `1d`; `undefined` for what the venue has no candles of. */
export const kiteIntervalOf = (timeframe: string): KiteInterval | undefined => byTimeframe.get(timeframe)

/** Days one request may ask for, by interval. */
export type DayCaps = Readonly<Record<KiteInterval, number>>

export const defaultDayCaps: DayCaps = {
  minute: 60,
  '3minute': 100,
  '5minute': 100,
  '10minute': 100,
  '15minute': 200,
  '30minute': 200,
  '60minute': 400,
  day: 2_000,
}

/** Bars at most in so many days, on a market that never closes. */
export const barsInDays = (timeframe: string, days: number): number =>
  Math.floor((days * DAY_MS) / fixedWidthMs(timeframe as Timeframe)!)

/** A trading day began at 09:15 IST on 1970-01-01: hours and half hours are counted from the opening. */
const OPENING_MS = 9.25 * 3_600_000 - IST_OFFSET_MS

/** A point of the grid the venue's candles open on: midnight IST for days, the opening at 09:15 IST for the others. */
export const kiteAnchorOf = (timeframe: string): EpochMs =>
  timeframe === '1d' ? DAY_MS - IST_OFFSET_MS : OPENING_MS

/** `2024-03-05 09:15:00`, Indian time: what the venue takes as `from` and `to`. Whole seconds. */
export function istText(ms: EpochMs): string {
  return new Date(ms + IST_OFFSET_MS).toISOString().slice(0, 19).replace('T', ' ')
}

/** `2024-03-05T09:15:00+0530`: how the venue writes a candle's time. */
export const istStamp = (ms: EpochMs): string => `${istText(ms).replace(' ', 'T')}+0530`

/** `2024-03-05`, the Indian calendar day that holds `ms`. */
export const istDay = (ms: EpochMs): string => istText(ms).slice(0, 10)

/** Midnight IST of `2024-03-05`; NaN for text that names no day. */
export function istMidnight(day: string): EpochMs {
  const ms = /^\d{4}-\d{2}-\d{2}$/.test(day) ? Date.parse(`${day}T00:00:00Z`) : Number.NaN
  return Number.isNaN(ms) || new Date(ms).toISOString().slice(0, 10) !== day ? Number.NaN : ms - IST_OFFSET_MS
}
