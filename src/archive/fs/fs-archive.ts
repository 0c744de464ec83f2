import { randomBytes } from 'node:crypto'
import { join, resolve } from 'node:path'
import { type OnEvent, silent } from '../../model/events.ts'
import {
  type FileSystem,
  faultCode,
  SharedSync,
  TEMPORARY_PREFIX,
  writeTemporary,
} from '../../model/filesystem.ts'
import type { RawResponse } from '../../model/http.ts'
import type { EpochMs } from '../../model/time.ts'
import {
  type AnswerMeta,
  type AnswerName,
  type Archive,
  type ArchivedFile,
  type ArchivedResponse,
  type ArchiveFolder,
  type CheckedAnswer,
  type Evidence,
  repeated,
} from '../archive.ts'
import { answerName, type Compression, folderPath, parseAnswerName } from '../paths.ts'
import { Checkers, type CheckJob } from './check.ts'
import { EvidenceFiles } from './evidence.ts'
import { corrupt, readFault, writeFault } from './faults.ts'
import { type Answer, Damage, decodeAnswer, encodeAnswer, sha256 } from './shape.ts'
import { Turns, TurnsByKey } from './turns.ts'
import { walkFolders } from './walk.ts'
import { compress, decompress } from './zstd.ts'

export interface FsArchiveOptions {
  /** The data root; made with the first answer. */
  readonly root: string
  /** For answers to slices that have none yet. A slice keeps the form of its first answer; both forms are read. */
  readonly compression: Compression
  readonly files: FileSystem
  readonly onEvent?: OnEvent
  /**
   * Removes what processes that died left half-written, while listing. Only for the one process that may write: it
   * holds the root's lock, so no temporary file but its own is alive.
   */
  readonly sweep?: boolean
  /** Threads that `check` may use, reading the machine's own files; none unless said. */
  readonly threads?: number
}

/** Answers as files: `<root>/<venue>/<directory>/raw/<symbol>/<timeframe>/responses/<slice id>.json[.zst]`. */
export function openFsArchive(options: FsArchiveOptions): Archive {
  return new FsArchive(options)
}

/** Puts under way at once: enough to share every sync, few enough to leave descriptors for others. */
const PUTS_MAX = 32

const forms: readonly Compression[] = ['none', 'zstd']

interface Current {
  readonly compression: Compression
  /** `undefined` when the file is damaged. */
  readonly answer: Answer | undefined
}

class FsArchive implements Archive {
  readonly #root: string
  readonly #compression: Compression
  readonly #files: FileSystem
  readonly #onEvent: OnEvent
  readonly #sweep: boolean
  readonly #temporaryStart = `${TEMPORARY_PREFIX}${process.pid}-${randomBytes(3).toString('hex')}-`
  #temporaries = 0
  readonly #ready = new Map<string, Promise<void>>()
  readonly #turns = new Turns(PUTS_MAX)
  readonly #perSlice = new TurnsByKey()
  readonly #directories: SharedSync
  readonly #evidence: EvidenceFiles
  readonly #checkers: Checkers

  constructor({ root, compression, files, onEvent = silent, sweep = false, threads = 0 }: FsArchiveOptions) {
    this.#root = resolve(root)
    this.#compression = compression
    this.#files = files
    this.#onEvent = onEvent
    this.#sweep = sweep
    this.#directories = new SharedSync((path) => files.syncDirectory(path))
    this.#evidence = new EvidenceFiles(this.#root, files, this.#temporaryStart)
    this.#checkers = new Checkers(threads)
  }

  async put(
    folder: ArchiveFolder,
    slice: AnswerName,
    response: RawResponse,
    venueTimeMs: EpochMs,
  ): Promise<Omit<ArchivedResponse, 'body'>> {
    const directory = this.#directoryOf(folder)
    const path = join(directory, answerName(slice.id, 0, 'none'))
    const meta: AnswerMeta = {
      url: response.url,
      sliceKey: slice.key,
      fetchedAtMs: Math.round(response.receivedAtMs),
      requestedAtMs: Math.round(response.requestedAtMs),
      httpStatus: response.status,
      venueTimeMs: Math.round(venueTimeMs),
    }
    const fresh: Answer = { meta, sha256: sha256(response.body), body: response.body }
    try {
      const replace = () => this.#turns.run(() => this.#replace(directory, slice.id, fresh))
      const kept = await this.#perSlice.run(path, replace)
      return { sliceId: slice.id, meta: kept, sha256: fresh.sha256, version: 0 }
    } catch (error) {
      throw writeFault(error, path)
    }
  }

  async #replace(directory: string, sliceId: string, fresh: Answer): Promise<AnswerMeta> {
    await this.#makeReady(directory)
    const current = await this.#current(directory, sliceId)
    const same = current?.answer?.sha256 === fresh.sha256
    const answer = same
      ? { ...fresh, meta: repeated(fresh.meta, current!.answer!.meta) }
      : await this.#after(directory, sliceId, current?.answer, fresh)
    const compression = current?.compression ?? this.#compression
    const plain = encodeAnswer(answer)
    const parts = compression === 'zstd' ? await compress(plain) : plain
    const temporary = await this.#writeTemporary(directory, parts)
    try {
      if (current?.answer && current.answer.sha256 !== answer.sha256)
        await this.#keepOlder(directory, sliceId, compression, current.answer)
      await this.#files.rename(temporary, join(directory, answerName(sliceId, 0, compression)))
    } catch (error) {
      await this.#files.remove(temporary).catch(() => {})
      throw error
    }
    await this.#directories.sync(directory)
    return answer.meta
  }

  /** The answer with the hash of the one whose place it takes; where that is damaged, of the last that was kept. */
  async #after(
    directory: string,
    sliceId: string,
    before: Answer | undefined,
    fresh: Answer,
  ): Promise<Answer> {
    const supersedes = before?.sha256 ?? (await this.#newestOlder(directory, sliceId))
    return supersedes === undefined ? fresh : { ...fresh, meta: { ...fresh.meta, supersedes } }
  }

  async #newestOlder(directory: string, sliceId: string): Promise<string | undefined> {
    let newest: string | undefined
    for (let version = 1; await this.#formOf(directory, sliceId, version); version++) {
      const older = await this.#read(directory, sliceId, version).catch(() => undefined)
      newest = older?.answer.sha256 ?? newest
    }
    return newest
  }

  /** Gives the current answer a second name before another takes its own. */
  async #keepOlder(
    directory: string,
    sliceId: string,
    compression: Compression,
    older: Answer,
  ): Promise<void> {
    let version = 1
    while (await this.#formOf(directory, sliceId, version)) version++
    if (version > 1) {
      // An interrupted put may have kept it already.
      const last = await this.#read(directory, sliceId, version - 1).catch(() => undefined)
      if (last?.answer?.sha256 === older.sha256) return
    }
    const name = (n: number) => join(directory, answerName(sliceId, n, compression))
    await this.#files.link(name(0), name(version))
    await this.#directories.sync(directory)
  }

  async #writeTemporary(directory: string, parts: readonly Uint8Array[]): Promise<string> {
    const temporary = join(directory, `${this.#temporaryStart}${this.#temporaries++}`)
    try {
      await writeTemporary(this.#files, temporary, parts)
    } catch (error) {
      if (faultCode(error) !== 'ENOENT') throw error
      // Somebody removed the folder to reset the series.
      this.#ready.delete(directory)
      await this.#makeReady(directory)
      await writeTemporary(this.#files, temporary, parts)
    }
    return temporary
  }

  /** Makes the folder and makes its path survive a power cut, once. */
  #makeReady(directory: string): Promise<void> {
    let ready = this.#ready.get(directory)
    if (!ready) {
      ready = this.#makeDirectory(directory)
      this.#ready.set(directory, ready)
      ready.catch(() => this.#ready.delete(directory))
    }
    return ready
  }

  async #makeDirectory(directory: string): Promise<void> {
    const first = await this.#files.makeDirectory(directory)
    if (first === undefined) return
    // Every new name lies in the directory above it.
    for (let at = join(directory, '..'); at.length >= join(first, '..').length; at = join(at, '..')) {
      await this.#directories.sync(at)
      if (at === join(at, '..')) break
    }
  }

  /** The current answer, where there is one; a damaged one is reported and then as good as none. */
  async #current(directory: string, sliceId: string): Promise<Current | undefined> {
    try {
      return await this.#read(directory, sliceId, 0)
    } catch (error) {
      const compression = await this.#formOf(directory, sliceId, 0)
      if (!(error instanceof Damage) || !compression) throw error
      const path = join(directory, answerName(sliceId, 0, compression))
      this.#onEvent({ event: 'archive_damaged_replaced', level: 'warn', path, detail: error.message })
      return { compression, answer: undefined }
    }
  }

  async get(folder: ArchiveFolder, sliceId: string, version = 0): Promise<ArchivedResponse | undefined> {
    const directory = this.#directoryOf(folder)
    const path = join(directory, answerName(sliceId, version, 'none'))
    try {
      const found = await this.#read(directory, sliceId, version)
      return found && { sliceId, version, ...found.answer }
    } catch (error) {
      if (!(error instanceof Damage)) throw readFault(error, path)
      const form = (await this.#formOf(directory, sliceId, version)) ?? 'none'
      throw corrupt(join(directory, answerName(sliceId, version, form)), error.message)
    }
  }

  /** @throws Damage */
  async #read(
    directory: string,
    sliceId: string,
    version: number,
  ): Promise<{ compression: Compression; answer: Answer } | undefined> {
    for (const compression of forms) {
      const file = await this.#readFile(join(directory, answerName(sliceId, version, compression)))
      if (!file) continue
      const plain = compression === 'zstd' ? await decompress(file) : file
      return { compression, answer: decodeAnswer(plain, sliceId) }
    }
    return undefined
  }

  async #readFile(path: string): Promise<Uint8Array | undefined> {
    try {
      return await this.#files.readFile(path)
    } catch (error) {
      const code = faultCode(error)
      if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
      if (code === 'EISDIR') throw new Damage('is a directory')
      throw error
    }
  }

  /** Which of the two forms is there; the plain one where both are. */
  async #formOf(directory: string, sliceId: string, version: number): Promise<Compression | undefined> {
    for (const compression of forms) {
      const size = await this.#files.size(join(directory, answerName(sliceId, version, compression)))
      if (size !== undefined) return compression
    }
    return undefined
  }

  async *list(folder: ArchiveFolder, options?: { readonly sizes?: boolean }): AsyncIterable<ArchivedFile> {
    const directory = this.#directoryOf(folder)
    try {
      for await (const { name, kind } of this.#files.list(directory)) {
        const path = join(directory, name)
        const answer = kind === 'file' ? parseAnswerName(name) : undefined
        if (!answer) {
          if (kind === 'file' && this.#isLeftOver(name)) await this.#files.remove(path).catch(() => {})
          continue
        }
        const bytes = options?.sizes ? await this.#files.size(path) : undefined
        yield bytes === undefined ? answer : { ...answer, bytes }
      }
    } catch (error) {
      if (faultCode(error) !== 'ENOENT') throw readFault(error, directory)
    }
  }

  async check(folder: ArchiveFolder, files: readonly ArchivedFile[]): Promise<readonly CheckedAnswer[]> {
    const directory = this.#directoryOf(folder)
    const jobs = files.map(
      ({ sliceId, version }): CheckJob => ({
        sliceId,
        version,
        names: forms.map((form) => answerName(sliceId, version, form)),
      }),
    )
    const paths = folderPath(folder)
    const checked = await this.#checkers.run(directory, jobs, (path) => this.#readFile(path))
    return checked.map(({ name, error, ...one }) => {
      if (error) throw readFault(error, join(directory, name))
      const there = one.answer ?? one.damage
      return { ...one, path: there ? `${paths}/${name}` : this.pathOf(folder, one.sliceId, one.version) }
    })
  }

  async putEvidence(folder: ArchiveFolder, name: string, evidence: Evidence): Promise<void> {
    return this.#evidence.put(folder, name, evidence)
  }

  async evidence(folder: ArchiveFolder, name: string): Promise<Evidence | undefined> {
    return this.#evidence.get(folder, name)
  }

  async evidenceNames(folder: ArchiveFolder): Promise<readonly string[]> {
    return this.#evidence.names(folder)
  }

  async stamp(folder: ArchiveFolder): Promise<string | undefined> {
    const directory = this.#directoryOf(folder)
    try {
      return await this.#files.stamp(directory)
    } catch (error) {
      throw readFault(error, directory)
    }
  }

  #isLeftOver(name: string): boolean {
    return this.#sweep && name.startsWith(TEMPORARY_PREFIX) && !name.startsWith(this.#temporaryStart)
  }

  async *folders(): AsyncIterable<ArchiveFolder> {
    for await (const folder of walkFolders(this.#files, this.#root)) {
      for await (const _answer of this.list(folder)) {
        yield folder
        break
      }
    }
  }

  pathOf(folder: ArchiveFolder, sliceId: string, version = 0): string {
    return `${folderPath(folder)}/${answerName(sliceId, version, this.#compression)}`
  }

  #directoryOf(folder: ArchiveFolder): string {
    return join(this.#root, folderPath(folder))
  }
}
