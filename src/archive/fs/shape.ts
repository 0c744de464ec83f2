import { isUtf8 } from 'node:buffer'
import { hash, webcrypto } from 'node:crypto'
import { sliceId as sliceIdOf } from '../../model/slice.ts'
import { type EpochMs, iso } from '../../model/time.ts'
import type { AnswerMeta, ArchivedResponse } from '../archive.ts'

/*
 * An answer's file, a JSON document that is read by position and never written from parsed JSON:
 *
 *   {"meta":{"url":…,"slice":…,…,"bytes":170123,"check":"0123456789abcdef"},
 *   "data":<the body, byte for byte>
 *   }
 *
 * `sha256` and `bytes` in the meta guard the body, `check` guards the line it ends, the rest is fixed text: no byte can
 * change unseen. A body that cannot stand in a JSON document follows `"data":null,"raw_base64":` as base64.
 */

const META_START = '{"meta":'
const DATA = Buffer.from('"data":')
const BASE64 = Buffer.from('"data":null,"raw_base64":"')
const END = Buffer.from('\n}\n')
const BASE64_END = Buffer.from('"\n}\n')
const CHECK_CHARACTERS = 16
const CHECK_TAIL = /^,"check":"[0-9a-f]{16}"\},$/
const CHECK_TAIL_BYTES = ',"check":""},'.length + CHECK_CHARACTERS

const NEWLINE = 0x0a

/** What makes a file no answer, in a few words. Turned into `archive.corrupt` where the file's name is known. */
export class Damage extends Error {}

export type Answer = Pick<ArchivedResponse, 'meta' | 'sha256' | 'body'>

export const sha256 = (bytes: Uint8Array): string => hash('sha256', bytes, 'hex')

/** The same of bytes as they are now, worked out on another thread: for a body, and where many come at once. */
export async function sha256Elsewhere(bytes: Uint8Array): Promise<string> {
  const digest = await webcrypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>)
  return Buffer.from(digest).toString('hex')
}

const checkOf = (line: Uint8Array): string => sha256(line).slice(0, CHECK_CHARACTERS)

/** The file of an answer, in parts that share memory with `body`. */
export function encodeAnswer({ meta, sha256: bodyHash, body }: Answer): Uint8Array[] {
  const fields = {
    url: meta.url,
    slice: meta.sliceKey,
    fetched_at: iso(meta.fetchedAtMs),
    requested_at: iso(meta.requestedAtMs),
    http_status: meta.httpStatus,
    venue_time: iso(meta.venueTimeMs),
    ...(meta.earlierMs && { also_at: meta.earlierMs.map(iso) }),
    ...(meta.firstFetchedAtMs !== undefined && { first_fetched_at: iso(meta.firstFetchedAtMs) }),
    ...(meta.supersedes !== undefined && { supersedes: meta.supersedes }),
    ...(meta.window && { window: [iso(meta.window.startMs), iso(meta.window.endMs)] }),
    ...(meta.extends !== undefined && { extends: meta.extends }),
    sha256: bodyHash,
    bytes: body.byteLength,
  }
  const line = Buffer.from(META_START + JSON.stringify(fields).slice(0, -1))
  const tail = Buffer.from(`,"check":"${checkOf(line)}"},\n`)
  return mayStandInJson(body)
    ? [line, tail, DATA, body, END]
    : [line, tail, BASE64, Buffer.from(viewOf(body).toString('base64')), BASE64_END]
}

/**
 * Reads a file back. The body shares memory with `file`.
 *
 * @throws Damage when any byte is not as it was written.
 */
export function decodeAnswer(file: Uint8Array, sliceId: string): Answer {
  const { answer, bytes } = readAnswer(file, sliceId)
  if (bytes !== file.length) throw new Damage('was cut or has a changed end')
  return answer
}

/**
 * Reads the document at the start of a file, and says how many bytes it has.
 *
 * @throws Damage when any of them is not as it was written.
 */
export function readAnswer(file: Uint8Array, sliceId: string): { answer: Answer; bytes: number } {
  const bytes = viewOf(file)
  const lineEnd = bytes.indexOf(NEWLINE)
  if (lineEnd < 0) throw new Damage(bytes.length === 0 ? 'is empty' : 'has no meta line')
  const { meta, bodyHash, bodyBytes } = decodeMeta(bytes.subarray(0, lineEnd))
  if (sliceIdOf(meta.sliceKey) !== sliceId) throw new Damage(`holds another slice, ${meta.sliceKey}`)
  const { body, end } = decodeBody(bytes.subarray(lineEnd + 1), bodyBytes)
  if (sha256(body) !== bodyHash) throw new Damage('holds data that does not match its sha256')
  return { answer: { meta, sha256: bodyHash, body }, bytes: lineEnd + 1 + end }
}

interface DecodedMeta {
  readonly meta: AnswerMeta
  readonly bodyHash: string
  readonly bodyBytes: number
}

function decodeMeta(line: Buffer): DecodedMeta {
  const guarded = line.subarray(0, -CHECK_TAIL_BYTES)
  const tail = line.subarray(-CHECK_TAIL_BYTES).toString('latin1')
  if (!CHECK_TAIL.test(tail)) throw new Damage('has no meta line of ours')
  if (tail !== `,"check":"${checkOf(guarded)}"},`) throw new Damage('has a changed meta line')
  const fields = parseFields(`${guarded.toString('utf8').slice(META_START.length)}}`)
  const text = (name: string): string => {
    const value = fields[name]
    if (typeof value !== 'string') throw new Damage(`has no ${name} in its meta`)
    return value
  }
  const number = (name: string, value: unknown): number => {
    if (typeof value !== 'number' || !Number.isSafeInteger(value))
      throw new Damage(`has no ${name} in its meta`)
    return value
  }
  const time = (name: string): EpochMs => number(name, Date.parse(text(name)))
  const window = fields.window
  if (window !== undefined && !(Array.isArray(window) && window.length === 2))
    throw new Damage('has no window in its meta')
  const edge = (at: unknown): EpochMs => number('window', Date.parse(String(at)))
  const also = fields.also_at
  if (also !== undefined && !Array.isArray(also)) throw new Damage('has no also_at in its meta')
  return {
    meta: {
      url: text('url'),
      sliceKey: text('slice'),
      fetchedAtMs: time('fetched_at'),
      requestedAtMs: time('requested_at'),
      httpStatus: number('http_status', fields.http_status),
      venueTimeMs: time('venue_time'),
      ...(fields.first_fetched_at !== undefined && { firstFetchedAtMs: time('first_fetched_at') }),
      ...(fields.supersedes !== undefined && { supersedes: text('supersedes') }),
      ...(window && { window: { startMs: edge(window[0]), endMs: edge(window[1]) } }),
      ...(fields.extends !== undefined && { extends: text('extends') }),
      ...(also && { earlierMs: also.map((at: unknown) => number('also_at', Date.parse(String(at)))) }),
    },
    bodyHash: text('sha256'),
    bodyBytes: number('bytes', fields.bytes),
  }
}

function parseFields(json: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(json) as Readonly<Record<string, unknown>>
  } catch {
    throw new Damage('has no meta line of ours')
  }
}

/** The body after the meta line, of so many bytes, and where the document ends. */
function decodeBody(rest: Buffer, bodyBytes: number): { body: Buffer; end: number } {
  if (startsWith(rest, BASE64)) {
    const text = between(rest, BASE64, Math.ceil(bodyBytes / 3) * 4, BASE64_END)
    const body = Buffer.from(text.toString('latin1'), 'base64')
    if (body.toString('base64') !== text.toString('latin1')) throw new Damage('holds broken base64')
    return { body, end: BASE64.length + text.length + BASE64_END.length }
  }
  if (!startsWith(rest, DATA)) throw new Damage('has no data after its meta line')
  return { body: between(rest, DATA, bodyBytes, END), end: DATA.length + bodyBytes + END.length }
}

function between(bytes: Buffer, start: Buffer, length: number, end: Buffer): Buffer {
  const last = start.length + length
  if (!bytes.subarray(last, last + end.length).equals(end)) throw new Damage('was cut or has a changed end')
  return bytes.subarray(start.length, last)
}

const startsWith = (bytes: Buffer, start: Buffer): boolean => bytes.subarray(0, start.length).equals(start)

const viewOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const isJsonSpace = (byte: number): boolean =>
  byte === 0x20 || (byte >= 0x09 && byte <= 0x0d && byte !== 0x0b && byte !== 0x0c)

/**
 * Whether the body looks like an array or object in UTF-8, so that the whole file is a JSON document if the body is one.
 * Sources have parsed it by then; here a look at both ends is enough, for nothing that is read back depends on it.
 */
function mayStandInJson(body: Uint8Array): boolean {
  let first = 0
  let last = body.length - 1
  while (first < last && isJsonSpace(body[first]!)) first++
  while (last > first && isJsonSpace(body[last]!)) last--
  if (last <= first) return false
  const open = body[first]
  const close = body[last]
  const matching = (open === 0x5b && close === 0x5d) || (open === 0x7b && close === 0x7d)
  return matching && isUtf8(body)
}
