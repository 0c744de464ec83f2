import { mkdtemp, rm, stat, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { DuckDBConnection, DuckDBInstance } from '@duckdb/node-api'
import { EverybarError, isEverybarError } from '../../model/errors.ts'
import { lakeColumns } from '../../model/lake.ts'
import type { LakeQuery } from '../query.ts'
import { overlayOlder, viewAsOf } from './as-of.ts'
import { toCell } from './cells.ts'
import { Engine, literal, readLakeFiles } from './engine.ts'
import { nodeFilesystem } from './filesystem.ts'
import { type ListedSeries, listSeries } from './listing.ts'
import { MonthFiles } from './month-files.ts'
import { queryError, refuseUnlessRead } from './query-guard.ts'

const INTERRUPT_EVERY_MS = 50

/** What the door `queryLake` runs. */
export async function runQuery(query: LakeQuery): Promise<number> {
  const root = resolve(query.root)
  await requireFolder(root)
  query.signal?.throwIfAborted()
  // DuckDB spills here, and here a root with pattern characters in its name gets a plain one.
  const scratch = await mkdtemp(join(tmpdir(), 'everybar-query-'))
  try {
    const plainRoot = /[*?[\]]/.test(root) ? await plainName(root, scratch) : root
    const listed = await listFiles(plainRoot)
    const { DuckDBInstance } = await import('@duckdb/node-api')
    const instance = await DuckDBInstance.create(':memory:', {
      temp_directory: join(scratch, 'spill'),
      ...(query.memoryLimit !== undefined && { memory_limit: query.memoryLimit }),
    })
    try {
      return await runIn(instance, plainRoot, listed, query)
    } finally {
      instance.closeSync()
    }
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

async function runIn(
  instance: DuckDBInstance,
  root: string,
  listed: readonly ListedSeries[],
  query: LakeQuery,
): Promise<number> {
  const connection = await instance.connect()
  // Again and again: between two statements there is nothing to interrupt, and the next one would run on.
  let again: NodeJS.Timeout | undefined
  const stop = () => {
    connection.interrupt()
    again = setInterval(() => connection.interrupt(), INTERRUPT_EVERY_MS)
  }
  query.signal?.addEventListener('abort', stop, { once: true })
  try {
    query.signal?.throwIfAborted()
    await refuseUnlessRead(connection, query.sql)
    await makeView(connection, root, listed, query.older)
    await confine(connection, root)
    return await stream(connection, query)
  } catch (error) {
    query.signal?.throwIfAborted()
    throw isEverybarError(error) ? error : queryError(error, tmpdir())
  } finally {
    query.signal?.removeEventListener('abort', stop)
    clearInterval(again)
    connection.closeSync()
  }
}

async function stream(
  connection: DuckDBConnection,
  { sql, onColumns, onRows, signal }: LakeQuery,
): Promise<number> {
  const result = await connection.stream(sql)
  const names = result.deduplicatedColumnNames()
  await onColumns?.(names.map((name, c) => ({ name, type: String(result.columnType(c)) })))
  let count = 0
  for (;;) {
    signal?.throwIfAborted()
    const chunk = await result.fetchChunk()
    if (!chunk || chunk.rowCount === 0) return count
    count += chunk.rowCount
    await onRows(chunk.convertRows(toCell))
  }
}

const identity = ['venue', 'market', 'symbol', 'timeframe', 'price']

/**
 * One reader over all files, joined with a table that says whose each file is. DuckDB reads only the files whose names
 * are left after the other conditions, and none to learn the columns: 50 ms for 3,000 files.
 */
async function makeView(
  connection: DuckDBConnection,
  root: string,
  listed: readonly ListedSeries[],
  older: LakeQuery['older'],
): Promise<void> {
  const texts = identity.map((name) => `${name} VARCHAR`).join(', ')
  await connection.run('CREATE SCHEMA everybar')
  await connection.run(`CREATE TABLE everybar.files (filename VARCHAR, ${texts})`)
  const appender = await connection.createAppender('files', 'everybar')
  for (const { series, paths } of listed) {
    const { venue, market, symbol } = series.instrument
    for (const path of paths) {
      for (const text of [join(root, path), venue, market, symbol, series.timeframe, series.price]) {
        appender.appendVarchar(text)
      }
      appender.endRow()
    }
  }
  appender.closeSync()
  const now = viewSql(listed.flatMap(({ paths }) => paths.map((p) => join(root, p))))
  if (older) await overlayOlder(connection, older)
  await connection.run(`CREATE VIEW bars AS ${older ? viewAsOf(now) : now}`)
}

function viewSql(paths: readonly string[]): string {
  if (paths.length === 0) {
    const texts = identity.map((name) => `NULL::VARCHAR AS ${name}`)
    const values = lakeColumns.map(({ name, type }) => `NULL::${type} AS ${name}`)
    return `SELECT ${[...texts, ...values].join(', ')} WHERE false`
  }
  const columns = [...identity.map((name) => `f.${name}`), ...lakeColumns.map(({ name }) => `b.${name}`)]
  return `SELECT ${columns.join(', ')} FROM ${readLakeFiles(paths, true)} b JOIN everybar.files f USING (filename)`
}

/** After this only the lake's files can be read, and that cannot be undone. What is written to them is refused before. */
async function confine(connection: DuckDBConnection, root: string): Promise<void> {
  for (const setting of [
    "TimeZone = 'UTC'",
    'autoinstall_known_extensions = false',
    'autoload_known_extensions = false',
    `allowed_directories = [${literal(`${join(root, 'lake')}/`)}]`,
    'enable_external_access = false',
    'lock_configuration = true',
  ]) {
    await connection.run(`SET ${setting}`)
  }
}

async function listFiles(root: string): Promise<ListedSeries[]> {
  const engine = new Engine('256MB')
  try {
    const months = new MonthFiles(root, engine, nodeFilesystem)
    return await listSeries(root, nodeFilesystem, (path) => months.seriesIn(path))
  } finally {
    await engine.close()
  }
}

async function plainName(root: string, scratch: string): Promise<string> {
  const link = join(scratch, 'root')
  await symlink(root, link, 'dir')
  return link
}

async function requireFolder(root: string): Promise<void> {
  const found = await stat(root).catch(() => undefined)
  if (found?.isDirectory()) return
  throw new EverybarError('root.not-found', `there is no data root at ${root}`, {
    recovery: 'abort',
    hint: 'Name the folder that holds lake/ with --root or EVERYBAR_DATA_ROOT, or run `everybar sync` first.',
    path: root,
  })
}
