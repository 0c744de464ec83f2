import type { DuckDBConnection } from '@duckdb/node-api'
import { EverybarError, messageOf } from '../../model/errors.ts'
import { corrupt, writeError } from './errors.ts'

const SELECT_HINT =
  'Only one SELECT (or DESCRIBE, SUMMARIZE, SHOW, EXPLAIN) over the view `bars` is run; to write a file, use `everybar export`.'

/**
 * Refuses everything but one statement that reads: DuckDB's settings keep a query inside the lake's folder, but would let
 * COPY write there. Asks DuckDB's own parser, which serializes SELECT statements and no others.
 *
 * @throws EverybarError `query.not-a-select`, `query.bad-sql` (abort).
 */
export async function refuseUnlessRead(connection: DuckDBConnection, sql: string): Promise<void> {
  const reader = await connection.runAndReadAll('SELECT json_serialize_sql($1::VARCHAR)', [
    withoutExplain(sql),
  ])
  const parsed = JSON.parse(String(reader.getRowsJS()[0]?.[0])) as {
    readonly error: boolean
    readonly error_type?: string
    readonly error_message?: string
    readonly statements?: readonly unknown[]
  }
  if (parsed.error && parsed.error_type === 'parser') throw badSql(parsed.error_message ?? 'syntax error')
  if (parsed.error) throw notASelect('this statement does not only read')
  const count = parsed.statements?.length ?? 0
  if (count !== 1) throw notASelect(count === 0 ? 'there is no statement' : `there are ${count} statements`)
}

const notASelect = (what: string) =>
  new EverybarError('query.not-a-select', what, { recovery: 'abort', hint: SELECT_HINT })

const badSql = (message: string, cause?: unknown) =>
  new EverybarError('query.bad-sql', message, {
    recovery: 'abort',
    hint: 'The view is `bars`; `everybar query "DESCRIBE bars"` lists its columns. The language is DuckDB\'s SQL.',
    cause,
  })

/** What EXPLAIN explains; the parser's serializer does not take EXPLAIN itself. */
function withoutExplain(sql: string): string {
  const blank = String.raw`(?:\s|--[^\n]*(?:\n|$)|/\*[\s\S]*?\*/)`
  return sql.replace(new RegExp(`^${blank}*explain(?:${blank}+analyze)?${blank}+`, 'i'), '')
}

/** What DuckDB's refusal of an accepted statement means. `spillFolder` is where it writes what memory cannot hold. */
export function queryError(error: unknown, spillFolder: string): unknown {
  const message = messageOf(error)
  if (/^Permission Error/i.test(message)) {
    return new EverybarError('query.not-allowed', message, {
      recovery: 'abort',
      hint: 'A query reads the lake under the data root and nothing else.',
      cause: error,
    })
  }
  if (/^Out of Memory/i.test(message)) {
    return new EverybarError('query.out-of-memory', message.split('\n')[0]!, {
      recovery: 'abort',
      hint: 'Name a symbol and a range of open_time in WHERE, or aggregate before sorting.',
      cause: error,
    })
  }
  if (/No space left|quota exceeded/i.test(message)) return writeError(error, spillFolder)
  if (/^(?:IO|Invalid Input|Invalid|Serialization) Error/i.test(message)) {
    const path = /['"]([^'"]+\.parquet)['"]/.exec(message)?.[1] ?? 'a file of the lake'
    return corrupt(path, `cannot be read: ${message.split('\n')[0]}`, error)
  }
  return badSql(message, error)
}
