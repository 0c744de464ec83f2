import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { EverybarError, isEverybarError } from '../model/errors.ts'
import { redactText } from '../telemetry/redact.ts'

/** First match wins. */
const byCode: readonly (readonly [pattern: RegExp, status: ContentfulStatusCode])[] = [
  [/^web\.unauthorized$/, 401],
  [/^web\.bad-host$/, 403],
  [/^web\.(not-found|unknown-series)$/, 404],
  [/^web\.method-not-allowed$/, 405],
  [/^web\.(busy|stopping)$/, 503],
  [/^(web|series|timeframe|time)\./, 400],
  [/^source\.unknown-/, 404],
]

/** The status an error is answered with: whose fault it is, and whether it may pass. */
export function httpStatusOf(error: unknown): ContentfulStatusCode {
  if (!isEverybarError(error)) return 500
  const known = byCode.find(([pattern]) => pattern.test(error.code))
  return known?.[1] ?? (error.recovery === 'retry' ? 503 : 500)
}

/** `{error:{code,message,hint}}`: what is ours in its own words, anything else without its own. */
export function problemBody(error: unknown): {
  readonly error: { readonly code: string; readonly message: string; readonly hint: string }
} {
  if (!isEverybarError(error)) {
    const hint = 'This is a fault in everybar. Its log says more.'
    return { error: { code: 'app.unexpected', message: 'something went wrong', hint } }
  }
  const { code, message, hint } = error
  return { error: { code, message: redactText(message), hint: redactText(hint) } }
}

/** Something about a request that a client has to change. */
export const badParameter = (name: string, message: string, hint: string): EverybarError =>
  new EverybarError('web.bad-parameter', `${name}: ${message}`, { recovery: 'abort', hint, path: name })
