import { mkdtemp, rm, stat, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { DuckDBConnection, DuckDBInstance } from '@duckdb/node-api'
import { EverybarError, isEverybarError } from '../../model/errors.ts'
import type { LakeQuery } from '../query.ts'
import { toCell } from './cells.ts'
import { literal } from './engine.ts'
import { queryError, refuseUnlessRead } from './query-guard.ts'
import { makeView, type ShownLake, showLake } from './query-view.ts'

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
    const shown = await showLake(plainRoot)
    const { DuckDBInstance } = await import('@duckdb/node-api')
    const instance = await DuckDBInstance.create(':memory:', {
      temp_directory: join(scratch, 'spill'),
      ...(query.memoryLimit !== undefined && { memory_limit: query.memoryLimit }),
    })
    try {
      return await runIn(instance, plainRoot, shown, query)
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
  shown: ShownLake,
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
    await makeView(connection, root, shown, query.older)
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
