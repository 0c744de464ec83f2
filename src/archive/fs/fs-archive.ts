import { join, resolve } from 'node:path'
import { type OnEvent, silent } from '../../model/events.ts'
import { type FileSystem, faultCode, TEMPORARY_PREFIX } from '../../model/filesystem.ts'
import type { RawResponse } from '../../model/http.ts'
import type { EpochMs, TimeRange } from '../../model/time.ts'
import {
  type AnswerName,
  type Archive,
  type ArchivedFile,
  type ArchivedResponse,
  type ArchiveFolder,
  answerMeta,
  type CheckedAnswer,
  type Evidence,
} from '../archive.ts'
import { answerName, type Compression, folderPath, parseAnswerName } from '../paths.ts'
import { Checkers, type CheckJob } from './check.ts'
import { EvidenceFiles } from './evidence.ts'
import { corrupt, readFault, writeFault } from './faults.ts'
import { AnswerReader, formsOf } from './reader.ts'
import { type Answer, Damage, sha256, sha256Elsewhere } from './shape.ts'
import { Turns, TurnsByKey } from './turns.ts'
import { walkFolders } from './walk.ts'
import { AnswerWriter } from './writer.ts'

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

class FsArchive implements Archive {
  readonly #root: string
  readonly #compression: Compression
  readonly #files: FileSystem
  readonly #sweep: boolean
  readonly #turns = new Turns(PUTS_MAX)
  readonly #perSlice = new TurnsByKey()
  readonly #evidence: EvidenceFiles
  readonly #checkers: Checkers
  readonly #answers: AnswerReader
  readonly #writer: AnswerWriter

  constructor({ root, compression, files, onEvent = silent, sweep = false, threads = 0 }: FsArchiveOptions) {
    this.#root = resolve(root)
    this.#compression = compression
    this.#files = files
    this.#sweep = sweep
    this.#checkers = new Checkers(threads)
    this.#answers = new AnswerReader(files)
    this.#writer = new AnswerWriter(files, this.#answers, { compression, onEvent })
    this.#evidence = new EvidenceFiles(this.#root, files, this.#writer.temporaryStart)
  }

  async put(
    folder: ArchiveFolder,
    slice: AnswerName,
    response: RawResponse,
    venueTimeMs: EpochMs,
  ): Promise<Omit<ArchivedResponse, 'body'>> {
    const directory = this.#directoryOf(folder)
    const path = join(directory, answerName(slice.id, 0, 'none'))
    const meta = answerMeta(slice, response, venueTimeMs)
    const { body } = response
    const replace = async () => {
      const fresh: Answer = { meta, sha256: await sha256Elsewhere(body), body }
      const kept = await this.#writer.put(directory, slice.id, fresh)
      return { sliceId: slice.id, meta: kept, sha256: fresh.sha256, version: 0 }
    }
    try {
      return await this.#perSlice.run(path, () => this.#turns.run(replace))
    } catch (error) {
      throw writeFault(error, path)
    }
  }

  async extend(
    folder: ArchiveFolder,
    slice: AnswerName,
    response: RawResponse,
    venueTimeMs: EpochMs,
    window: TimeRange,
  ): Promise<Omit<ArchivedResponse, 'body'>> {
    const directory = this.#directoryOf(folder)
    const path = join(directory, answerName(slice.id, 0, 'none'))
    const meta = { ...answerMeta(slice, response, venueTimeMs), window }
    const part: Answer = { meta, sha256: sha256(response.body), body: response.body }
    try {
      const grow = () => this.#turns.run(() => this.#writer.extend(directory, slice.id, part))
      return { sliceId: slice.id, version: 0, ...(await this.#perSlice.run(path, grow)) }
    } catch (error) {
      throw writeFault(error, path)
    }
  }

  async get(folder: ArchiveFolder, sliceId: string, version = 0): Promise<ArchivedResponse | undefined> {
    const directory = this.#directoryOf(folder)
    const path = join(directory, answerName(sliceId, version, 'none'))
    try {
      const found = await this.#answers.read(directory, sliceId, version)
      return found && { sliceId, version, ...found.answer, ...(found.tail && { parts: found.tail.parts }) }
    } catch (error) {
      if (!(error instanceof Damage)) throw readFault(error, path)
      const form = (await this.#answers.formOf(directory, sliceId, version)) ?? 'none'
      throw corrupt(join(directory, answerName(sliceId, version, form)), error.message)
    }
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
        names: formsOf(version).map((form) => answerName(sliceId, version, form)),
      }),
    )
    const paths = folderPath(folder)
    const checked = await this.#checkers.run(directory, jobs, (path) => this.#answers.readFile(path))
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
    return this.#sweep && name.startsWith(TEMPORARY_PREFIX) && !name.startsWith(this.#writer.temporaryStart)
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
