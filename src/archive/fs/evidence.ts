import { join } from 'node:path'
import { type FileSystem, faultCode, writeFileAtomic } from '../../model/filesystem.ts'
import type { ArchiveFolder, Evidence } from '../archive.ts'
import { evidenceFolder, evidencePath, parseEvidenceName } from '../paths.ts'
import { corrupt, readFault, writeFault } from './faults.ts'
import { sha256 } from './shape.ts'

/*
 * Evidence as files, `<series folder>/evidence/<name>.json`: one JSON document that says whose it is, and whose last
 * field guards all before it.
 *
 *   {"evidence":{…},
 *   "of":"<its own path, relative to the root>",
 *   "sha256":"<of the two lines before>"}
 */

const START = '{"evidence":'
const OF = /^"of":(".*"),\n$/
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
    const of = evidencePath(folder, name)
    const guarded = `${START}${JSON.stringify(evidence)},\n"of":${JSON.stringify(of)},\n`
    const text = `${guarded}"sha256":"${sha256(Buffer.from(guarded))}"}\n`
    const turn = this.#last.then(() => this.#write(join(this.#root, of), text))
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
    const of = evidencePath(folder, name)
    const path = join(this.#root, of)
    const text = await this.#read(path)
    if (text === undefined) return undefined
    const end = text.indexOf('\n') + 1
    const ofEnd = text.indexOf('\n', end) + 1
    const guard = TAIL.exec(text.subarray(ofEnd).toString('latin1'))
    if (end === 0 || guard?.[1] !== sha256(text.subarray(0, ofEnd)))
      throw corrupt(path, 'is not the evidence that was written')
    const [, whose = '""'] = OF.exec(text.subarray(end, ofEnd).toString()) ?? []
    if (JSON.parse(whose) !== of) throw corrupt(path, `is evidence of another series, ${whose}`)
    return JSON.parse(text.subarray(START.length, end - 2).toString()) as Evidence
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
      if (code === 'EISDIR') throw corrupt(path, 'is a directory')
      throw readFault(error, path)
    }
  }
}
