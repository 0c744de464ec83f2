import { hash } from 'node:crypto'
import type { ArchivedPart } from '../archive.ts'
import { type Answer, Damage, encodeAnswer, readAnswer } from './shape.ts'

/*
 * A tail's file: the documents of its answers one after another, each as `shape.ts` writes it. From the second on each
 * names the hash of the tail before it, so that none can vanish, change or move unseen.
 */

/** A tail as it lies in its file. */
export interface Tail {
  readonly parts: readonly ArchivedPart[]
  /** Of the parts: what is behind is the rest of one that was cut short. */
  readonly bytes: number
  /** The answer as others see it: what is known of the last part, and what the first took the place of. */
  readonly answer: Answer
}

/** The hash of a tail that grew by a body. */
export const extendedHash = (before: string | undefined, bodyHash: string): string =>
  before === undefined ? bodyHash : hash('sha256', `${before} ${bodyHash}`, 'hex')

/** The document of one more part. `before` is the hash of the tail so far. */
export function encodePart(part: Answer, before: string | undefined): Uint8Array[] {
  return encodeAnswer(before === undefined ? part : { ...part, meta: { ...part.meta, extends: before } })
}

/**
 * Reads a tail back.
 *
 * @param sealed whether nothing may be written on any more: then every byte has to be there. Else a last part that was
 *   cut short is left out.
 * @throws Damage when any byte of it is not as it was written.
 */
export function decodeTail(file: Uint8Array, sliceId: string, sealed: boolean): Tail {
  const parts: ArchivedPart[] = []
  let at = 0
  while (at < file.length) {
    const before = parts.at(-1)?.sha256
    try {
      const { answer, bytes } = readAnswer(file.subarray(at), sliceId)
      if (answer.meta.extends !== before) throw new Damage('lacks a part, or has one twice')
      parts.push({ ...answer, sha256: extendedHash(before, answer.sha256) })
      at += bytes
    } catch (error) {
      if (!(error instanceof Damage) || sealed || hasWhole(file.subarray(at + 1), sliceId)) throw error
      break
    }
  }
  const last = parts.at(-1)
  if (!last) throw new Damage(file.length === 0 ? 'is empty' : 'has no meta line')
  return { parts, bytes: at, answer: { ...last, meta: metaOf(parts) } }
}

function metaOf(parts: readonly ArchivedPart[]): Answer['meta'] {
  const { supersedes } = parts[0]!.meta
  const { supersedes: _, ...last } = parts.at(-1)!.meta
  return supersedes === undefined ? last : { ...last, supersedes }
}

/** The hashes a tail had before its last part, where it has several. */
export const grewFrom = (parts: readonly ArchivedPart[]) =>
  parts.length > 1 ? { grewFrom: parts.slice(0, -1).map(({ sha256 }) => sha256) } : {}

const START = Buffer.from('{"meta":')

/** Whether a whole document follows: then what could not be read before it was not just cut short. */
function hasWhole(rest: Uint8Array, sliceId: string): boolean {
  const bytes = Buffer.from(rest.buffer, rest.byteOffset, rest.byteLength)
  for (let at = bytes.indexOf(START); at >= 0; at = bytes.indexOf(START, at + 1)) {
    try {
      readAnswer(bytes.subarray(at), sliceId)
      return true
    } catch (error) {
      if (!(error instanceof Damage)) throw error
    }
  }
  return false
}
