import type { ArchivedResponse } from '../archive.ts'
import { Damage, decodeAnswer } from './shape.ts'
import { decodeTail, grewFrom } from './tail.ts'
import { decompress } from './zstd.ts'

/** An answer to look at: the names its file may have, the likelier first. */
export interface CheckJob {
  readonly sliceId: string
  readonly version: number
  readonly names: readonly string[]
}

export interface Checked {
  readonly sliceId: string
  readonly version: number
  readonly name: string
  readonly answer?: Omit<ArchivedResponse, 'body' | 'parts'>
  readonly grewFrom?: readonly string[]
  readonly damage?: string
  /** What the system threw, where it failed. */
  readonly error?: Error
}

/** Gives a file's bytes, nothing where there is none; throws `Damage` for what is no file. */
export type ReadAnswer = (path: string) => Uint8Array | undefined | Promise<Uint8Array | undefined>

/** Reads one answer and lets go of its bytes. */
export async function checkAnswer(directory: string, job: CheckJob, read: ReadAnswer): Promise<Checked> {
  const { sliceId, version } = job
  for (const name of job.names) {
    const at = { sliceId, version, name }
    try {
      const file = await read(`${directory}/${name}`)
      if (!file) continue
      const plain = name.endsWith('.zst') ? await decompress(file) : file
      if (!name.includes('.tail.')) {
        const { meta, sha256 } = decodeAnswer(plain, sliceId)
        return { ...at, answer: { sliceId, version, meta, sha256 } }
      }
      const { answer, parts } = decodeTail(plain, sliceId, version > 0)
      const { meta, sha256 } = answer
      return { ...at, answer: { sliceId, version, meta, sha256 }, ...grewFrom(parts) }
    } catch (error) {
      if (error instanceof Damage) return { ...at, damage: error.message }
      return { ...at, error: error instanceof Error ? error : new Error(String(error)) }
    }
  }
  return { sliceId, version, name: job.names[0]! }
}
