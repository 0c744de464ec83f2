import type { RawResponse } from '../model/http.ts'
import type { Slice } from '../model/slice.ts'
import type { EpochMs, TimeRange } from '../model/time.ts'

/** Where a slice's answers lie: `<venue>/<directory>/raw/<symbol>/<timeframe>/responses/<slice id>.json`. */
export interface ArchiveFolder {
  readonly venue: string
  /** The endpoint's folder: `klines`. */
  readonly directory: string
  readonly symbol: string
  /** `1m`; `by-id` for endpoints that have no timeframe and page by id. */
  readonly timeframe: string
}

/** What names an answer: a slice, or a page by id. The id is the hash of the key. */
export type AnswerName = Pick<Slice, 'key' | 'id'>

/** What is known of an answer beside its bytes. */
export interface AnswerMeta {
  readonly url: string
  /** The composite key of the slice. */
  readonly sliceKey: string
  /** Local clock, epoch ms, when the body was whole. */
  readonly fetchedAtMs: EpochMs
  readonly requestedAtMs: EpochMs
  readonly httpStatus: number
  /** The venue's clock at that moment, epoch ms: decides, for ever after, which bars were final. */
  readonly venueTimeMs: EpochMs
  /** The venue's clock at earlier times it gave this very answer, ascending; the latest `EARLIER_MAX`. */
  readonly earlierMs?: readonly EpochMs[]
  /** The hash of the answer this one took the place of: each names the one before, so none can vanish unseen. */
  readonly supersedes?: string
  /** Local clock when it came for the first time, where it came more than once. */
  readonly firstFetchedAtMs?: EpochMs
  /** What was asked for, where that was a part of the slice: of the rest the answer says nothing. */
  readonly window?: TimeRange
  /** Of a part of a tail: the hash the tail had before it. */
  readonly extends?: string
}

/** The meta of an answer that has just come. */
export const answerMeta = (slice: AnswerName, response: RawResponse, venueTimeMs: EpochMs): AnswerMeta => ({
  url: response.url,
  sliceKey: slice.key,
  fetchedAtMs: Math.round(response.receivedAtMs),
  requestedAtMs: Math.round(response.requestedAtMs),
  httpStatus: response.status,
  venueTimeMs: Math.round(venueTimeMs),
})

export const EARLIER_MAX = 16

/** The meta of an answer that is the same as the current one: when that was given is kept. */
export function repeated(meta: AnswerMeta, current: AnswerMeta): AnswerMeta {
  const earlier = new Set([...(current.earlierMs ?? []), current.venueTimeMs])
  earlier.delete(meta.venueTimeMs)
  const earlierMs = [...earlier].sort((a, b) => a - b).slice(-EARLIER_MAX)
  const { supersedes, firstFetchedAtMs = current.fetchedAtMs } = current
  return { ...meta, earlierMs, firstFetchedAtMs, ...(supersedes !== undefined && { supersedes }) }
}

/** An answer, kept for good. */
export interface ArchivedResponse {
  readonly sliceId: string
  readonly meta: AnswerMeta
  /** Exactly the bytes the venue sent. */
  readonly body: Uint8Array
  /** Of `body`, hexadecimal; of a tail, of all its parts. */
  readonly sha256: string
  /** 0 is the current answer; 1 the oldest that was superseded, 2 the next … */
  readonly version: number
  /** Of a tail: its answers, oldest first. `meta` and `body` are those of the last. */
  readonly parts?: readonly ArchivedPart[]
}

/** One answer of a tail. Its hash covers the parts before it too. */
export type ArchivedPart = Pick<ArchivedResponse, 'meta' | 'body' | 'sha256'>

/** One answer, or a tail of several. */
export type Answers = ArchivedPart & Pick<ArchivedResponse, 'parts'>

/** The answers an archived one is made of, oldest first: itself, or the parts of a tail. */
export const partsOf = (answer: Answers): readonly ArchivedPart[] => answer.parts ?? [answer]

export interface ArchivedFile {
  readonly sliceId: string
  readonly version: number
  /** Bytes it takes where it is kept; only when sizes were asked for. */
  readonly bytes?: number
}

/** What reading an answer back has shown. */
export interface CheckedAnswer {
  readonly sliceId: string
  readonly version: number
  /** Relative to the root. */
  readonly path: string
  /** Present when the answer is whole. */
  readonly answer?: Omit<ArchivedResponse, 'body' | 'parts'>
  /** Of a tail that grew: the hashes it had before, oldest first. */
  readonly grewFrom?: readonly string[]
  /** What is wrong with the file, in a few words. Without it, and without an answer, there is no file. */
  readonly damage?: string
}

/** A fact that answers do not hold, with what shows it, as JSON. */
export type Evidence = Readonly<Record<string, unknown>>

/**
 * Write-once raw answers. A newer answer to the same slice becomes version 0; the older one is kept under the next
 * free number, so that a restatement has evidence. An answer whose body equals the current one adds no version but
 * updates the current meta, which keeps when it was given before. A current answer that turns out to be damaged is replaced and not kept.
 *
 * Puts may overlap, also those of one slice. Names that cannot be a folder (an empty symbol, one longer than 200 bytes
 * once escaped, a venue with other characters than `a-z0-9-`) throw `archive.bad-name` (abort) everywhere.
 */
export interface Archive {
  /**
   * Keeps an answer. When this resolves the bytes survive a power cut: written under a temporary name, synced, renamed,
   * the directory synced. Repeating a put that was interrupted at any step is harmless.
   *
   * @throws EverybarError `archive.disk-full`, `archive.not-writable`, `archive.io` (abort).
   */
  put(
    folder: ArchiveFolder,
    slice: AnswerName,
    response: RawResponse,
    venueTimeMs: EpochMs,
  ): Promise<Omit<ArchivedResponse, 'body'>>

  /**
   * Keeps an answer to the newest part of a slice that is still open, cheaply: a tail grows by it, one version however
   * many answers it holds, which is the current answer from then on. The first part of a tail takes the place of a whole
   * answer as `put` does, and a whole answer that of a tail. The cost does not grow with the tail. When this resolves
   * the bytes survive a power cut; a part that was cut short by one is as if it had never come.
   *
   * @param window what was asked for.
   * @throws EverybarError as `put` does.
   */
  extend(
    folder: ArchiveFolder,
    slice: AnswerName,
    response: RawResponse,
    venueTimeMs: EpochMs,
    window: TimeRange,
  ): Promise<Omit<ArchivedResponse, 'body'>>

  /**
   * Reads an answer back, checked against the hash it was stored with.
   *
   * @returns `undefined` when there is none.
   * @throws EverybarError `archive.corrupt` (quarantine) when the file was cut, changed or is not ours;
   *   `archive.io` (abort) when it could not be read.
   */
  get(folder: ArchiveFolder, sliceId: string, version?: number): Promise<ArchivedResponse | undefined>

  /**
   * Every answer kept in a folder, in no order; nothing for a folder that is not there. Reads names only: whether they
   * hold what they should is for `get` to say. Sizes cost a look at every file.
   */
  list(folder: ArchiveFolder, options?: { readonly sizes?: boolean }): AsyncIterable<ArchivedFile>

  /**
   * A word that changes whenever an answer of the folder appears, is replaced or vanishes; `undefined` for a folder that
   * is not there. While it stands there is no need to list again. Costs one look, however many answers there are.
   */
  stamp(folder: ArchiveFolder): Promise<string | undefined>

  /**
   * Reads answers back as `get` does, and gives what is known of each beside its bytes, in the order asked for: to prove
   * an archive without holding it. Nothing is thrown for an answer that is gone or damaged; the outcome says so.
   *
   * @throws EverybarError `archive.io` (abort).
   */
  check(folder: ArchiveFolder, files: readonly ArchivedFile[]): Promise<readonly CheckedAnswer[]>

  /**
   * Keeps a small JSON object beside the answers: what a probe showed, what was asked for. Replaces an older one; durable
   * when it resolves. Names are `[a-z0-9-]`.
   */
  putEvidence(folder: ArchiveFolder, name: string, evidence: Evidence): Promise<void>

  /**
   * Reads evidence back; `undefined` when there is none.
   *
   * @throws EverybarError `archive.corrupt` (quarantine) when the file is not as it was written.
   */
  evidence(folder: ArchiveFolder, name: string): Promise<Evidence | undefined>

  /** Names of the evidence kept in a folder, in no order. */
  evidenceNames(folder: ArchiveFolder): Promise<readonly string[]>

  /** Every folder that holds answers, in no order. */
  folders(): AsyncIterable<ArchiveFolder>

  /**
   * Where an answer lies, for messages and manifests, relative to the root: `responses/<id>.json` at the end. In a root
   * that holds plain and compressed answers, the name a new answer gets.
   */
  pathOf(folder: ArchiveFolder, sliceId: string, version?: number): string
}
