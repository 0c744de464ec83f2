import {
  type FileSystem,
  faultCode,
  SharedSync,
  TEMPORARY_PREFIX,
  writeFileAtomic,
} from '../../model/filesystem.ts'
import type { SeriesBook } from '../book.ts'
import { diskFull, notWritable } from '../faults.ts'

/** What a manifest keeper holds of one file: its content, and which state of the file that is. */
export class SeriesFile {
  readonly book: SeriesBook
  readonly #files: FileSystem
  readonly #path: string
  readonly #text: (book: SeriesBook) => string
  readonly #saves = new SharedSync(() => this.#save())
  #stamp: string | undefined
  #unsaved = 0
  #failure: unknown

  constructor(options: {
    readonly files: FileSystem
    readonly path: string
    readonly book: SeriesBook
    readonly stamp: string | undefined
    readonly text: (book: SeriesBook) => string
  }) {
    this.#files = options.files
    this.#path = options.path
    this.book = options.book
    this.#stamp = options.stamp
    this.#text = options.text
  }

  /** Whether the file is still the one this was read from or written to. */
  async isCurrent(): Promise<boolean> {
    if (this.#failure !== undefined) return false
    return this.#unsaved > 0 || (await this.#files.stamp(this.#path)) === this.#stamp
  }

  /** Makes a change durable. After a failure this file is not current any more: what it holds may not be on disk. */
  async change(make: (book: SeriesBook) => void): Promise<void> {
    make(this.book)
    this.#unsaved++
    try {
      await this.#saves.sync('')
    } finally {
      this.#unsaved--
    }
  }

  async #save(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure
    try {
      await writeJson(this.#files, this.#path, this.#text(this.book))
      this.#stamp = await this.#files.stamp(this.#path)
    } catch (error) {
      this.#failure = error
      throw error
    }
  }
}

/** @throws EverybarError `ledger.disk-full`, `ledger.not-writable` (abort). */
export async function writeJson(files: FileSystem, path: string, text: string): Promise<void> {
  const folder = path.replace(/[/\\][^/\\]*$/, '')
  const temporary = `${folder}/${TEMPORARY_PREFIX}${path.slice(folder.length + 1)}`
  try {
    await files.makeDirectory(folder)
    if ((await files.size(temporary)) !== undefined) await files.remove(temporary) // left by a process that died
    await writeFileAtomic(files, path, [Buffer.from(text)], { temporary })
  } catch (error) {
    const code = faultCode(error)
    throw code === 'ENOSPC' || code === 'EDQUOT' ? diskFull(path, error) : notWritable(path, error)
  }
}

/** `undefined` when there is no such file. */
export async function readText(files: FileSystem, path: string): Promise<string | undefined> {
  try {
    return new TextDecoder().decode(await files.readFile(path))
  } catch (error) {
    const code = faultCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw notWritable(path, error)
  }
}
