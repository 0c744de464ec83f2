import { EverybarError, messageOf, type Recovery } from '../../model/errors.ts'

/** What the API says of an error: `rateLimitExceeded`, `notFound`, … The first of several. */
export function reasonOf(error: unknown): string | undefined {
  const { errors, reason } = (error ?? {}) as { errors?: readonly { reason?: string }[]; reason?: string }
  return errors?.find((one) => one.reason !== undefined)?.reason ?? reason
}

export const statusOf = (error: unknown): number | undefined => {
  const { code } = (error ?? {}) as { code?: unknown }
  return typeof code === 'number' ? code : undefined
}

export const isMissing = (error: unknown): boolean =>
  statusOf(error) === 404 || reasonOf(error) === 'notFound'
export const isThere = (error: unknown): boolean => statusOf(error) === 409 || reasonOf(error) === 'duplicate'

const passing = new Set([
  'rateLimitExceeded',
  'jobRateLimitExceeded',
  'backendError',
  'internalError',
  'jobBackendError',
  'jobInternalError',
  'tableUnavailable',
  'timeout',
])
const network = /^(ECONN|ENOTFOUND|EAI_|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ERR_STREAM_PREMATURE)/
const networkWords = /socket hang up|premature close|network|fetch failed|ECONN|ENOTFOUND|EAI_AGAIN/i

/** Whether the same call may succeed in a moment. An hour's quota that is used up does not pass in a moment. */
export function isPassing(error: unknown): boolean {
  const status = statusOf(error)
  const reason = reasonOf(error)
  if (reason !== undefined && passing.has(reason)) return true
  if (status !== undefined) return status === 429 || status >= 500
  return isNetwork(error) || isConflict(error)
}

const isNetwork = (error: unknown): boolean => {
  const { code, type } = (error ?? {}) as { code?: unknown; type?: unknown }
  if (network.test(String(code)) || type === 'system') return true
  return (
    !(error instanceof SyntaxError) && statusOf(error) === undefined && networkWords.test(messageOf(error))
  )
}

/** Two statements that change one table at a time. */
const isConflict = (error: unknown): boolean =>
  /could not serialize access|concurrent update|too many DML statements/i.test(messageOf(error))

const authWords =
  /default credentials|invalid_grant|invalid_client|invalid jwt|private.?key|credential|unauthenticated|PEM routines|DECODER routines/i

/** What the API or its library threw, as an error that says what to do, without what the library read from disk. */
export function storeFailure(error: unknown, storeName: string): EverybarError {
  if (error instanceof EverybarError) return error
  const [code, recovery, hint, retryAfterMs] = judge(error)
  // The library quotes the beginning of a key file it cannot parse.
  const message = error instanceof SyntaxError ? 'the key file is not JSON' : clean(messageOf(error))
  const cause = Object.assign(new Error(message), { code: statusOf(error), reason: reasonOf(error) })
  return new EverybarError(code, `store ${storeName}: ${message}`, {
    recovery,
    hint,
    cause,
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  })
}

const clean = (text: string): string =>
  text
    .replace(/-----BEGIN[\s\S]*?(-----END[^-]*-----|$)/g, '***')
    .replace(/ya29\.[\w-]+/g, '***')
    .trim()

function judge(error: unknown): readonly [string, Recovery, string, number?] {
  const status = statusOf(error)
  const reason = reasonOf(error)
  if (reason === 'quotaExceeded') {
    return [
      'store.quota',
      'retry',
      'A quota of the project is used up; it fills again within a day.',
      3_600_000,
    ]
  }
  if (isPassing(error)) {
    return [
      'store.unreachable',
      'retry',
      'BigQuery did not take the call; nothing is lost, the bars wait in the archive.',
    ]
  }
  if (status === 401 || reason === 'authError' || isAuth(error)) {
    return [
      'store.auth',
      'abort',
      'Point GOOGLE_APPLICATION_CREDENTIALS at a valid service account key, and check this machine’s clock.',
    ]
  }
  if (status === 403) {
    return [
      'store.not-writable',
      'abort',
      'Give the account roles/bigquery.dataEditor on the dataset and roles/bigquery.jobUser on the project.',
    ]
  }
  if (
    status === 404 ||
    status === 400 ||
    reason === 'invalid' ||
    reason === 'notFound' ||
    reason === 'invalidQuery'
  ) {
    return [
      'store.schema',
      'abort',
      'Run `everybar db plan` to see how the table differs from what is expected.',
    ]
  }
  return ['store.failed', 'abort', 'BigQuery failed for a reason everybar does not know; see the message.']
}

const isAuth = (error: unknown): boolean =>
  error instanceof SyntaxError ||
  authWords.test(messageOf(error)) ||
  (error as { code?: unknown } | undefined)?.code === 'ENOENT'
