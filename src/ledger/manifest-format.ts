import { iso } from '../model/time.ts'
import type { SliceRecord } from './ledger.ts'

/** Version of `manifest.json`; a newer one is never written to. */
export const MANIFEST_VERSION = 1

/** What a manifest says of itself, and where it lies. */
export interface ManifestPlace {
  /** `<root>/<venue>/<directory>/raw/<symbol>/<timeframe>/manifest.json`. */
  readonly path: string
  /** The endpoint's folder: `klines`. */
  readonly endpoint: string
  readonly symbol: string
  /** `1m`. */
  readonly interval: string
  /** Bars a slice at most, for a series without slices: the size of the last slice is told, so that the same records give the same text. */
  readonly limit: number
  /** Where an answer lies, seen from the manifest; `responses/<slice id>.json` unless said. */
  readonly relativePath?: (sliceId: string) => string
}

/** One slice as the manifest has it, keyed there by its composite key. */
export interface ManifestEntry {
  readonly slice_id: string
  readonly relative_path: string
  readonly status: string
  readonly http_status: number | null
  readonly n_items: number
  readonly first_ts: number | null
  readonly last_ts: number | null
  readonly requested_at: string | null
  readonly completed_at: string | null
  readonly error: string | null
}

export interface ManifestSummary {
  readonly total_slices: number
  readonly ok_slices: number
  readonly failed_slices: number
  /**
   * When the latest answer here came. Not when the file was written: so the same records give the same bytes, and a
   * file is rewritten only when it says something new.
   */
  readonly last_evaluated_at: string | null
}

const time = (ms: number | null): string | null => (ms === null ? null : iso(ms))

/** How an answer is named in the manifest. */
export const nameOf = ({ relativePath }: ManifestPlace, sliceId: string): string =>
  relativePath?.(sliceId) ?? `responses/${sliceId}.json`

export function entryOf(record: SliceRecord, place: ManifestPlace): ManifestEntry {
  return {
    slice_id: record.sliceId,
    relative_path: nameOf(place, record.sliceId),
    status: record.status,
    http_status: record.httpStatus,
    n_items: record.items,
    first_ts: record.firstMs,
    last_ts: record.lastMs,
    requested_at: time(record.requestedAtMs),
    completed_at: time(record.completedAtMs),
    error: record.error,
  }
}

export function summaryOf(
  counts: Readonly<Record<SliceRecord['status'], number>>,
  latestMs: number | null,
): ManifestSummary {
  return {
    total_slices: Object.values(counts).reduce((sum, count) => sum + count, 0),
    ok_slices: counts.ok,
    failed_slices: counts.failed,
    last_evaluated_at: time(latestMs),
  }
}

/** The manifest up to its slices, without the closing brace, as indented JSON. */
export function manifestHead(place: ManifestPlace, summary: ManifestSummary, extra: object = {}): string {
  const { endpoint, symbol, interval, limit } = place
  const head = { version: MANIFEST_VERSION, endpoint, symbol, interval, limit, summary, ...extra }
  return JSON.stringify(head, null, 2).slice(0, -2)
}

/** One slice as a line of the manifest: a diff of two manifests shows slices. */
export const manifestLine = (key: string, entry: object): string =>
  `    ${JSON.stringify(key)}: ${JSON.stringify(entry)}`
