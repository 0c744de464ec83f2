/** A file being written. Nothing of it is safe before `sync` has resolved. */
export interface WritableFile {
  /** Appends the parts one after another, without joining them first. */
  readonly write: (parts: readonly Uint8Array[]) => Promise<void>
  readonly sync: () => Promise<void>
  readonly close: () => Promise<void>
}

export interface DirectoryEntry {
  readonly name: string
  readonly kind: 'file' | 'directory' | 'other'
}

/**
 * The few operations everything durable is built from, as one port, so that a test can fail or cut the power at any one
 * of them. Faults are thrown as Node throws them: with a `code` such as `ENOENT` or `ENOSPC`. Running out of
 * descriptors is waited out inside. The real one is `nodeFileSystem` in `app/filesystem.ts`.
 */
export interface FileSystem {
  /** Creates a file that must not exist yet (`EEXIST`). */
  readonly create: (path: string) => Promise<WritableFile>
  /**
   * Opens a file that is there (`ENOENT`) to write on from byte `at`; what lies behind that is cut off first. Nothing of
   * what is written is safe before `sync`; what was there before `at` is not touched.
   */
  readonly extend: (path: string, at: number) => Promise<WritableFile>
  readonly readFile: (path: string) => Promise<Uint8Array>
  /** Entries in no order, streamed. */
  readonly list: (path: string) => AsyncIterable<DirectoryEntry>
  /** Bytes of a file; `undefined` when nothing is there. */
  readonly size: (path: string) => Promise<number | undefined>
  /**
   * A word that changes when the file's bytes, or the names in the directory, change; `undefined` when nothing is
   * there.
   */
  readonly stamp: (path: string) => Promise<string | undefined>
  /** With its parents; gives the first directory it had to make, if any. */
  readonly makeDirectory: (path: string) => Promise<string | undefined>
  /** Replaces what is at `to`, at one instant. */
  readonly rename: (from: string, to: string) => Promise<void>
  /** A second name for a file (`EEXIST` when the name is taken); copies where the file system has no links. */
  readonly link: (from: string, to: string) => Promise<void>
  readonly remove: (path: string) => Promise<void>
  /** Makes the names in a directory (new, renamed, removed) survive a power cut. */
  readonly syncDirectory: (path: string) => Promise<void>
}

/** `ENOENT`, `ENOSPC` …; `undefined` for anything that is not a fault of the system. */
export function faultCode(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined
  return typeof code === 'string' ? code : undefined
}

/** Files that start so are being written; once their process is gone they are rubbish. */
export const TEMPORARY_PREFIX = '.tmp-'

/**
 * Replaces a file at one instant: a reader, or a power cut, finds the old content or the new, whole. The bytes are on
 * disk when this resolves; the name is, unless `syncDirectory` is false because the caller syncs several together.
 *
 * @param temporary a path in the same directory that is nobody else's.
 */
export async function writeFileAtomic(
  files: FileSystem,
  path: string,
  parts: readonly Uint8Array[],
  options: { readonly temporary: string; readonly syncDirectory?: boolean },
): Promise<void> {
  await writeTemporary(files, options.temporary, parts)
  try {
    await files.rename(options.temporary, path)
  } catch (error) {
    await files.remove(options.temporary).catch(() => {})
    throw error
  }
  if (options.syncDirectory ?? true) await files.syncDirectory(parentOf(path))
}

/** Writes and syncs a new file; leaves none behind when that fails. */
export async function writeTemporary(
  files: FileSystem,
  path: string,
  parts: readonly Uint8Array[],
): Promise<void> {
  try {
    const file = await files.create(path)
    try {
      await file.write(parts)
      await file.sync()
    } finally {
      await file.close()
    }
  } catch (error) {
    // What is there already is somebody else's.
    if (faultCode(error) !== 'EEXIST') await files.remove(path).catch(() => {})
    throw error
  }
}

const parentOf = (path: string): string => path.replace(/[/\\][^/\\]*$/, '') || '/'

/**
 * One sync for many: a call made while a sync of its key runs waits for the next one, which all who wait share. What a
 * caller did before the call is covered by the sync it waits for, which begins after it.
 */
export class SharedSync {
  readonly #sync: (key: string) => Promise<void>
  readonly #running = new Map<string, Promise<void>>()
  readonly #next = new Map<string, Promise<void>>()

  constructor(sync: (key: string) => Promise<void>) {
    this.#sync = sync
  }

  async sync(key: string): Promise<void> {
    const running = this.#running.get(key)
    if (!running) return this.#start(key)
    let next = this.#next.get(key)
    if (!next) {
      next = running.then(
        () => this.#startNext(key),
        () => this.#startNext(key),
      )
      this.#next.set(key, next)
    }
    return next
  }

  #startNext(key: string): Promise<void> {
    this.#next.delete(key)
    return this.#start(key)
  }

  #start(key: string): Promise<void> {
    const run = this.#sync(key).finally(() => {
      if (this.#running.get(key) === run) this.#running.delete(key)
    })
    this.#running.set(key, run)
    return run
  }
}
