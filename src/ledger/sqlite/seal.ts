import { createHash } from 'node:crypto'
import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { messageOf } from '../../model/errors.ts'
import { faultCode } from '../../model/filesystem.ts'
import { diskFull, notWritable } from '../faults.ts'
import type { LedgerCheck } from '../ledger.ts'

/*
 * `<database>.seal` holds the sha256 of the whole database file as the last writer left it: SQLite's own checks do not
 * see a changed value, nor a changed byte that nothing uses. A writer takes the seal away before its first change and
 * sets it as it closes, so a database without one was in use, or its writer was killed.
 */

export type SealState =
  /** Byte for byte as it was left. */
  | 'whole'
  /** No seal: in use, or its writer was killed. */
  | 'unsealed'
  /** Not as it was left. */
  | 'changed'

const BROKEN = 'changed'
const PIECE = 1 << 20

export class Seal {
  readonly #database: string
  readonly #path: string

  constructor(database: string) {
    this.#database = database
    this.#path = `${database}.seal`
  }

  get path(): string {
    return this.#path
  }

  /** Compares the database with its seal. A writer that begins meanwhile makes it `unsealed`, never `changed`. */
  look(): SealState {
    return this.#named(() => this.#compare())
  }

  #compare(): SealState {
    for (;;) {
      const seal = this.#read()
      if (seal === undefined) return 'unsealed'
      if (seal !== BROKEN && !this.#hasWrites() && this.#hash() === seal) return 'whole'
      if (this.#read() === seal) return 'changed'
    }
  }

  /** Takes the seal away, for good. */
  remove(): void {
    if (this.#read() === undefined) return
    this.#named(() => rmSync(this.#path, { force: true }))
    syncFolder(this.#path)
  }

  /** Notes, for good, that something else has changed the database. */
  breakOpen(): void {
    this.#named(() => this.#write(BROKEN))
  }

  /**
   * Seals a database that is closed. Not one that another connection still keeps open with writes beside it, and not one
   * whose seal cannot be made: without a seal it is proved another way.
   */
  set(): void {
    try {
      const hash = this.#hasWrites() ? undefined : this.#hash()
      if (hash !== undefined && this.#read() !== hash) this.#write(hash)
    } catch {
      // A file half written under the temporary name is no seal, and the next one replaces it.
    }
  }

  /** What the system refuses, as the ledger's error. */
  #named<T>(act: () => T): T {
    try {
      return act()
    } catch (error) {
      throw faultCode(error) === 'ENOSPC' ? diskFull(this.#path, error) : notWritable(this.#path, error)
    }
  }

  #write(text: string): void {
    const temporary = `${this.#path}.tmp`
    const file = openSync(temporary, 'w')
    try {
      writeSync(file, `${text}\n`)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    renameSync(temporary, this.#path)
    syncFolder(this.#path)
  }

  #read(): string | undefined {
    try {
      return readFileSync(this.#path, 'latin1').replace(/\n$/, '')
    } catch {
      return undefined
    }
  }

  /** Whether changes wait beside the file to be merged into it. */
  #hasWrites(): boolean {
    return (statSync(`${this.#database}-wal`, { throwIfNoEntry: false })?.size ?? 0) > 0
  }

  /** `undefined` when there is no file. */
  #hash(): string | undefined {
    let file: number
    try {
      file = openSync(this.#database, 'r')
    } catch (error) {
      if (faultCode(error) === 'ENOENT') return undefined
      throw error
    }
    try {
      const hash = createHash('sha256')
      const piece = Buffer.allocUnsafe(PIECE)
      for (let read = readSync(file, piece); read > 0; read = readSync(file, piece))
        hash.update(piece.subarray(0, read))
      return hash.digest('hex')
    } finally {
      closeSync(file)
    }
  }
}

/** Makes a new or removed name survive a power cut, where the system can. */
function syncFolder(path: string): void {
  try {
    const folder = openSync(dirname(path), 'r')
    try {
      fsyncSync(folder)
    } finally {
      closeSync(folder)
    }
  } catch {
    // A system that cannot sync a folder keeps names as well as it can.
  }
}

/** What SQLite itself finds wrong with its file. */
export function structureFaults(db: DatabaseSync, path: string): LedgerCheck['faults'] {
  try {
    const rows = db.prepare('PRAGMA integrity_check(20)').all() as { integrity_check: string }[]
    const found = rows.map((row) => row.integrity_check).filter((text) => text !== 'ok')
    return found.map((detail) => ({ path, detail }))
  } catch (error) {
    return [{ path, detail: messageOf(error) }]
  }
}
