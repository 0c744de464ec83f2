import { type ErrorDetails, EverybarError } from '../../model/errors.ts'
import type { HttpRequest } from '../../model/http.ts'
import { type Answer, isRecord, jsonOf, notAnAnswer, refuseStatus, unreadable } from '../answer.ts'
import { decimalOrNaN, isEpochMs, show } from '../read.ts'
import type { RateLimit, VenueInfo } from '../source.ts'

/** A GET of a public endpoint. Parameters in the order given, percent-encoded as UTF-8. */
export function getRequest(
  at: { readonly baseUrl: string; readonly path: string; readonly bucket: string; readonly weight: number },
  parameters: Readonly<Record<string, string | number>>,
): HttpRequest {
  const query = Object.entries(parameters).map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
  const suffix = query.length === 0 ? '' : `?${query.join('&')}`
  return { url: `${at.baseUrl.replace(/\/+$/, '')}${at.path}${suffix}`, bucket: at.bucket, weight: at.weight }
}

/**
 * Refuses what is no answer of a Binance endpoint: its error bodies by their code, then every status but 2xx, then
 * HTML, an empty or cut body, `null` and a body of another shape. The path of the URL tells the shape: a list for
 * klines and trades, an object for exchangeInfo.
 */
export function checkBinance(answer: Answer): void {
  const first = firstByte(answer.body)
  if (first === OPEN_BRACE) refuseErrorBody(answer)
  refuseStatus(answer)
  if (answer.body.length === 0) throw notAnAnswer(answer, 'an empty body')
  if (first === LESS_THAN) throw notAnAnswer(answer, 'HTML')
  const wantsObject = /\/exchangeInfo$/.test(pathOf(answer.url))
  if (wantsObject) refuseOtherThanInfo(answer)
  else refuseOtherThanRows(answer)
}

const OPEN_BRACE = 0x7b
const LESS_THAN = 0x3c
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d

/** Above this a list is judged by its two ends: reading it here and again in decode would double its cost. */
const PARSE_MAX_BYTES = 16_384

function refuseOtherThanRows(answer: Answer): void {
  const { body } = answer
  if (body.length <= PARSE_MAX_BYTES) {
    const json = jsonOf(body)
    if (json === undefined) throw notAnAnswer(answer, 'broken or truncated JSON')
    if (!Array.isArray(json)) throw notAnAnswer(answer, 'JSON that is no list')
    return
  }
  // Rows hold no list or object of their own kind at both ends, so a list cut anywhere lacks the last of the two.
  const head = endsOf(body, 0, 1)
  const tail = endsOf(body, body.length - 1, -1)
  const rows = head[0] === OPEN_BRACKET && (head[1] === OPEN_BRACKET || head[1] === OPEN_BRACE)
  const whole =
    tail[0] === CLOSE_BRACKET && tail[1] === (head[1] === OPEN_BRACKET ? CLOSE_BRACKET : CLOSE_BRACE)
  if (!rows) throw notAnAnswer(answer, 'a body that is no list')
  if (!whole) throw notAnAnswer(answer, 'truncated JSON')
}

const CLOSE_BRACE = 0x7d

/** The first two bytes from `at` in direction `step` that are no white space. */
function endsOf(body: Uint8Array, at: number, step: 1 | -1): number[] {
  const found: number[] = []
  for (let i = at; i >= 0 && i < body.length && found.length < 2; i += step) {
    if (!isBlank(body[i]!)) found.push(body[i]!)
  }
  return found
}

const isBlank = (byte: number): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09

const firstByte = (body: Uint8Array): number | undefined => endsOf(body, 0, 1)[0]

function refuseOtherThanInfo(answer: Answer): void {
  const json = jsonOf(answer.body)
  if (json === undefined) throw notAnAnswer(answer, 'broken or truncated JSON')
  if (!isRecord(json) || !('serverTime' in json)) throw notAnAnswer(answer, 'JSON without serverTime')
}

function pathOf(url: string): string {
  const end = url.search(/[?#]/)
  return end < 0 ? url : url.slice(0, end)
}

/** What the venue's error codes mean. Codes not listed are judged by the HTTP status. */
function refuseErrorBody(answer: Answer): void {
  const json = jsonOf(answer.body)
  if (!isRecord(json)) return
  const { code, msg } = json
  if (typeof code !== 'number' || typeof msg !== 'string') return
  const says = `${answer.url} answered ${answer.status}, code ${code}: ${show(msg.slice(0, 200))}`
  const refuse = (name: string, details: ErrorDetails): never => {
    throw new EverybarError(name, says, details)
  }
  if (code === -1121) {
    refuse('source.unknown-symbol', {
      recovery: 'abort',
      hint: "Write the symbol as the venue does, without a slash: BTCUSDT. It may be listed on the venue's other market.",
    })
  }
  if (code === -1120) {
    refuse('source.unknown-timeframe', {
      recovery: 'abort',
      hint: 'This market has no bars of that width; 1s exists on spot only.',
    })
  }
  if (code === -1003 || answer.status === 429 || answer.status === 418) {
    refuse('source.rate-limited', {
      recovery: 'retry',
      hint: 'Another process may share this address and its budget; stop it, or lower the share of the limit.',
    })
  }
  if (passing.has(code)) {
    refuse('source.venue-error', { recovery: 'retry', hint: 'The venue is busy or restarting. It passes.' })
  }
  if (code <= -1010 && code > -2000) {
    refuse('source.refused', {
      recovery: 'abort',
      hint: 'The venue found fault with the request itself; the message names the parameter.',
    })
  }
}

/** Unknown, disconnected, unexpected response, timeout, busy, shutting down. */
const passing: ReadonlySet<number> = new Set([-1000, -1001, -1006, -1007, -1008, -1016])

const intervalMs: Readonly<Record<string, number>> = {
  SECOND: 1_000,
  MINUTE: 60_000,
  HOUR: 3_600_000,
  DAY: 86_400_000,
}
const counted: Readonly<Record<string, 'weight' | 'requests'>> = {
  REQUEST_WEIGHT: 'weight',
  RAW_REQUESTS: 'requests',
}

/**
 * The venue's clock and its limits on requests, from `exchangeInfo`. Limits of other kinds (orders) are left out.
 *
 * @throws EverybarError `source.unreadable` (quarantine) when the time is missing or no time.
 */
export function readVenueInfo(body: Uint8Array, bucket: string): VenueInfo {
  const json = jsonOf(body)
  if (!isRecord(json)) throw unreadable('exchangeInfo is no object')
  const venueTimeMs = decimalOrNaN(json.serverTime)
  if (!isEpochMs(venueTimeMs)) throw unreadable(`serverTime is ${show(json.serverTime)}`)
  const listed = Array.isArray(json.rateLimits) ? (json.rateLimits as unknown[]) : []
  return { venueTimeMs, limits: listed.flatMap((limit) => readLimit(limit, bucket)) }
}

function readLimit(limit: unknown, bucket: string): RateLimit[] {
  if (!isRecord(limit)) return []
  const counts = counted[String(limit.rateLimitType)]
  const unitMs = intervalMs[String(limit.interval)]
  const windowMs = decimalOrNaN(limit.intervalNum) * (unitMs ?? Number.NaN)
  const capacity = decimalOrNaN(limit.limit)
  if (counts === undefined || !(windowMs > 0) || !(capacity > 0)) return []
  return [{ bucket, capacity, windowMs, counts }]
}

/** The symbols of an `exchangeInfo` body. A status we do not know is passed on as it is. */
export function readSymbols(
  body: Uint8Array,
): readonly { readonly symbol: string; readonly status: string }[] {
  const json = jsonOf(body)
  if (!isRecord(json) || !Array.isArray(json.symbols)) throw unreadable('exchangeInfo without symbols')
  return json.symbols.flatMap((entry: unknown) =>
    isRecord(entry) && typeof entry.symbol === 'string' && entry.symbol !== ''
      ? [{ symbol: entry.symbol, status: String(entry.status ?? '') }]
      : [],
  )
}
