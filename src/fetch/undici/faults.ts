import { EverybarError, messageOf } from '../../model/errors.ts'

const timeouts = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'ETIMEDOUT',
])
const names = new Set(['ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL', 'EAI_NODATA', 'EAI_NONAME'])
const invalid = new Set(['UND_ERR_INVALID_ARG', 'ERR_INVALID_ARG_TYPE', 'ERR_INVALID_CHAR'])
const untrusted =
  /^(CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|HOSTNAME_MISMATCH|INVALID_CA|ERR_TLS_CERT_|INVALID_PURPOSE)/

/** The `code` of an error, or of one of its causes. */
function codeOf(error: unknown): string {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 4; at = at.cause, depth++) {
    const { code } = at as { code?: unknown }
    if (typeof code === 'string' && code !== '') return code
  }
  return ''
}

/**
 * What a failure below HTTP means: `fetch.timeout`, `fetch.unreachable` (retry), `fetch.untrusted`,
 * `fetch.bad-request` (abort).
 */
export function networkFault(cause: unknown, url: string): EverybarError {
  const code = codeOf(cause)
  const { host } = new URL(url)
  const fault = (name: string, recovery: 'retry' | 'abort', what: string, hint: string): EverybarError =>
    new EverybarError(name, `${url}: ${what}${code === '' ? '' : ` (${code})`}`, { recovery, hint, cause })
  if (timeouts.has(code)) return timedOut(url, 'connecting took too long', cause)
  if (names.has(code)) {
    return fault(
      'fetch.unreachable',
      'retry',
      `${host} has no address`,
      'Check the host name, DNS and the network.',
    )
  }
  if (untrusted.test(code)) {
    const hint = "Check this machine's clock and whether a proxy or portal answers in the venue's place."
    return fault('fetch.untrusted', 'abort', `the certificate of ${host} does not hold`, hint)
  }
  if (invalid.has(code)) {
    return fault(
      'fetch.bad-request',
      'abort',
      'the request cannot be sent',
      'A header or the path holds what HTTP forbids.',
    )
  }
  const what =
    code === 'ECONNREFUSED' ? `${host} accepts no connection` : `the connection failed: ${messageOf(cause)}`
  return fault('fetch.unreachable', 'retry', what, 'Check that the host is up and the network between works.')
}

/** `fetch.timeout` (retry). */
export const timedOut = (url: string, what: string, cause?: unknown): EverybarError =>
  new EverybarError('fetch.timeout', `${url}: ${what}`, {
    recovery: 'retry',
    hint: 'The venue or the network is slow. Raise the timeout if this happens often.',
    ...(cause === undefined ? {} : { cause }),
  })
