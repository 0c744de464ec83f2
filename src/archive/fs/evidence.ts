import { join } from 'node:path'
import { type FileSystem, faultCode, writeFileAtomic } from '../../model/filesystem.ts'
import type { ArchiveFolder, Evidence } from '../archive.ts'
import { evidenceFolder, evidencePath, parseEvidenceName } from '../paths.ts'
import { corrupt, readFault, writeFault } from './faults.ts'
import { sha256 } from './shape.ts'

/*
 * Evidence as files, `<series folder>/evidence/<name>.json`: one JSON document whose last field guards all before it.
 *
 *   {"evidence":{…},
 *   "sha256":"<of the first line>"}
 */

const START = '{"evidence":'
const TAIL = /^"sha256":"([0-9a-f]{64})"\}\n$/

export class EvidenceFiles {
  readonly #root: string
  readonly #files: FileSystem
  readonly #temporaryStart: string
  #temporaries = 0
  /** One after another: a later one must not be overtaken by an earlier. */
  #last: Promise<void> = Promise.resolve()

  constructor(root: string, files: FileSystem, temporaryStart: string) {
    this.#root = root
    this.#files = files
    this.#temporaryStart = temporaryStart
  }

  put(folder: ArchiveFolder, name: string, evidence: Evidence): Promise<void> {
    const path = join(this.#root, evidencePath(folder, name))
    const line = `${START}${JSON.stringify(evidence)},\n`
    const text = `${line}"sha256":"${sha256(Buffer.from(line))}"}\n`
    const turn = this.#last.then(() => this.#write(path, text))
    this.#last = turn.catch(() => {})
    return turn
  }

  async #write(path: string, text: string): Promise<void> {
    const directory = join(path, '..')
    try {
      const first = await this.#files.makeDirectory(directory)
      if (first !== undefined) {
        for (let at = join(directory, '..'); at.length >= join(first, '..').length; at = join(at, '..')) {
          await this.#files.syncDirectory(at)
          if (at === join(at, '..')) break
        }
      }
      const temporary = join(directory, `${this.#temporaryStart}evidence-${this.#temporaries++}`)
      await writeFileAtomic(this.#files, path, [Buffer.from(text)], { temporary })
    } catch (error) {
      throw writeFault(error, path)
    }
  }

  async get(folder: ArchiveFolder, name: string): Promise<Evidence | undefined> {
    const path = join(this.#root, evidencePath(folder, name))
    const text = await this.#read(path)
    if (text === undefined) return undefined
    const end = text.indexOf('\n') + 1
    const line = text.subarray(0, end)
    const guard = TAIL.exec(text.subarray(end).toString('latin1'))
    if (end === 0 || guard?.[1] !== sha256(line)) throw corrupt(path, 'is not the evidence that was written')
    return JSON.parse(line.subarray(START.length, -2).toString()) as Evidence
  }

  async names(folder: ArchiveFolder): Promise<readonly string[]> {
    const directory = join(this.#root, evidenceFolder(folder))
    const names: string[] = []
    try {
      for await (const entry of this.#files.list(directory)) {
        const name = parseEvidenceName(entry.name)
        if (name !== undefined) names.push(name)
      }
    } catch (error) {
      if (faultCode(error) !== 'ENOENT') throw readFault(error, directory)
    }
    return names
  }

  async #read(path: string): Promise<Buffer | undefined> {
    try {
      const bytes = await this.#files.readFile(path)
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    } catch (error) {
      const code = faultCode(error)
      if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
      throw readFault(error, path)
    }
  }
}
