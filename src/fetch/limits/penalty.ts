/** How long to stay away after a refusal that does not say. */
export interface PenaltyOptions {
  /** After the first 429 in a row; doubled with every further one. */
  readonly baseMs: number
  readonly capMs: number
  /** In [0, 1). */
  readonly random: () => number
}

/** A ban that names no end lasts at least this long: the shortest the venues document. */
const BAN_MS = 120_000

/** Venues count in their own clock's milliseconds; nobody is served for being early. */
const LATE_MS = 50

/**
 * What an answer asks of the client: the wait in its `Retry-After` header (seconds, or a date by the venue's own clock,
 * read from its `Date` header), in ms. `undefined` where there is none, or none to be read.
 */
export function retryAfterMs(headers: Readonly<Record<string, string>>, nowMs: number): number | undefined {
  const value = headers['retry-after']?.trim()
  if (value === undefined) return undefined
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1_000
  const date = Date.parse(value)
  return Number.isNaN(date) ? undefined : Math.max(0, date - venueNowMs(headers, nowMs))
}

/** The wait in `… IP banned until 1700000000000 …` (seconds, milliseconds or microseconds since 1970). */
export function bannedForMs(
  text: string,
  headers: Readonly<Record<string, string>>,
  nowMs: number,
): number | undefined {
  const match = /banned until (\d{10,16})\b/i.exec(text)
  if (!match) return undefined
  const number = Number(match[1])
  const untilMs = number < 1e11 ? number * 1_000 : number < 1e14 ? number : number / 1_000
  return Math.max(0, untilMs - venueNowMs(headers, nowMs))
}

function venueNowMs(headers: Readonly<Record<string, string>>, nowMs: number): number {
  const date = Date.parse(headers.date ?? '')
  return Number.isNaN(date) ? nowMs : date
}

/**
 * How long a bucket stays blocked after a 429 or 418: what the answer says, or else longer with every refusal in a
 * row, never less than half of the step, so that chance cannot make it a hammer.
 */
export function penaltyMs(
  told: number | undefined,
  status: number,
  strikes: number,
  options: PenaltyOptions,
): number {
  if (told !== undefined && told > 0) return told + LATE_MS
  if (status === 418) return BAN_MS
  const step = Math.min(options.capMs, options.baseMs * 2 ** (Math.max(1, strikes) - 1))
  return step / 2 + (step / 2) * options.random()
}
