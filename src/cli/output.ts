import { EverybarError, messageOf } from '../model/errors.ts'
import { exitCodeOfError, exitCodes } from '../model/exit-code.ts'
import { printable, printableJson } from '../model/text.ts'

/** What a command hands back; the caller prints it and leaves with `exitCode`. */
export interface Outcome {
  /** 0 unless said. */
  readonly exitCode?: number
  /** For `--json`: the envelope's `data`. */
  readonly data: unknown
  /** For people: what goes to stdout, without a last line feed; nothing when empty. */
  readonly text?: string
  readonly runId?: string
  /** Whether `text` is a report on work done rather than the data asked for: `-q` drops it. */
  readonly report?: boolean
}

export interface Streams {
  readonly out: (text: string) => void
  readonly err: (text: string) => void
}

export interface Verbosity {
  readonly json: boolean
  readonly quiet: boolean
  /** 0, 1 for `-v`, 2 for `-vv`. */
  readonly verbose: number
  readonly color: boolean
}

/** One envelope, one line. */
export const envelope = (fields: {
  readonly code: number
  readonly data?: unknown
  readonly error?: unknown
  readonly runId: string | null
}): string =>
  `${printableJson(JSON.stringify({ ok: fields.code === exitCodes.complete, ...fields }, withoutBigInt))}\n`

const withoutBigInt = (_: string, value: unknown): unknown =>
  typeof value === 'bigint' ? value.toString() : value

/** Writes an outcome to stdout: the envelope with `--json`, else its text. Gives the exit code. */
export function writeOutcome(outcome: Outcome, streams: Streams, { json, quiet }: Verbosity): number {
  const code = outcome.exitCode ?? exitCodes.complete
  if (json) streams.out(envelope({ code, data: outcome.data, runId: outcome.runId ?? null }))
  else if (outcome.text && !(quiet && outcome.report)) streams.out(`${outcome.text}\n`)
  return code
}

interface Shown {
  readonly code: string
  readonly message: string
  readonly hint: string
  readonly path?: string | undefined
}

/** Writes an error: to stderr for people, as an envelope on stdout with `--json`. Gives the exit code. */
export function writeError(
  error: unknown,
  streams: Streams,
  verbosity: Verbosity,
  as: { readonly exitCode?: number | undefined; readonly redact: (text: string) => string },
): number {
  const code = as.exitCode ?? exitCodeOfError(error)
  const faults = faultsIn(error)
  if (verbosity.json) {
    const shown = {
      ...clean(shownOf(error), as.redact),
      ...(faults && { faults: faults.map((one) => clean(one, as.redact)) }),
    }
    streams.out(envelope({ code, error: shown, runId: null }))
  } else {
    const lines = (faults ?? [shownOf(error)]).map((one) => errorLines(clean(one, as.redact), verbosity))
    streams.err(`${lines.join('\n')}\n`)
  }
  if (verbosity.verbose >= 2) streams.err(`${as.redact(stackOf(error))}\n`)
  return code
}

/** `error[code] path: message`, then the hint. */
export function errorLines({ code, message, hint, path }: Shown, { quiet, color }: Verbosity): string {
  const paint = (style: string, text: string) => (color ? `\u001b[${style}m${text}\u001b[0m` : text)
  const where = path && !message.includes(path) ? `${path}: ` : ''
  const first = `${paint('1;31', `error[${code}]`)} ${where}${message}`
  const shown = belowItsHead(first)
  return quiet || hint === '' ? shown : `${shown}\n${paint('36', 'hint:')} ${belowItsHead(hint)}`
}

/** A message of several lines cannot pass for several messages. */
const belowItsHead = (text: string): string => text.replace(/\r?\n/g, '\n  ')

function shownOf(error: unknown): Shown {
  if (error instanceof EverybarError) {
    const { code, message, hint, path } = error
    return { code, message, hint, path }
  }
  const hint = 'This is a fault in everybar. Run it again with -vv, and report what that shows.'
  return { code: 'cli.unexpected', message: messageOf(error), hint }
}

/** The faults of a configuration, each shown by itself; other errors have none. */
function faultsIn(error: unknown): readonly Shown[] | undefined {
  if (!(error instanceof Error) || !('faults' in error) || !Array.isArray(error.faults)) return undefined
  return error.faults.map(({ where, path, ...fault }) => ({
    ...fault,
    path: [where, path].filter(Boolean).join(' '),
  }))
}

const clean = ({ path, ...shown }: Shown, redact: (text: string) => string): Shown => ({
  code: shown.code,
  message: printable(redact(shown.message)),
  hint: printable(redact(shown.hint)),
  ...(path === undefined ? {} : { path: printable(redact(path)) }),
})

function stackOf(error: unknown): string {
  const own = error instanceof Error ? (error.stack ?? error.message) : String(error)
  const cause =
    error instanceof Error && error.cause !== undefined ? `\ncaused by: ${stackOf(error.cause)}` : ''
  return own + cause
}
