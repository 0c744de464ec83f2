import {
  closeSync,
  fdatasync,
  fstatSync,
  fsync,
  ftruncateSync,
  open,
  opendirSync,
  openSync,
  renameSync,
  statSync,
  write,
  writev,
} from 'node:fs'
import { copyFile, link, mkdir, readFile, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { setImmediate as immediate, setTimeout as sleep } from 'node:timers/promises'
import {
  type DirectoryEntry,
  type FileSystem,
  faultCode,
  TEMPORARY_PREFIX,
  type WritableFile,
} from '../model/filesystem.ts'

const OUT_OF_DESCRIPTORS = new Set(['EMFILE', 'ENFILE'])

/** Tries again while the process has no descriptor left, for about ten seconds. */
async function withDescriptor<T>(attempt: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt()
    } catch (error) {
      if (tries >= 100 || !OUT_OF_DESCRIPTORS.has(faultCode(error) ?? '')) throw error
      await sleep(Math.min(tries * 5, 100))
    }
  }
}

/*
 * What waits for the disk, and making a file, which searches for room, is handed to another thread. Opening what is
 * there, listing, closing, renaming and looking take microseconds, less than handing them over, and are done on the spot: an
 * archive does each of them for every answer.
 */

const openNow = (path: string, flags: string): Promise<number> =>
  withDescriptor(async () => openSync(path, flags))

type Told = (error: NodeJS.ErrnoException | null) => void

const ended = (start: (told: Told) => void): Promise<void> =>
  new Promise((resolve, reject) => start((error) => (error ? reject(error) : resolve())))

const given = <T>(
  start: (told: (error: NodeJS.ErrnoException | null, value: T) => void) => void,
): Promise<T> =>
  new Promise((resolve, reject) => start((error, value) => (error ? reject(error) : resolve(value))))

async function create(path: string): Promise<WritableFile> {
  return writable(await withDescriptor(() => given<number>((told) => open(path, 'wx', told))), 0)
}

async function extend(path: string, at: number): Promise<WritableFile> {
  const file = await openNow(path, 'r+')
  try {
    if (fstatSync(file).size > at) ftruncateSync(file, at)
    return writable(file, at)
  } catch (error) {
    closeSync(file)
    throw error
  }
}

function writable(file: number, start: number): WritableFile {
  let end = start
  return {
    write: async (parts) => {
      const bytes = parts.reduce((sum, part) => sum + part.byteLength, 0)
      const written = await given<number>((told) => writev(file, parts, end, told))
      end += written
      if (written === bytes) return
      const rest = Buffer.concat(parts).subarray(written)
      for (let at = 0; at < rest.length; ) {
        const more = await given<number>((told) => write(file, rest, at, rest.length - at, end, told))
        at += more
        end += more
      }
    },
    // The size is part of the data: fdatasync covers both, and spares the journal the times.
    sync: () => ended((told) => fdatasync(file, told)),
    close: async () => closeSync(file),
  }
}

/** Faults of file systems that cannot sync a directory, or have no links. */
const CANNOT_SYNC_DIRECTORY = new Set(['EINVAL', 'EPERM', 'EISDIR', 'ENOTSUP'])
const CANNOT_LINK = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'])

async function syncPath(path: string): Promise<void> {
  const file = await openNow(path, 'r')
  try {
    await ended((told) => fsync(file, told))
  } finally {
    closeSync(file)
  }
}

async function syncDirectory(path: string): Promise<void> {
  try {
    await syncPath(path)
  } catch (error) {
    if (!CANNOT_SYNC_DIRECTORY.has(faultCode(error) ?? '')) throw error
  }
}

async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await link(from, to)
  } catch (error) {
    if (!CANNOT_LINK.has(faultCode(error) ?? '')) throw error
    const copy = join(dirname(to), `${TEMPORARY_PREFIX}${process.pid}-copy-${basename(to)}`)
    await copyFile(from, copy)
    await syncPath(copy)
    renameSync(copy, to)
  }
}

const size = async (path: string): Promise<number | undefined> =>
  statSync(path, { throwIfNoEntry: false })?.size

async function stamp(path: string): Promise<string | undefined> {
  try {
    const { ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true })
    return [ino, size, mtimeNs, ctimeNs].join('-')
  } catch (error) {
    if (faultCode(error) === 'ENOENT') return undefined
    throw error
  }
}

/** Entries that are read without a look at what else has happened: a millisecond. */
const ENTRIES_AT_ONCE = 1_000

async function* list(path: string): AsyncGenerator<DirectoryEntry> {
  const folder = await withDescriptor(async () => opendirSync(path, { bufferSize: ENTRIES_AT_ONCE }))
  try {
    let read = 0
    for (let entry = folder.readSync(); entry; entry = folder.readSync()) {
      // A folder may have been moved to another disk, and a link left in its place.
      const one = entry.isSymbolicLink() ? statSync(join(path, entry.name), { throwIfNoEntry: false }) : entry
      yield { name: entry.name, kind: one?.isFile() ? 'file' : one?.isDirectory() ? 'directory' : 'other' }
      if (++read % ENTRIES_AT_ONCE === 0) await immediate()
    }
  } finally {
    folder.closeSync()
  }
}

/** The machine's own files. */
export const nodeFileSystem: FileSystem = {
  create,
  extend,
  readFile: (path) => withDescriptor(() => readFile(path)),
  list,
  size,
  stamp,
  makeDirectory: (path) => mkdir(path, { recursive: true }),
  rename: async (from, to) => renameSync(from, to),
  link: linkOrCopy,
  remove: (path) => rm(path),
  syncDirectory,
}
