/**
 * What to do about an error, before what went wrong:
 * - `retry`: the same call may succeed later (after `retryAfterMs`, where given);
 * - `quarantine`: the bytes are safe, and one slice waits for a fixed decoder or a better answer; go on;
 * - `abort`: nothing changes until a person changes something.
 */
export type Recovery = 'retry' | 'quarantine' | 'abort'

export interface ErrorDetails {
  readonly recovery: Recovery
  /** One sentence that says what to do now. */
  readonly hint: string
  /** How long to wait before trying again; only with `retry`. */
  readonly retryAfterMs?: number
  /** The file, setting or parameter at fault. */
  readonly path?: string
  readonly cause?: unknown
}

/**
 * Every error everybar throws on purpose. `code` is `room.what-happened`, stable, and has an entry in
 * `docs/errors.md`.
 */
export class EverybarError extends Error {
  readonly code: string
  readonly recovery: Recovery
  readonly hint: string
  readonly retryAfterMs: number | undefined
  readonly path: string | undefined

  constructor(code: string, message: string, details: ErrorDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'EverybarError'
    this.code = code
    this.recovery = details.recovery
    this.hint = details.hint
    this.retryAfterMs = details.retryAfterMs
    this.path = details.path
  }
}

export const isEverybarError = (error: unknown, code?: string): error is EverybarError =>
  error instanceof EverybarError && (code === undefined || error.code === code)

/** The message of anything that was thrown. */
export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
