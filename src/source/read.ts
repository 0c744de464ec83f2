const ZERO = 48
const NINE = 57
const MINUS = 45
const DOT = 46

const isDigit = (code: number): boolean => code >= ZERO && code <= NINE

/**
 * A number as venues write it: a finite JSON number, or text of the form `-?digits[.digits][e±digits]`. Everything
 * else is NaN: `null`, `''`, blanks, `NaN`, `Infinity`, `0x10`, `+1`, `.5`, `1,000`, text too large for a double.
 * `Number()` would make 0 of the first three. The sign is not judged here.
 */
export function decimalOrNaN(value: unknown): number {
  if (typeof value === 'string') {
    // Number() does the reading; the two ends tell what it accepts and a decimal is not: blanks, signs, hex, words.
    const first = value.charCodeAt(0)
    const last = value.charCodeAt(value.length - 1)
    if (!(isDigit(first) || (first === MINUS && isDigit(value.charCodeAt(1))))) return Number.NaN
    if (!(isDigit(last) || last === DOT)) return Number.NaN
    if (first === ZERO && value.charCodeAt(1) > NINE && !isExponent(value.charCodeAt(1))) return Number.NaN
    return finiteOrNaN(Number(value))
  }
  return typeof value === 'number' ? finiteOrNaN(value) : Number.NaN
}

const isExponent = (code: number): boolean => code === 101 || code === 69
const finiteOrNaN = (value: number): number => (Number.isFinite(value) ? value : Number.NaN)

/** From here on a time is in microseconds: the year 5138 in milliseconds, 1973 in microseconds. */
const MICROSECONDS_FROM = 1e14

/** Whether a number is a time in whole epoch milliseconds. */
export const isEpochMs = (value: number): boolean =>
  value >= 0 && value < MICROSECONDS_FROM && Math.floor(value) === value

/** Why `value` is no time in epoch milliseconds, in a few words; for messages, where `isEpochMs` said no. */
export function whyNoTime(value: unknown): string {
  const number = decimalOrNaN(value)
  if (number >= MICROSECONDS_FROM) return `${show(value)} is in microseconds, milliseconds expected`
  return `${show(value)} is not a time in epoch milliseconds`
}

/** A value from an answer as a person may read it: JSON, cut to `charsMax`. */
export function show(value: unknown, charsMax = 40): string {
  const text = jsonText(value)
  return text.length > charsMax ? `${text.slice(0, charsMax - 1)}…` : text
}

function jsonText(value: unknown): string {
  try {
    return JSON.stringify(value) ?? 'missing'
  } catch {
    return 'a value nested too deep to be shown' // JSON is read without a limit on its depth, and written with one
  }
}
