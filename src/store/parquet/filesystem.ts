import { createHash } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { readError } from './errors.ts'

/** The few things the lake does to a disk beside what DuckDB reads and writes; replaced in tests of faults. */
export interface LakeFilesystem {
  /** Makes the folder and those above it, durably; nothing if it is there. */
  makeFolder(path: string): Promise<void>
  /** Makes an empty file; fails if there is one. */
  create(path: string): Promise<void>
  /** Makes a file with these bytes; fails if there is one. Not synced. */
  write(path: string, bytes: Uint8Array): Promise<void>
  /** The whole content; `undefined` if there is no such file. */
  read(path: string): Promise<Uint8Array | undefined>
  /** Returns when the content of the file is on the disk. */
  sync(path: string): Promise<void>
  /** Puts the file in place of whatever is at `to`, at once. */
  rename(from: string, to: string): Promise<void>
  /** Returns when the names in the folder are on the disk. */
  syncFolder(path: string): Promise<void>
  /** Nothing if there is none. */
  remove(path: string): Promise<void>
  /** Names in a folder, sorted; none if it does not exist. */
  list(path: string): Promise<string[]>
  /** `undefined` if there is no such file. */
  stat(path: string): Promise<{ readonly bytes: number; readonly changedMs: number } | undefined>
  /** sha256 of the content. */
  digest(path: string): Promise<string>
}

const isCode = (error: unknown, ...codes: string[]): boolean =>
  error instanceof Error && 'code' in error && codes.includes(String(error.code))

async function syncPath(path: string, flags: string): Promise<void> {
  const handle = await open(path, flags)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Bytes read at once to be hashed. */
const PIECE = 1 << 20

export const nodeFilesystem: LakeFilesystem = {
  async makeFolder(path) {
    const first = await mkdir(path, { recursive: true })
    // Each new name is in the folder above it.
    for (let made = path; first !== undefined && made.length >= first.length; made = dirname(made)) {
      await syncPath(dirname(made), 'r')
    }
  },
  async create(path) {
    await (await open(path, 'wx')).close()
  },
  async write(path, bytes) {
    const handle = await open(path, 'wx')
    try {
      await handle.writeFile(bytes)
    } finally {
      await handle.close()
    }
  },
  async read(path) {
    try {
      return await readFile(path)
    } catch (error) {
      if (isCode(error, 'ENOENT', 'ENOTDIR')) return undefined
      throw readError(error, path)
    }
  },
  sync: (path) => syncPath(path, 'r+'),
  rename,
  syncFolder: (path) => syncPath(path, 'r'),
  remove: (path) => rm(path, { force: true }),
  async list(path) {
    try {
      return (await readdir(path)).sort()
    } catch (error) {
      if (isCode(error, 'ENOENT', 'ENOTDIR')) return []
      throw readError(error, path)
    }
  },
  async stat(path) {
    try {
      const found = await stat(path)
      return found.isFile() ? { bytes: found.size, changedMs: found.mtimeMs } : undefined
    } catch (error) {
      if (isCode(error, 'ENOENT', 'ENOTDIR')) return undefined
      throw readError(error, path)
    }
  },
  async digest(path) {
    const hash = createHash('sha256')
    try {
      const file = await open(path, 'r')
      try {
        const piece = Buffer.allocUnsafe(PIECE)
        for (;;) {
          const { bytesRead } = await file.read(piece, 0, PIECE)
          if (bytesRead === 0) return hash.digest('hex')
          hash.update(piece.subarray(0, bytesRead))
        }
      } finally {
        await file.close()
      }
    } catch (error) {
      throw readError(error, path)
    }
  },
}
