import { request } from 'undici'
import { messageOf } from '../model/errors.ts'

/**
 * What became of a push:
 * - `later`: Loki is down, slow or over its limit; the same lines may be taken later;
 * - `refused`: the login or the address is wrong;
 * - `bad-lines`: the lines themselves are refused, and would be again.
 */
export type LokiAnswer =
  | { readonly kind: 'taken' }
  | { readonly kind: 'later'; readonly why: string; readonly waitMs?: number }
  | { readonly kind: 'refused'; readonly why: string }
  | { readonly kind: 'bad-lines'; readonly why: string }

export interface Push {
  readonly url: string
  /** JSON, gzipped. */
  readonly body: Uint8Array
  readonly username: string | undefined
  readonly password: string | undefined
  readonly tenant: string | undefined
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

const PATH = '/loki/api/v1/push'

/** The push address of a Loki: the path is added unless it is there. */
export function pushUrl(url: string): string {
  const plain = url.replace(/\/+$/, '')
  return plain.endsWith(PATH) ? plain : `${plain}${PATH}`
}

/** Sends one batch. Never throws. */
export async function sendToLoki(push: Push): Promise<LokiAnswer> {
  const { url, body, username, password, tenant, timeoutMs, signal } = push
  const login = username !== undefined || password !== undefined
  const token = Buffer.from(`${username ?? ''}:${password ?? ''}`).toString('base64')
  try {
    const response = await request(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'content-encoding': 'gzip',
        ...(login && { authorization: `Basic ${token}` }),
        ...(tenant !== undefined && { 'x-scope-orgid': tenant }),
      },
      body,
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    })
    const said = await beginningOf(response.body)
    const hidden = login ? [token, ...(password ? [password] : [])] : []
    const shown = hidden.reduce((text, secret) => text.replaceAll(secret, '[redacted]'), said)
    const short = shown.replace(/\s+/g, ' ').trim().slice(0, 200)
    return answerOf(response.statusCode, short, response.headers['retry-after'])
  } catch (error) {
    return { kind: 'later', why: `it cannot be reached (${messageOf(error)})` }
  }
}

/** An answer is read so far and no further; what is said of it stands at its beginning. */
const READ_MAX = 65_536

async function beginningOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of body) {
    chunks.push(chunk)
    length += chunk.length
    if (length >= READ_MAX) break // ends the stream, and with it the connection
  }
  return Buffer.concat(chunks).toString()
}

function answerOf(status: number, said: string, retryAfter: string | string[] | undefined): LokiAnswer {
  if (status >= 200 && status < 300) return { kind: 'taken' }
  const why = `it answered ${status}${said === '' ? '' : `: ${said}`}`
  if (status === 401 || status === 403)
    return { kind: 'refused', why: `${why} (LOKI_USERNAME, LOKI_PASSWORD)` }
  if (status === 404 || status === 405) return { kind: 'refused', why: `${why} (LOKI_URL)` }
  if (status === 400 || status === 413 || status === 422) return { kind: 'bad-lines', why }
  const seconds = Number(retryAfter)
  return { kind: 'later', why, ...(seconds > 0 && { waitMs: Math.min(seconds, 300) * 1_000 }) }
}
