import { randomUUID } from 'node:crypto'
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { ConfigError } from '../errors.ts'
import { syncFolder, writeAtomic, writeFault } from '../state/atomic.ts'
import { withLock } from '../state/lock.ts'

/** Marks a folder as an export's, and keeps two exports from it at once. */
const MARK = '.everybar-export'
export const MANIFEST = 'dataset.json'
/** While files are put in place: every one that this export or the one before may have left, whatever ends it. */
const LEFT = `${MARK}.files`

/** What `make` has put into its folder: the files in it, and the text of the manifest that goes with them. */
export interface Made {
  readonly files: readonly string[]
  readonly manifest: string
}

/**
 * Lets `make` fill a folder beside the final one, then moves its files into `out` under their final names, the manifest
 * last. Where `make` fails nothing in `out` changes. Files that earlier exports made, ended or not, and this one does not
 * are removed; a folder without a manifest is one whose export did not end.
 *
 * @throws ConfigError `loader.out-not-empty` for a folder with files that no export has made.
 * @throws ParquetLoaderError `loader.disk-full`, `loader.not-writable`, `loader.state-locked` (retry).
 */
export async function publish(out: string, make: (folder: string) => Promise<Made>): Promise<void> {
  await mkdir(out, { recursive: true }).catch((cause: unknown) => {
    throw writeFault(out, cause)
  })
  await refuseForeign(out)
  await withLock(join(out, MARK), 1_000, async () => {
    await sweep(out)
    const folder = join(out, `${MARK}-${randomUUID()}`)
    try {
      await mkdir(folder)
      const made = await make(folder)
      await replace(out, folder, made)
    } catch (error) {
      throw isSystemError(error) ? writeFault(out, error) : error
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })
}

async function replace(out: string, folder: string, { files, manifest }: Made): Promise<void> {
  const before = [...(await filesBefore(out, MANIFEST)), ...(await filesBefore(out, LEFT))]
  const outputs = [...new Set([...before, ...files])].map((path) => ({ path }))
  await writeAtomic(join(out, LEFT), JSON.stringify({ outputs }))
  await rm(join(out, MANIFEST), { force: true })
  for (const file of files) {
    const target = join(out, file)
    await mkdir(dirname(target), { recursive: true })
    const handle = await open(join(folder, file), 'r')
    await handle.sync()
    await handle.close()
    await rename(join(folder, file), target)
    await syncFolder(dirname(target))
  }
  const kept = new Set(files)
  for (const file of before) if (!kept.has(file)) await rm(join(out, file), { force: true })
  await writeAtomic(join(out, MANIFEST), manifest)
  await rm(join(out, LEFT), { force: true })
}

/** What exports in this folder made, by such a list. Only plain relative paths are believed. */
async function filesBefore(out: string, list: string): Promise<string[]> {
  const text = await readFile(join(out, list), 'utf8').catch(() => '{}')
  try {
    const { outputs } = JSON.parse(text) as { outputs?: { path?: unknown }[] }
    const paths = (outputs ?? []).map((file) => file.path)
    return paths.filter(
      (path) => typeof path === 'string' && /^(\w[\w-]*\/)*\w[\w.-]*$/.test(path),
    ) as string[]
  } catch {
    return []
  }
}

async function refuseForeign(out: string): Promise<void> {
  const names = await readdir(out)
  if (names.length === 0 || names.includes(MANIFEST) || names.includes(MARK)) return
  throw new ConfigError('loader.out-not-empty', 'the output folder holds files that no export has made', {
    path: out,
    value: names.slice(0, 5),
    hint: 'Name an empty folder, or one that an export has made.',
  })
}

/** Removes what exports left that were killed. */
async function sweep(out: string): Promise<void> {
  for (const name of await readdir(out)) {
    if (name.startsWith(`${MARK}-`) && !name.endsWith('-journal'))
      await rm(join(out, name), { recursive: true, force: true })
  }
}

const isSystemError = (error: unknown): boolean =>
  typeof (error as NodeJS.ErrnoException | undefined)?.code === 'string' &&
  /^E[A-Z]+$/.test((error as NodeJS.ErrnoException).code!)
