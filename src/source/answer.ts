import { EverybarError, type Recovery } from '../model/errors.ts'
import type { RawResponse } from '../model/http.ts'

/** What a check needs of an answer. */
export type Answer = Pick<RawResponse, 'status' | 'headers' | 'body' | 'url'>

const decoder = new TextDecoder()

/** A body as text; bytes that are no UTF-8 become U+FFFD. */
export const textOf = (body: Uint8Array): string => decoder.decode(body)

/** The start of a body on one line, for messages: 120 characters at most, no control characters. */
export function excerpt(body: Uint8Array): string {
  const text = Array.from(textOf(body.subarray(0, 480)), (char) =>
    char < ' ' || char === '\u007f' ? ' ' : char,
  )
  const line = text.join('').replace(/\s+/g, ' ').trim()
  return line.length > 120 ? `${line.slice(0, 119)}…` : line
}

/** JSON of a body, or `undefined` where it is none. JSON has no `undefined`, so the two cannot be mixed up. */
export function jsonOf(body: Uint8Array): unknown {
  try {
    return JSON.parse(textOf(body)) as unknown
  } catch {
    return undefined
  }
}

export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** `source.not-an-answer` (retry): a body that is not what the endpoint sends, whatever its status says. */
export function notAnAnswer(answer: Answer, what: string): EverybarError {
  const seen = answer.body.length === 0 ? '' : `: ${excerpt(answer.body)}`
  return new EverybarError('source.not-an-answer', `${answer.url} sent ${what}${seen}`, {
    recovery: 'retry',
    hint: 'A proxy, a captive portal or a broken server may have answered. Open the address and see who speaks there.',
  })
}

const LESS_THAN = 0x3c

/** Refuses an empty body and HTML: `source.not-an-answer` (retry). */
export function refusePage(answer: Answer): void {
  const first = answer.body.find((byte) => byte > 0x20)
  if (first === undefined) throw notAnAnswer(answer, 'an empty body')
  if (first === LESS_THAN) throw notAnAnswer(answer, 'HTML')
}

/** What a refusal means, and what to do about it. */
export interface Meaning {
  readonly code: string
  readonly recovery: Recovery
  readonly hint: string
}

export const rateLimited: Meaning = {
  code: 'source.rate-limited',
  recovery: 'retry',
  hint: 'Another process may share this address and its budget; stop it, or lower the share of the limit.',
}
export const busy: Meaning = {
  code: 'source.venue-error',
  recovery: 'retry',
  hint: 'The venue had a fault of its own. It passes, as a rule, within minutes.',
}
export const badRequest: Meaning = {
  code: 'source.refused',
  recovery: 'abort',
  hint: 'The venue found fault with the request itself; its message says with what.',
}

/** The venue's own refusal: `said` is its word for it. */
export const refusal = (
  { url, status }: Answer,
  said: string,
  { code, recovery, hint }: Meaning,
): EverybarError => new EverybarError(code, `${url} answered ${status}, ${said}`, { recovery, hint })

function meaningOf(status: number): Meaning {
  if (status === 429 || status === 418) return rateLimited
  if (status === 408 || status >= 500) return busy
  if (status === 403) {
    const hint =
      'A firewall turned the request away. Wait a while; if it stays, this address or region is blocked.'
    return { code: 'source.blocked', recovery: 'retry', hint }
  }
  if (status === 451) {
    const hint =
      'The venue does not serve this place. Use an address it serves, or its market-data host, as base_url.'
    return { code: 'source.geo-blocked', recovery: 'abort', hint }
  }
  const hint = 'Check the base URL and the symbol: the venue does not know what was asked.'
  return { code: 'source.refused', recovery: 'abort', hint }
}

/**
 * Refuses every status but 2xx by what HTTP says of it. A source asks its own error codes first.
 *
 * @throws EverybarError `source.rate-limited` (429, 418), `source.venue-error` (408, 5xx), `source.blocked` (403), all
 *   retry; `source.geo-blocked` (451), `source.refused` (any other), both abort.
 */
export function refuseStatus(answer: Answer): void {
  if (answer.status >= 200 && answer.status < 300) return
  const { code, recovery, hint } = meaningOf(answer.status)
  const seen = answer.body.length === 0 ? '' : `: ${excerpt(answer.body)}`
  throw new EverybarError(code, `${answer.url} answered ${answer.status}${seen}`, { recovery, hint })
}

/** `source.unreadable` (quarantine): archived bytes that decode cannot read as a whole. */
export const unreadable = (what: string, cause?: unknown): EverybarError =>
  new EverybarError('source.unreadable', `the answer cannot be read: ${what}`, {
    recovery: 'quarantine',
    hint: 'The bytes are kept. Replay the slice once the decoder knows this shape, or fetch it again.',
    ...(cause === undefined ? {} : { cause }),
  })
