import { EverybarError, type Recovery } from '../model/errors.ts'

export interface LoaderErrorDetails {
  /** One sentence that says what to do now. */
  readonly hint: string
  /** The file or setting at fault; stands in the message too. */
  readonly path?: string
  /** What was found there; stands in the message too. Never a secret: the loader reads none. */
  readonly value?: unknown
  /** `abort` unless said. */
  readonly recovery?: Recovery
  readonly cause?: unknown
}

/** Every error the loader throws on purpose. Its message ends with the path and the value at fault, where there are such. */
export class ParquetLoaderError extends EverybarError {
  readonly value: unknown

  constructor(code: string, message: string, { hint, path, value, recovery, cause }: LoaderErrorDetails) {
    const where = path === undefined ? '' : ` — ${path}`
    const found = value === undefined ? '' : ` (found ${show(value)})`
    super(code, `${message}${where}${found}`, {
      recovery: recovery ?? 'abort',
      hint,
      ...(path === undefined ? {} : { path }),
      ...(cause === undefined ? {} : { cause }),
    })
    this.name = new.target.name
    this.value = value
  }
}

/** The configuration or the arguments of a call are not usable: nothing was read. */
export class ConfigError extends ParquetLoaderError {}

/** Nothing was found where data was asked for. */
export class DataNotFoundError extends ParquetLoaderError {}

/** A file lies among the data whose name does not say what it holds. */
export class InvalidFilenameError extends ParquetLoaderError {}

/** The data is there and cannot be used: unreadable, incomplete, or not what was required. */
export class DataQualityError extends ParquetLoaderError {}

/** The bars before the start of a forecast are not all there. */
export class IncompleteContextError extends ParquetLoaderError {
  /** How many bars of the context are missing. */
  readonly missing: number

  constructor(code: string, message: string, details: LoaderErrorDetails & { readonly missing: number }) {
    super(code, message, details)
    this.missing = details.missing
  }
}

/** Columns are not the ones, or not of the kind, that the configuration names; or they differ between months. */
export class SchemaValidationError extends ParquetLoaderError {}

/** A value as short text for a message. */
function show(value: unknown): string {
  const text = typeof value === 'string' ? JSON.stringify(value) : String(JSON.stringify(value) ?? value)
  return text.length > 200 ? `${text.slice(0, 200)}…` : text
}
