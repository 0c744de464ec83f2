import type { Answer } from '../http.ts'

const jsonType = { 'Content-Type': 'application/json;charset=UTF-8' }

export const jsonBytes = (body: Uint8Array, status = 200): Answer => ({ status, headers: jsonType, body })

export const json = (value: unknown, status = 200): Answer =>
  jsonBytes(Buffer.from(JSON.stringify(value)), status)

/** Binance's way to say no: a negative code and one sentence, HTTP 400 but for rate limits. */
export const refusal = (code: number, msg: string, status = 400): Answer => json({ code, msg }, status)

/** Thrown while a request is read, sent as it is. */
export class Refused extends Error {
  readonly answer: Answer

  constructor(code: number, msg: string) {
    super(msg)
    this.answer = refusal(code, msg)
  }
}

/** An unknown path: a page for browsers, nothing for programs. */
export const notFound = (accept: string): Answer =>
  accept.includes('text/html')
    ? {
        status: 404,
        headers: { 'Content-Type': 'text/html' },
        body: Buffer.from('<html><head><title>404 Not Found</title></head><body>404 Not Found</body></html>'),
      }
    : { status: 404, headers: {}, body: Buffer.alloc(0) }

export const tooMuchWeight = (limit: number, window: string, retryAfterS: number): Answer =>
  withHeaders(
    refusal(
      -1003,
      `Too much request weight used; current limit is ${limit} request weight per ${window}. Please use WebSocket Streams for live updates to avoid polling the API.`,
      429,
    ),
    { 'Retry-After': String(retryAfterS) },
  )

export const bannedUntil = (untilMs: number, retryAfterS: number): Answer =>
  withHeaders(
    refusal(
      -1003,
      `Way too much request weight used; IP banned until ${untilMs}. Please use WebSocket Streams for live updates to avoid bans.`,
      418,
    ),
    { 'Retry-After': String(retryAfterS) },
  )

export const withHeaders = (answer: Answer, headers: Readonly<Record<string, string>>): Answer => ({
  ...answer,
  headers: { ...answer.headers, ...headers },
})
