import { randomUUID } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ParquetLoaderError } from '../errors.ts'

/** Replaces `path` with `text`: durable and whole when it resolves, untouched when it rejects. */
export async function writeAtomic(path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`
  try {
    const file = await open(temporary, 'wx')
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
    await syncFolder(dirname(path))
  } catch (cause) {
    await rm(temporary, { force: true })
    throw writeFault(path, cause)
  }
}

/** Makes a rename in `folder` survive a power cut, where the system can. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => undefined)
  await handle?.sync().catch(() => {})
  await handle?.close()
}

/** A failed write, named for what to do about it. An error that is the loader's already is given back as it is. */
export function writeFault(path: string, cause: unknown): ParquetLoaderError {
  if (cause instanceof ParquetLoaderError) return cause
  const code = (cause as NodeJS.ErrnoException | undefined)?.code
  const text = String((cause as Error | undefined)?.message ?? cause)
  if (code === 'ENOSPC' || code === 'EDQUOT' || /no space left/i.test(text)) {
    return new ParquetLoaderError('loader.disk-full', 'no space left to write', {
      path,
      cause,
      hint: 'Free some space and run again; nothing half-written was left under a final name.',
    })
  }
  return new ParquetLoaderError('loader.not-writable', `cannot write: ${text.split('\n')[0]}`, {
    path,
    cause,
    hint: 'Check that the folder exists and that you may write to it.',
  })
}
