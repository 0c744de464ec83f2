import { existsSync, mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { EverybarError } from '../../model/errors.ts'
import { corrupt, newerVersion, notWritable } from '../faults.ts'
import { CANTOPEN, READONLY, resultCode, sqliteFault } from './faults.ts'
import { APPLICATION_ID, migrations, SCHEMA_VERSION } from './schema.ts'

/** How long to wait for another process that happens to checkpoint or recover the file. */
const BUSY_MS = 5_000

/**
 * Opens, and makes or migrates, the database for writing.
 *
 * @param beforeChange called before the first byte of the file may change, here or later.
 */
export function openToWrite(path: string, beforeChange: () => void): DatabaseSync {
  try {
    mkdirSync(dirname(path), { recursive: true })
  } catch (error) {
    throw notWritable(path, error)
  }
  return opened(path, () => {
    const db = new DatabaseSync(path, { timeout: BUSY_MS })
    try {
      checkOurs(db, path)
      if (versionOf(db) !== SCHEMA_VERSION) beforeChange()
      db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -16000')
      migrate(db)
      return db
    } catch (error) {
      db.close()
      throw error
    }
  })
}

/** Opens for reading beside a writer. Where there is no ledger yet, one that is empty. */
export function openToRead(path: string): DatabaseSync {
  return opened(path, () => {
    const db = existsSync(path) ? openExisting(path) : emptyDatabase()
    try {
      checkOurs(db, path)
      const version = versionOf(db)
      if (version === SCHEMA_VERSION) return db
      if (version > 0) throw olderVersion(path, version)
      db.close() // a writer has just made the file and nothing in it
      return emptyDatabase()
    } catch (error) {
      if (db.isOpen) db.close()
      throw error
    }
  })
}

function openExisting(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { readOnly: true, timeout: BUSY_MS })
  try {
    versionOf(db)
    return db
  } catch (error) {
    db.close()
    if (![CANTOPEN, READONLY].includes(resultCode(error)!) || hasUnmergedWrites(path)) throw error
    // A folder nobody may write to has no room for a reader's shared memory, and no writer either.
    return new DatabaseSync(new URL(`${pathToFileURL(path).href}?immutable=1`), { readOnly: true })
  }
}

/** A writer that was killed left writes beside the file: without them the file alone is not to be trusted. */
const hasUnmergedWrites = (path: string): boolean =>
  (statSync(`${path}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0

function emptyDatabase(): DatabaseSync {
  const db = new DatabaseSync(':memory:')
  migrate(db)
  return db
}

const pragma = (db: DatabaseSync, name: string): number =>
  Number(Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0])

const versionOf = (db: DatabaseSync): number => pragma(db, 'user_version')

function checkOurs(db: DatabaseSync, path: string): void {
  const tables = db.prepare('SELECT count(*) AS n FROM sqlite_schema').get() as { n: number }
  if (tables.n > 0 && pragma(db, 'application_id') !== APPLICATION_ID)
    throw corrupt(path, 'it is the database of another program')
  const version = versionOf(db)
  if (version > SCHEMA_VERSION) throw newerVersion(path, version, SCHEMA_VERSION)
}

/** All steps in one transaction: a database is of one version or of another. */
function migrate(db: DatabaseSync): void {
  if (versionOf(db) === SCHEMA_VERSION) return
  db.exec('BEGIN IMMEDIATE')
  try {
    for (const migration of migrations.slice(versionOf(db))) db.exec(migration)
    db.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${SCHEMA_VERSION}`)
    db.exec('COMMIT')
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK')
    throw error
  }
}

function opened(path: string, open: () => DatabaseSync): DatabaseSync {
  try {
    return open()
  } catch (error) {
    throw sqliteFault(error, path)
  }
}

function olderVersion(path: string, version: number): EverybarError {
  return new EverybarError('ledger.older-version', `the ledger ${path} has the older version ${version}`, {
    recovery: 'abort',
    hint: 'Run a command that writes, such as sync, once: it brings the ledger up to date.',
    path,
  })
}
