import { createHash, type Hash } from 'node:crypto'
import { EverybarError } from '../model/errors.ts'
import { parseCompositeKey } from '../model/slice.ts'
import { iso, type TimeRange } from '../model/time.ts'
import type { GapClass } from './gap-class.ts'

/** Version of the format; a newer one is refused. */
export const CERTIFICATE_VERSION = 1

/** An answer bars were taken from. Its slice id is the BLAKE2b-128 of the key. */
export interface CertifiedSlice {
  readonly key: string
  /** Of the current answer's body. */
  readonly sha256: string
  /** Of the bodies it superseded, oldest first; absent when there are none. */
  readonly older?: readonly string[]
}

/** A file of the lake as it was when the certificate was made. It may be rewritten later with the same bars. */
export interface CertifiedFile {
  readonly path: string
  readonly bytes: number
  readonly sha256: string
}

/** The bars of one calendar month, or of the part of it that lies in the range. */
export interface CertifiedBars {
  /** Of the month file; the name of the store where that keeps none. */
  readonly path: string
  readonly start: string
  readonly end: string
  readonly bars: number
  /** Of their values; see docs/certificate.md. */
  readonly sha256: string
}

export interface CertifiedGap {
  readonly class: GapClass
  readonly start: string
  readonly end: string
  readonly bars: number
}

/** What is certified of one series. Times are ISO 8601, UTC; ranges hold their start and not their end. */
export interface CertifiedSeries {
  readonly series: string
  readonly start: string
  readonly end: string
  readonly expected: number
  readonly present: number
  readonly absent: { readonly [name in GapClass]?: number }
  readonly complete: boolean
  readonly gaps: readonly CertifiedGap[]
  readonly slices: readonly CertifiedSlice[]
  readonly files: readonly CertifiedFile[]
  readonly bars: readonly CertifiedBars[]
}

export interface CertificateHead {
  readonly version: number
  /** The version of everybar that made it. */
  readonly everybar: string
  readonly made_at: string
  /** Digests of the certificates it was composed of. */
  readonly composed_of?: readonly string[]
}

export interface Certificate extends CertificateHead {
  readonly series: readonly CertifiedSeries[]
  /** sha256 of the canonical text of everything else. */
  readonly digest: string
}

/** A series whose long lists come one at a time. */
export interface StreamedSeries extends Omit<CertifiedSeries, 'slices' | 'bars'> {
  readonly slices: AsyncIterable<CertifiedSlice> | Iterable<CertifiedSlice>
  readonly bars: AsyncIterable<CertifiedBars> | Iterable<CertifiedBars>
}

/** Canonical JSON: keys in the order of their UTF-16 units, no space, numbers as ECMAScript writes them (RFC 8785). */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const fields = Object.entries(value).filter(([, field]) => field !== undefined)
  fields.sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${fields.map(([name, field]) => `${JSON.stringify(name)}:${canonical(field)}`).join(',')}}`
}

/**
 * The text of a certificate, piece by piece: `{"certificate":{…},"digest":"…"}` and a line feed. Memory does not grow with
 * the slices. Series have to come by name.
 */
export async function* certificateText(
  head: CertificateHead,
  series: AsyncIterable<StreamedSeries> | Iterable<StreamedSeries>,
): AsyncGenerator<string> {
  const hash = createHash('sha256')
  yield '{"certificate":'
  yield* hashed(hash, withList(head, 'series', mapped(series, seriesText)))
  yield `,"digest":"${hash.digest('hex')}"}\n`
}

async function* seriesText(series: StreamedSeries): AsyncGenerator<string> {
  const { slices, bars, ...rest } = series
  const one = async function* (item: unknown) {
    yield canonical(item)
  }
  const lists = { bars: mapped(bars, one), slices: mapped(slices, one) }
  const names = [...Object.keys(rest), ...Object.keys(lists)].sort()
  let separator = '{'
  for (const name of names) {
    yield `${separator}${JSON.stringify(name)}:`
    if (name === 'bars' || name === 'slices') yield* listText(lists[name])
    else yield canonical(rest[name as keyof typeof rest])
    separator = ','
  }
  yield '}'
}

/** An object with one more field, a list that comes piece by piece, at its place among the others. */
async function* withList(
  fields: object,
  name: string,
  items: AsyncIterable<AsyncIterable<string>>,
): AsyncGenerator<string> {
  const entries = Object.entries(fields).filter(([, field]) => field !== undefined)
  let separator = '{'
  for (const key of [...entries.map(([key]) => key), name].sort()) {
    yield `${separator}${JSON.stringify(key)}:`
    if (key === name) yield* listText(items)
    else yield canonical(entries.find(([one]) => one === key)![1])
    separator = ','
  }
  yield '}'
}

async function* listText(items: AsyncIterable<AsyncIterable<string>>): AsyncGenerator<string> {
  let separator = '['
  for await (const item of items) {
    yield separator
    yield* item
    separator = ','
  }
  yield separator === '[' ? '[]' : ']'
}

async function* mapped<T, U>(items: AsyncIterable<T> | Iterable<T>, map: (item: T) => U): AsyncGenerator<U> {
  for await (const item of items) yield map(item)
}

async function* hashed(hash: Hash, pieces: AsyncIterable<string>): AsyncGenerator<string> {
  for await (const piece of pieces) {
    hash.update(piece)
    yield piece
  }
}

/**
 * Reads a certificate and checks its digest; other white space and another order of keys are no change.
 *
 * @throws EverybarError `certificate.corrupt`, `certificate.newer-version` (abort).
 */
export function readCertificate(text: string, path: string): Certificate {
  const { certificate, digest } = parse(text, path)
  const found = createHash('sha256').update(canonical(certificate)).digest('hex')
  if (found !== digest) throw corrupt(path, 'its digest is not that of its content')
  if (certificate.version > CERTIFICATE_VERSION) {
    throw new EverybarError('certificate.newer-version', `${path} has version ${certificate.version}`, {
      recovery: 'abort',
      hint: 'Upgrade everybar.',
      path,
    })
  }
  if (certificate.version !== CERTIFICATE_VERSION || !Array.isArray(certificate.series))
    throw corrupt(path, 'it has no version or no series')
  return { ...certificate, digest }
}

function parse(text: string, path: string): { certificate: Omit<Certificate, 'digest'>; digest: string } {
  try {
    const json = JSON.parse(text) as { certificate?: Omit<Certificate, 'digest'>; digest?: string } | null
    if (json?.certificate && typeof json.digest === 'string')
      return { certificate: json.certificate, digest: json.digest }
  } catch (error) {
    throw corrupt(path, 'it is not JSON', error)
  }
  throw corrupt(path, 'it is no certificate')
}

const corrupt = (path: string, what: string, cause?: unknown): EverybarError =>
  new EverybarError('certificate.corrupt', `the certificate ${path} cannot be trusted: ${what}`, {
    recovery: 'abort',
    hint: 'Take it from the place it was kept at.',
    path,
    ...(cause !== undefined && { cause }),
  })

export const rangeOf = ({ start, end }: { readonly start: string; readonly end: string }): TimeRange => ({
  startMs: Date.parse(start),
  endMs: Date.parse(end),
})

/** Every hash the answers to a slice of a series have had, oldest first, as far as they are kept. */
export type AnswerHistory = (series: string, key: string) => Promise<readonly string[]>

/**
 * Several certificates as one. The ranges of each series have to adjoin: where one ends the next begins. A slice or a
 * file at the seam stands in both; see docs/certificate.md for what becomes of it. When each was made plays no part: one
 * that was composed is younger than what it says.
 *
 * @param head of the whole; what it is composed of is added.
 * @param historyOf is asked only where the certificates themselves do not tell which of two answers is the later one.
 * @throws EverybarError `certificate.not-adjoining`, `certificate.conflict` (abort).
 */
export async function composeCertificates(
  certificates: readonly Certificate[],
  head: Omit<CertificateHead, 'composed_of' | 'version'>,
  historyOf: AnswerHistory = async () => [],
): Promise<Omit<Certificate, 'digest'>> {
  const parts = new Map<string, CertifiedSeries[]>()
  for (const { series } of certificates)
    for (const one of series) parts.set(one.series, [...(parts.get(one.series) ?? []), one])
  const series: CertifiedSeries[] = []
  for (const name of [...parts.keys()].sort()) series.push(await composeSeries(parts.get(name)!, historyOf))
  return {
    ...head,
    version: CERTIFICATE_VERSION,
    composed_of: certificates.map(({ digest }) => digest),
    series,
  }
}

async function composeSeries(
  given: readonly CertifiedSeries[],
  historyOf: AnswerHistory,
): Promise<CertifiedSeries> {
  const parts = [...given].sort((a, b) => rangeOf(a).startMs - rangeOf(b).startMs)
  for (const [i, part] of parts.entries()) {
    const before = parts[i - 1]
    if (before && rangeOf(before).endMs !== rangeOf(part).startMs) throw notAdjoining(before, part)
  }
  const absent: { [name in GapClass]?: number } = {}
  for (const part of parts)
    for (const [name, bars] of Object.entries(part.absent))
      absent[name as GapClass] = (absent[name as GapClass] ?? 0) + bars
  const sum = (count: (part: CertifiedSeries) => number) => parts.reduce((all, part) => all + count(part), 0)
  return {
    series: parts[0]!.series,
    start: parts[0]!.start,
    end: parts.at(-1)!.end,
    expected: sum(({ expected }) => expected),
    present: sum(({ present }) => present),
    absent,
    complete: parts.every(({ complete }) => complete),
    gaps: parts.flatMap(({ gaps }) => gaps),
    slices: await composeSlices(parts, historyOf),
    files: composeFiles(parts),
    bars: parts.flatMap(({ bars }) => bars),
  }
}

/**
 * A file vouches for the bars of all parts that have some in it, or for none: one that was written between two
 * certificates need not hold what the first of them certified. Its month is compared by its bars then.
 */
function composeFiles(parts: readonly CertifiedSeries[]): CertifiedFile[] {
  const named = (part: CertifiedSeries, path: string) => part.files.find((file) => file.path === path)
  const paths = new Set(parts.flatMap(({ files }) => files.map(({ path }) => path)))
  return [...paths].sort().flatMap((path) => {
    const holding = parts.filter(({ bars }) => bars.some((one) => one.path === path))
    const [one, ...others] =
      holding.length > 0
        ? holding.map((part) => named(part, path))
        : parts.flatMap((part) => named(part, path) ?? [])
    return one && others.every((other) => other?.sha256 === one.sha256) ? one : []
  })
}

async function composeSlices(
  parts: readonly CertifiedSeries[],
  historyOf: AnswerHistory,
): Promise<CertifiedSlice[]> {
  const slices = new Map<string, CertifiedSlice>()
  for (const { series, slices: more } of parts) {
    for (const one of more) {
      const before = slices.get(one.key)
      slices.set(one.key, before ? await composeSlice(series, before, one, historyOf) : one)
    }
  }
  const startOf = ({ key }: CertifiedSlice) => parseCompositeKey(key)?.range.startMs ?? 0
  return [...slices.values()].sort((a, b) => startOf(a) - startOf(b))
}

/** The later of two words on one slice. Every answer that either names stays certified. */
async function composeSlice(
  series: string,
  a: CertifiedSlice,
  b: CertifiedSlice,
  historyOf: AnswerHistory,
): Promise<CertifiedSlice> {
  const later = laterOf(a, b) ?? laterIn(await historyOf(series, a.key), a, b)
  if (!later) {
    throw new EverybarError('certificate.conflict', `two answers are certified for slice ${a.key}`, {
      recovery: 'abort',
      hint: 'They are of different roots, or an answer between them is lost. Hold each against the root by itself.',
    })
  }
  const { older = [] } = later
  const known = [...older, later.sha256]
  const more = answersOf(later === a ? b : a).filter((hash) => !known.includes(hash))
  return more.length > 0 ? { ...later, older: [...more, ...older] } : later
}

const answersOf = ({ older = [], sha256 }: CertifiedSlice): readonly string[] => [...older, sha256]

/** The one that names the other’s answer among those it superseded; the longer memory, where both do. */
function laterOf(a: CertifiedSlice, b: CertifiedSlice): CertifiedSlice | undefined {
  const [less, more] = (a.older?.length ?? 0) <= (b.older?.length ?? 0) ? [a, b] : [b, a]
  if (answersOf(more).includes(less.sha256)) return more
  return answersOf(less).includes(more.sha256) ? less : undefined
}

/** A tail names the answers it superseded, not all the lengths it has had: those are known where it is kept. */
function laterIn(history: readonly string[], a: CertifiedSlice, b: CertifiedSlice) {
  const [atA, atB] = [history.lastIndexOf(a.sha256), history.lastIndexOf(b.sha256)]
  if (atA < 0 || atB < 0) return undefined
  return atA > atB ? a : b
}

const notAdjoining = (a: CertifiedSeries, b: CertifiedSeries): EverybarError =>
  new EverybarError(
    'certificate.not-adjoining',
    `${a.series}: one certificate ends ${a.end}, the next begins ${b.start}`,
    { recovery: 'abort', hint: 'Certificates compose where one begins at the very time the other ends.' },
  )

export const isoRange = ({ startMs, endMs }: TimeRange): { start: string; end: string } => ({
  start: iso(startMs),
  end: iso(endMs),
})
