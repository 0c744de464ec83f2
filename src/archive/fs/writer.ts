import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { OnEvent } from '../../model/events.ts'
import {
  type FileSystem,
  faultCode,
  SharedSync,
  TEMPORARY_PREFIX,
  writeTemporary,
} from '../../model/filesystem.ts'
import { type AnswerMeta, repeated } from '../archive.ts'
import { answerName, type Compression, type Form, isTail } from '../paths.ts'
import type { AnswerReader, Found } from './reader.ts'
import { type Answer, Damage, encodeAnswer, sha256 } from './shape.ts'
import { encodePart, extendedHash, type Tail } from './tail.ts'
import { compress } from './zstd.ts'

interface Current extends Omit<Found, 'answer'> {
  /** `undefined` when the file is damaged. */
  readonly answer: Answer | undefined
}

/** The end of a tail this process wrote to. */
interface TailEnd {
  readonly bytes: number
  readonly sha256: string
  readonly supersedes: string | undefined
}

const endOf = ({ bytes, answer }: Tail): TailEnd => ({
  bytes,
  sha256: answer.sha256,
  supersedes: answer.meta.supersedes,
})

/** Writes answers so that each step survives a power cut. Calls of one slice come one after another. */
export class AnswerWriter {
  readonly #files: FileSystem
  readonly #answers: AnswerReader
  readonly #compression: Compression
  readonly #onEvent: OnEvent
  /** What the names of this process's own temporary files begin with. */
  readonly temporaryStart = `${TEMPORARY_PREFIX}${process.pid}-${randomBytes(3).toString('hex')}-`
  #temporaries = 0
  readonly #ready = new Map<string, Promise<void>>()
  readonly #directories: SharedSync
  readonly #tails = new Map<string, TailEnd>()

  constructor(
    files: FileSystem,
    answers: AnswerReader,
    options: { readonly compression: Compression; readonly onEvent: OnEvent },
  ) {
    this.#files = files
    this.#answers = answers
    this.#compression = options.compression
    this.#onEvent = options.onEvent
    this.#directories = new SharedSync((path) => files.syncDirectory(path))
  }

  async put(directory: string, sliceId: string, fresh: Answer): Promise<AnswerMeta> {
    await this.#makeReady(directory)
    const current = await this.#current(directory, sliceId)
    const same = current?.answer?.sha256 === fresh.sha256 && !isTail(current.form)
    const answer = same
      ? { ...fresh, meta: repeated(fresh.meta, current!.answer!.meta) }
      : await this.#after(directory, sliceId, current?.answer, fresh)
    const form = current && !isTail(current.form) ? current.form : this.#compression
    const plain = encodeAnswer(answer)
    await this.#become(
      directory,
      sliceId,
      form,
      form === 'zstd' ? await compress(plain) : plain,
      same ? undefined : current,
    )
    return answer.meta
  }

  /** Writes the current answer anew, after the one it takes the place of has got a name of its own. */
  async #become(
    directory: string,
    sliceId: string,
    form: Form,
    parts: readonly Uint8Array[],
    before: Current | undefined,
  ): Promise<void> {
    const temporary = await this.#writeTemporary(directory, parts)
    try {
      if (before?.answer) await this.#keepOlder(directory, sliceId, before as Found)
      await this.#files.rename(temporary, join(directory, answerName(sliceId, 0, form)))
    } catch (error) {
      await this.#files.remove(temporary).catch(() => {})
      throw error
    }
    await this.#directories.sync(directory)
    if (!before || before.form === form) return
    this.#tails.delete(join(directory, sliceId))
    await this.#files.remove(join(directory, answerName(sliceId, 0, before.form)))
    await this.#directories.sync(directory)
  }

  async extend(directory: string, sliceId: string, part: Answer): Promise<Omit<Answer, 'body'>> {
    await this.#makeReady(directory)
    const key = join(directory, sliceId)
    const known = this.#tails.get(key)
    const current = known ? undefined : await this.#current(directory, sliceId)
    const end = known ?? (current?.tail && endOf(current.tail))
    if (!end) return this.#beginTail(directory, sliceId, part, current)
    this.#tails.delete(key) // until what is in the file is known again
    const document = encodePart(part, end.sha256)
    const path = join(directory, answerName(sliceId, 0, 'tail'))
    try {
      const file = await this.#files.extend(path, end.bytes)
      try {
        await file.write(document)
        await file.sync()
      } finally {
        await file.close()
      }
    } catch (error) {
      // Somebody removed the folder to reset the series.
      if (known && faultCode(error) === 'ENOENT') return this.extend(directory, sliceId, part)
      throw error
    }
    return this.#grown(key, part, document, end)
  }

  async #beginTail(
    directory: string,
    sliceId: string,
    part: Answer,
    current: Current | undefined,
  ): Promise<Omit<Answer, 'body'>> {
    const first = await this.#after(directory, sliceId, current?.answer, part)
    const document = encodePart(first, undefined)
    await this.#become(directory, sliceId, 'tail', document, current)
    return this.#grown(join(directory, sliceId), first, document, undefined)
  }

  #grown(key: string, part: Answer, document: readonly Uint8Array[], end: TailEnd | undefined) {
    const { meta } = part
    const supersedes = end ? end.supersedes : meta.supersedes
    const hash = extendedHash(end?.sha256, part.sha256)
    const bytes = (end?.bytes ?? 0) + document.reduce((sum, { byteLength }) => sum + byteLength, 0)
    this.#tails.set(key, { bytes, sha256: hash, supersedes })
    const chained = {
      ...meta,
      ...(supersedes !== undefined && { supersedes }),
      ...(end && { extends: end.sha256 }),
    }
    return { meta: chained, sha256: hash }
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
    for (let version = 1; await this.#answers.formOf(directory, sliceId, version); version++) {
      const older = await this.#answers.read(directory, sliceId, version).catch(() => undefined)
      newest = older?.answer.sha256 ?? newest
    }
    return newest
  }

  /** Gives the current answer a second name before another takes its own. */
  async #keepOlder(directory: string, sliceId: string, { form, answer: older, tail }: Found): Promise<void> {
    let version = 1
    while (await this.#answers.formOf(directory, sliceId, version)) version++
    if (version > 1) {
      // An interrupted put may have kept it already.
      const last = await this.#answers.read(directory, sliceId, version - 1).catch(() => undefined)
      if (last?.answer?.sha256 === older.sha256) return
    }
    if (tail) await this.#sealTail(directory, sliceId, version, tail)
    else {
      const name = (n: number) => join(directory, answerName(sliceId, n, form))
      await this.#files.link(name(0), name(version))
    }
    await this.#directories.sync(directory)
  }

  /** Writes a tail, without the rest of a part that was cut short, under the name it has from now on. */
  async #sealTail(directory: string, sliceId: string, version: number, { parts }: Tail): Promise<void> {
    const plain = parts.flatMap(({ meta, body }) => encodeAnswer({ meta, body, sha256: sha256(body) }))
    const zstd = this.#compression === 'zstd'
    const temporary = await this.#writeTemporary(directory, zstd ? await compress(plain) : plain)
    const name = answerName(sliceId, version, zstd ? 'tail-zstd' : 'tail')
    await this.#files.rename(temporary, join(directory, name))
  }

  async #writeTemporary(directory: string, parts: readonly Uint8Array[]): Promise<string> {
    const temporary = join(directory, `${this.temporaryStart}${this.#temporaries++}`)
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
      return await this.#answers.read(directory, sliceId, 0)
    } catch (error) {
      const form = await this.#answers.formOf(directory, sliceId, 0)
      if (!(error instanceof Damage) || !form) throw error
      const path = join(directory, answerName(sliceId, 0, form))
      this.#onEvent({ event: 'archive_damaged_replaced', level: 'warn', path, detail: error.message })
      return { form, answer: undefined }
    }
  }
}
