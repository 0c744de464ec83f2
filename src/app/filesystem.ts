import {
  copyFile,
  type FileHandle,
  link,
  mkdir,
  open,
  opendir,
  readFile,
  rename,
  rm,
  stat,
} from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type FileSystem, faultCode, TEMPORARY_PREFIX, type WritableFile } from '../model/filesystem.ts'

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

async function create(path: string): Promise<WritableFile> {
  return writable(await withDescriptor(() => open(path, 'wx')), 0)
}

async function extend(path: string, at: number): Promise<WritableFile> {
  const file = await withDescriptor(() => open(path, 'r+'))
  try {
    if ((await file.stat()).size > at) await file.truncate(at)
    return writable(file, at)
  } catch (error) {
    await file.close()
    throw error
  }
}

function writable(file: FileHandle, start: number): WritableFile {
  let end = start
  return {
    write: async (parts) => {
      const bytes = parts.reduce((sum, part) => sum + part.byteLength, 0)
      const { bytesWritten } = await file.writev(parts as Uint8Array[], end)
      end += bytesWritten
      if (bytesWritten === bytes) return
      const rest = Buffer.concat(parts).subarray(bytesWritten)
      for (let at = 0; at < rest.length; ) {
        const more = await file.write(rest, at, rest.length - at, end)
        at += more.bytesWritten
        end += more.bytesWritten
      }
    },
    // The size is part of the data: fdatasync covers both, and spares the journal the times.
    sync: () => file.datasync(),
    close: () => file.close(),
  }
}

/** Faults of file systems that cannot sync a directory, or have no links. */
const CANNOT_SYNC_DIRECTORY = new Set(['EINVAL', 'EPERM', 'EISDIR', 'ENOTSUP'])
const CANNOT_LINK = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'])

async function syncPath(path: string): Promise<void> {
  const handle = await withDescriptor(() => open(path, 'r'))
  try {
    await handle.sync()
  } finally {
    await handle.close()
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
    await rename(copy, to)
  }
}

async function size(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if (faultCode(error) === 'ENOENT') return undefined
    throw error
  }
}

async function stamp(path: string): Promise<string | undefined> {
  try {
    const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true })
    return [ino, size, mtimeNs, ctimeNs].join('-')
  } catch (error) {
    if (faultCode(error) === 'ENOENT') return undefined
    throw error
  }
}

/** The machine's own files. */
export const nodeFileSystem: FileSystem = {
  create,
  extend,
  readFile: (path) => withDescriptor(() => readFile(path)),
  list: async function* (path) {
    for await (const entry of await withDescriptor(() => opendir(path, { bufferSize: 1_000 }))) {
      yield {
        name: entry.name,
        kind: entry.isFile() ? 'file' : entry.isDirectory() ? 'directory' : 'other',
      }
    }
  },
  size,
  stamp,
  makeDirectory: (path) => mkdir(path, { recursive: true }),
  rename,
  link: linkOrCopy,
  remove: (path) => rm(path),
  syncDirectory,
}
