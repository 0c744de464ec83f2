import type { Finding } from '../../model/finding.ts'
import { parseCompositeKey } from '../../model/slice.ts'
import type { TimeRange } from '../../model/time.ts'
import { SeriesBook } from '../book.ts'
import { corrupt, newerVersion } from '../faults.ts'
import type { LedgerSeries, SliceRecord, StoredFile, StoreFacet } from '../ledger.ts'
import {
  entryOf,
  MANIFEST_VERSION,
  type ManifestEntry,
  type ManifestPlace,
  manifestHead,
  manifestLine,
  summaryOf,
} from '../manifest-format.ts'
import { sliceStatuses } from '../status.ts'

/*
 * A manifest that is the ledger itself: the plain schema, and under `everybar` what the plain schema has no place for.
 * A manifest without those parts is read too; its slices then have no hash.
 */

type Json = Readonly<Record<string, unknown>>

interface OwnHead {
  readonly series_id: string
  readonly endpoint: string
  readonly revision: number
  readonly wanted: readonly (readonly [number, number])[]
  readonly facts: Readonly<Record<string, Json>>
  readonly files?: Readonly<Record<string, readonly StoredFile[]>>
}

interface OwnEntry {
  readonly sha256: string | null
  readonly venue_time_ms: number | null
  readonly findings?: readonly Finding[]
  readonly stored?: Readonly<Record<string, { readonly sha256: string; readonly rows: number }>>
}

export function writeDocument(series: LedgerSeries, place: ManifestPlace, book: SeriesBook): string {
  const records = book.slices()
  const latestMs = records.reduce<number | null>(
    (latest, { completedAtMs }) => (completedAtMs === null ? latest : Math.max(latest ?? 0, completedAtMs)),
    null,
  )
  const everybar: OwnHead = {
    series_id: series.seriesId,
    endpoint: series.endpoint,
    revision: book.revision,
    wanted: book.wanted.map(({ startMs, endMs }) => [startMs, endMs]),
    facts: book.facts,
    ...filesOf(book),
  }
  const stored = storedBySlice(book)
  const lines = records.map((record) => {
    const own: OwnEntry = {
      sha256: record.sha256,
      venue_time_ms: record.venueTimeMs,
      ...(record.findings.length > 0 && { findings: record.findings }),
      ...(stored.has(record.sliceId) && { stored: stored.get(record.sliceId)! }),
    }
    return manifestLine(record.key, { ...entryOf(record, place), everybar: own })
  })
  const limit = records.at(-1)?.limit ?? place.limit
  const head = manifestHead({ ...place, limit }, summaryOf(book.counts(), latestMs), { everybar })
  return `${head},\n  "slices": {${lines.length > 0 ? '\n' : ''}${lines.join(',\n')}\n  }\n}\n`
}

/** The files of every store that has some. */
function filesOf(book: SeriesBook): Pick<OwnHead, 'files'> {
  const files = book.stores.map((store) => [store, book.storedFiles(store)] as const)
  const some = files.filter(([, kept]) => kept.length > 0)
  return some.length > 0 ? { files: Object.fromEntries(some) } : {}
}

function storedBySlice(book: SeriesBook): Map<string, NonNullable<OwnEntry['stored']>> {
  const bySlice = new Map<string, NonNullable<OwnEntry['stored']>>()
  for (const store of book.stores) {
    for (const { sliceId, sha256, rows } of book.stored(store))
      bySlice.set(sliceId, { ...bySlice.get(sliceId), [store]: { sha256, rows } })
  }
  return bySlice
}

/**
 * What a document says, and how it names answers, where it names one: how a new one would be named now may be otherwise.
 *
 * @throws EverybarError `ledger.newer-version`, `ledger.corrupt` (abort).
 */
export function readDocument(
  text: string,
  path: string,
): { series?: LedgerSeries; book: SeriesBook } & Pick<ManifestPlace, 'relativePath'> {
  const json = parse(text, path)
  const version = json.version
  if (typeof version !== 'number' || !isObject(json.slices))
    throw corrupt(path, 'it has no version or no slices')
  if (version > MANIFEST_VERSION) throw newerVersion(path, version, MANIFEST_VERSION)
  const own = isObject(json.everybar) ? (json.everybar as unknown as OwnHead) : undefined
  const book = new SeriesBook(own?.revision)
  try {
    fill(book, json.slices, own)
  } catch (error) {
    throw corrupt(path, error instanceof Error ? error.message : String(error), error)
  }
  return {
    ...(own && { series: { seriesId: own.series_id, endpoint: own.endpoint } }),
    book,
    ...namesIn(json.slices),
  }
}

function namesIn(slices: Json): Pick<ManifestPlace, 'relativePath'> {
  for (const entry of Object.values(slices) as ManifestEntry[]) {
    const parts = entry.relative_path?.split(entry.slice_id)
    return parts?.length === 2 ? { relativePath: (id) => parts.join(id) } : {}
  }
  return {}
}

function fill(book: SeriesBook, slices: Json, own: OwnHead | undefined): void {
  const facets = new Map<string, StoreFacet[]>()
  const records: SliceRecord[] = []
  for (const [key, value] of Object.entries(slices)) {
    const entry = value as ManifestEntry & { readonly everybar?: OwnEntry }
    records.push(recordOf(key, entry))
    for (const [store, facet] of Object.entries(entry.everybar?.stored ?? {})) {
      const list = facets.get(store) ?? []
      facets.set(store, list)
      list.push({ sliceId: entry.slice_id, sha256: facet.sha256, rows: facet.rows })
    }
  }
  book.load(records)
  for (const [store, list] of facets) book.recordStored(store, list)
  for (const [store, files] of Object.entries(own?.files ?? {})) book.recordStored(store, [], files)
  for (const [startMs, endMs] of own?.wanted ?? []) book.want({ startMs, endMs })
  for (const [name, fact] of Object.entries(own?.facts ?? {})) book.putFact(name, fact)
}

function recordOf(key: string, entry: ManifestEntry & { readonly everybar?: OwnEntry }): SliceRecord {
  const parsed = parseCompositeKey(key)
  const status = sliceStatuses.find((known) => known === entry.status)
  if (!parsed || !status || typeof entry.slice_id !== 'string')
    throw new Error(`the slice ${key} is unreadable`)
  return {
    sliceId: entry.slice_id,
    key,
    range: parsed.range satisfies TimeRange,
    limit: parsed.limit,
    status,
    httpStatus: entry.http_status,
    items: entry.n_items,
    firstMs: entry.first_ts,
    lastMs: entry.last_ts,
    requestedAtMs: timeOf(entry.requested_at, key),
    completedAtMs: timeOf(entry.completed_at, key),
    error: entry.error,
    sha256: entry.everybar?.sha256 ?? null,
    venueTimeMs: entry.everybar?.venue_time_ms ?? null,
    findings: entry.everybar?.findings ?? [],
  }
}

function timeOf(text: string | null, key: string): number | null {
  if (text === null) return null
  const ms = Date.parse(text)
  if (Number.isNaN(ms)) throw new Error(`the slice ${key} has a time that is none: ${text}`)
  return ms
}

export function parse(text: string, path: string): Json {
  try {
    const json: unknown = JSON.parse(text)
    if (isObject(json)) return json
  } catch (error) {
    throw corrupt(path, 'it is not JSON', error)
  }
  throw corrupt(path, 'it is not a JSON object')
}

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
