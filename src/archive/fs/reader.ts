import { join } from 'node:path'
import { type FileSystem, faultCode } from '../../model/filesystem.ts'
import { answerName, type Form, isTail } from '../paths.ts'
import { type Answer, Damage, decodeAnswer } from './shape.ts'
import { decodeTail, type Tail } from './tail.ts'
import { decompress } from './zstd.ts'

/** The current answer, and older ones, in the order they count where several are there. */
const currentForms: readonly Form[] = ['none', 'zstd', 'tail']
const olderForms: readonly Form[] = ['none', 'zstd', 'tail', 'tail-zstd']

/** The forms a version may have; the one that counts first. */
export const formsOf = (version: number): readonly Form[] => (version === 0 ? currentForms : olderForms)

/** An answer as it was found. */
export interface Found {
  readonly form: Form
  readonly answer: Answer
  readonly tail?: Tail
}

/** Finds and reads answers, whatever form they have. */
export class AnswerReader {
  readonly #files: FileSystem

  constructor(files: FileSystem) {
    this.#files = files
  }

  /** @throws Damage */
  async read(directory: string, sliceId: string, version: number): Promise<Found | undefined> {
    for (const form of formsOf(version)) {
      const path = join(directory, answerName(sliceId, version, form))
      // Most answers that are put have nothing to replace, and a look costs far less than an opening that fails.
      const file = (await this.#isThere(path)) ? await this.readFile(path) : undefined
      if (!file) continue
      const plain = form === 'zstd' || form === 'tail-zstd' ? await decompress(file) : file
      if (!isTail(form)) return { form, answer: decodeAnswer(plain, sliceId) }
      const tail = decodeTail(plain, sliceId, version > 0)
      return { form, answer: tail.answer, tail }
    }
    return undefined
  }

  /** `undefined` where there is none. @throws Damage */
  async readFile(path: string): Promise<Uint8Array | undefined> {
    try {
      return await this.#files.readFile(path)
    } catch (error) {
      const code = faultCode(error)
      if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
      if (code === 'EISDIR') throw new Damage('is a directory')
      throw error
    }
  }

  /** Which of the forms is there; the one that counts where several are. */
  async formOf(directory: string, sliceId: string, version: number): Promise<Form | undefined> {
    for (const form of formsOf(version)) {
      if (await this.#isThere(join(directory, answerName(sliceId, version, form)))) return form
    }
    return undefined
  }

  async #isThere(path: string): Promise<boolean> {
    try {
      return (await this.#files.size(path)) !== undefined
    } catch (error) {
      if (faultCode(error) === 'ENOTDIR') return false
      throw error
    }
  }
}
