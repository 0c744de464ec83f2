import { EverybarError } from './errors.ts'
import { parseTimeframe, type Timeframe } from './timeframe.ts'

/** Something traded at a venue, in the venue's own spelling: `binance:spot:BTCUSDT`. */
export interface Instrument {
  /** `binance`, `kite`, `kraken` …: lower case, `[a-z0-9-]`. */
  readonly venue: string
  /** The venue's part that lists it: `spot`, `um`, `cm`, `nse` …: lower case, `[a-z0-9-]`. */
  readonly market: string
  /** The venue's own id, case kept; may hold any character, also `/` and `:`. */
  readonly symbol: string
}

/** What the price of a bar is: trades, the mark price or the index price. */
export type PriceKind = 'trade' | 'mark' | 'index'

/** Bars of one instrument, one timeframe, one kind of price. */
export interface Series {
  readonly instrument: Instrument
  readonly timeframe: Timeframe
  readonly price: PriceKind
}

const word = /^[a-z0-9][a-z0-9-]*$/

/**
 * Reads `venue:market:symbol:timeframe`, for instance `binance:spot:BTCUSDT:1m`. First, second and last part are
 * fixed; what lies between is the symbol, colons and slashes included. `…:1m@mark` names another price kind.
 *
 * @throws EverybarError `series.bad-selector` or `timeframe.unknown` (abort).
 */
export function parseSeries(text: string): Series {
  const [selector, price = 'trade', ...more] = text.split('@')
  const parts = (selector ?? '').split(':')
  const venue = parts[0] ?? ''
  const market = parts[1] ?? ''
  const symbol = parts.slice(2, -1).join(':')
  const bad = parts.length < 4 || symbol === '' || !word.test(venue) || !word.test(market)
  if (bad || more.length > 0 || !['trade', 'mark', 'index'].includes(price) || hasControls(symbol)) {
    throw new EverybarError('series.bad-selector', `"${text}" does not name a series`, {
      recovery: 'abort',
      hint: 'Write venue:market:symbol:timeframe, for instance binance:spot:BTCUSDT:1m or binance:um:BTCUSDT:1h.',
    })
  }
  return series({ venue, market, symbol }, parts.at(-1)!, price as PriceKind)
}

/** @throws EverybarError `timeframe.unknown` (abort). */
export function series(instrument: Instrument, timeframe: string, price: PriceKind = 'trade'): Series {
  return { instrument, timeframe: parseTimeframe(timeframe), price }
}

/** `binance:spot:BTCUSDT:1m`; another price kind than `trade` follows as `@mark`. The inverse of `parseSeries`. */
export function seriesId({ instrument, timeframe, price }: Series): string {
  const suffix = price === 'trade' ? '' : `@${price}`
  return `${instrument.venue}:${instrument.market}:${instrument.symbol}:${timeframe}${suffix}`
}

export const sameSeries = (a: Series, b: Series): boolean => seriesId(a) === seriesId(b)

/**
 * A symbol as a file name part of `[A-Za-z0-9-]` only, reversibly: letters and digits stand for themselves, every
 * other UTF-8 byte becomes `-xx` in lower-case hexadecimal. Two symbols never share a name on a file system that
 * keeps case. `BTC/USD` → `BTC-2fUSD`.
 */
export function escapeSymbol(symbol: string): string {
  let out = ''
  for (const byte of new TextEncoder().encode(symbol)) {
    const char = String.fromCharCode(byte)
    out += /[A-Za-z0-9]/.test(char) ? char : `-${byte.toString(16).padStart(2, '0')}`
  }
  return out
}

/** The inverse of `escapeSymbol`; `undefined` for text it never makes. */
export function unescapeSymbol(text: string): string | undefined {
  if (!/^(?:[A-Za-z0-9]|-[0-9a-f]{2})*$/.test(text)) return undefined
  const bytes: number[] = []
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== '-') bytes.push(text.charCodeAt(i))
    else {
      bytes.push(Number.parseInt(text.slice(i + 1, i + 3), 16))
      i += 2
    }
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(new Uint8Array(bytes))
  } catch {
    return undefined
  }
}

function hasControls(text: string): boolean {
  for (const char of text) if (char < ' ' || char === '\u007f') return true
  return false
}
