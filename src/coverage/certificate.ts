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

/**
 * Several certificates as one. The ranges of each series have to adjoin: where one ends the next begins. A slice or a
 * file at the seam stands in both; the later word on it is kept.
 *
 * @param head of the whole; what it is composed of is added.
 * @throws EverybarError `certificate.not-adjoining`, `certificate.conflict` (abort).
 */
export function composeCertificates(
  certificates: readonly Certificate[],
  head: Omit<CertificateHead, 'composed_of' | 'version'>,
): Omit<Certificate, 'digest'> {
  const byMaking = [...certificates].sort((a, b) => (a.made_at < b.made_at ? -1 : 1))
  const parts = new Map<string, CertifiedSeries[]>()
  for (const { series } of byMaking)
    for (const one of series) parts.set(one.series, [...(parts.get(one.series) ?? []), one])
  return {
    ...head,
    version: CERTIFICATE_VERSION,
    composed_of: certificates.map(({ digest }) => digest),
    series: [...parts.values()].map(composeSeries).sort((a, b) => (a.series < b.series ? -1 : 1)),
  }
}

/** @param parts in the order they were made. */
function composeSeries(parts: readonly CertifiedSeries[]): CertifiedSeries {
  const byTime = [...parts].sort((a, b) => rangeOf(a).startMs - rangeOf(b).startMs)
  for (const [i, part] of byTime.entries()) {
    const before = byTime[i - 1]
    if (before && rangeOf(before).endMs !== rangeOf(part).startMs) throw notAdjoining(before, part)
  }
  const absent: { [name in GapClass]?: number } = {}
  for (const part of parts)
    for (const [name, bars] of Object.entries(part.absent))
      absent[name as GapClass] = (absent[name as GapClass] ?? 0) + bars
  const sum = (count: (part: CertifiedSeries) => number) => parts.reduce((all, part) => all + count(part), 0)
  const files = new Map(parts.flatMap((part) => part.files).map((file) => [file.path, file]))
  return {
    series: byTime[0]!.series,
    start: byTime[0]!.start,
    end: byTime.at(-1)!.end,
    expected: sum(({ expected }) => expected),
    present: sum(({ present }) => present),
    absent,
    complete: parts.every(({ complete }) => complete),
    gaps: byTime.flatMap(({ gaps }) => gaps),
    slices: composeSlices(parts),
    files: [...files.values()].sort((a, b) => (a.path < b.path ? -1 : 1)),
    bars: byTime.flatMap(({ bars }) => bars),
  }
}

/** A slice that stands in two parts was answered once, or again: then the later part names the earlier answer too. */
function composeSlices(parts: readonly CertifiedSeries[]): CertifiedSlice[] {
  const slices = new Map<string, CertifiedSlice>()
  for (const part of parts) {
    for (const one of part.slices) {
      const before = slices.get(one.key)
      if (before && before.sha256 !== one.sha256 && !one.older?.includes(before.sha256)) {
        throw new EverybarError('certificate.conflict', `two answers are certified for slice ${one.key}`, {
          recovery: 'abort',
          hint: 'The certificates are of different roots. Keep them apart.',
        })
      }
      slices.set(one.key, one)
    }
  }
  const startOf = ({ key }: CertifiedSlice) => parseCompositeKey(key)?.range.startMs ?? 0
  return [...slices.values()].sort((a, b) => startOf(a) - startOf(b))
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
