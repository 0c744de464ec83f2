import { EverybarError, messageOf, type Recovery } from '../../model/errors.ts'

interface Case {
  readonly code: string
  readonly recovery: Recovery
  readonly hint: string
}

const retry = (code: string, hint: string): Case => ({ code, recovery: 'retry', hint })
const abort = (code: string, hint: string): Case => ({ code, recovery: 'abort', hint })

const unreachable = retry(
  'store.unreachable',
  'Check host, port and that the server runs; nothing is lost, the bars wait in the archive.',
)
const busy = retry('store.busy', 'Another session was in the way; the same commit may succeed later.')
const schema = abort(
  'store.schema',
  'Run `everybar db plan` to see how the table differs from what is expected.',
)
const denied = abort('store.auth', 'Check user, password and the server’s pg_hba.conf.')
const damaged = abort('store.corrupt', 'The server reports damaged data: restore it, then rebuild the store.')

/** SQLSTATE, whole or its class of two characters, to what to do about it. */
const cases: Readonly<Record<string, Case>> = {
  '08': unreachable,
  '57P01': unreachable,
  '57P02': unreachable,
  '57P03': unreachable,
  '53300': retry(
    'store.unreachable',
    'The server has no connection left; lower connectionsMax or raise its.',
  ),
  '25006': retry(
    'store.read-only',
    'The server takes no writes: a standby, or a failover under way. Point the store at the primary.',
  ),
  '40': busy,
  '55P03': busy,
  '53200': busy,
  '57014': retry(
    'store.timeout',
    'The server stopped the statement; raise statementTimeoutMs if it goes on.',
  ),
  '53100': abort('store.disk-full', 'Free space on the server, then run again; nothing was half written.'),
  '28': denied,
  '3D000': abort('store.no-database', 'Create the database, or correct its name.'),
  '3F000': abort('store.schema', 'Create the schema, or correct its name.'),
  '42501': abort('store.not-writable', 'Grant the user what it lacks; `everybar db plan` shows the SQL.'),
  '42': schema,
  '0A': schema,
  '22': abort('store.constraint', 'A value does not fit its column; see the message.'),
  '23': abort('store.constraint', 'A constraint on the table refuses the bar; see the message.'),
  XX001: damaged,
  XX002: damaged,
}

/** What the network or the TLS layer says. */
const networkCodes =
  /^(ECONN|ENOTFOUND|EAI_|EPIPE|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENETDOWN|ENOENT|EACCES|ERR_TLS|CERT_|SELF_SIGNED|DEPTH_ZERO|UNABLE_TO)/
const networkWords =
  /connection terminated|timeout exceeded when trying to connect|connection ended|not queryable/i

/** The five characters of a server's error; `undefined` for anything else that was thrown. */
export function sqlState(error: unknown): string | undefined {
  const { code, severity } = (error ?? {}) as { code?: unknown; severity?: unknown }
  return typeof code === 'string' && code.length === 5 && severity !== undefined ? code : undefined
}

/** Whether a statement that fails so tells nothing of its outcome: the connection went, not the statement. */
export function lostConnection(error: unknown): boolean {
  const state = sqlState(error)
  if (state !== undefined) return caseOf(state).code === 'store.unreachable'
  return isNetwork(error)
}

/** Whether a row was refused rather than the statement. */
export const refusedRow = (error: unknown): boolean => /^2[23]/.test(sqlState(error) ?? '')

const isNetwork = (error: unknown): boolean =>
  networkCodes.test(String((error as { code?: unknown } | undefined)?.code)) ||
  networkWords.test(messageOf(error))

const caseOf = (state: string): Case =>
  cases[state] ??
  cases[state.slice(0, 2)] ??
  abort(
    'store.failed',
    'The server refused the statement for a reason everybar does not know; see the message.',
  )

/** Takes secrets out of text. */
export type Redact = (text: string) => string

/** Replaces every secret, as it stands and as it looks in a URL, by `***`. */
export function redactor(secrets: readonly (string | undefined)[]): Redact {
  const forms = secrets
    .filter((secret) => secret !== undefined && secret !== '')
    .flatMap((secret) => [secret!, encodeURIComponent(secret!), decoded(secret!)])
    .sort((a, b) => b.length - a.length)
  return (text) => forms.reduce((clean, form) => clean.replaceAll(form, '***'), text)
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/**
 * What the driver or the server threw, as an error that says what to do. The cause is a copy of message and code:
 * the driver's own objects may hold the connection and its password.
 */
export function storeFailure(error: unknown, storeName: string, redact: Redact): EverybarError {
  if (error instanceof EverybarError) return error
  const state = sqlState(error)
  const message = redact(messageOf(error) || String((error as { code?: unknown }).code))
  const detail = (error as { detail?: unknown } | undefined)?.detail
  const cause = Object.assign(new Error(message), {
    code: state ?? (error as { code?: unknown } | undefined)?.code,
    ...(typeof detail === 'string' && { detail: redact(detail) }),
  })
  const { code, recovery, hint } = state !== undefined ? caseOf(state) : driverCase(error)
  return new EverybarError(code, `store ${storeName}: ${message}`, { recovery, hint, cause })
}

const driverCase = (error: unknown): Case => {
  if (isNetwork(error)) return unreachable
  if (/SASL|password|scram|authentication/i.test(messageOf(error))) return denied
  return abort('store.failed', 'The driver failed for a reason everybar does not know; see the message.')
}
