import type { Finding } from '../../model/finding.ts'
import type { SliceRecord, SliceStatus, StoredFile } from '../ledger.ts'

/** Columns of a record, in the order rows are read and written. */
export const recordColumns = [
  'slice_id',
  'key',
  'start_ms',
  'end_ms',
  'row_limit',
  'status',
  'http_status',
  'items',
  'first_ms',
  'last_ms',
  'requested_ms',
  'completed_ms',
  'error',
  'sha256',
  'venue_ms',
  'findings',
] as const

export type Cell = string | number | null
export type Row = readonly Cell[]

export function toRow(record: SliceRecord): Cell[] {
  return [
    record.sliceId,
    record.key,
    record.range.startMs,
    record.range.endMs,
    record.limit,
    record.status,
    record.httpStatus,
    record.items,
    record.firstMs,
    record.lastMs,
    record.requestedAtMs,
    record.completedAtMs,
    record.error,
    record.sha256,
    record.venueTimeMs,
    record.findings.length > 0 ? JSON.stringify(record.findings) : null,
  ]
}

export function fromRow(row: Row): SliceRecord {
  const findings = row[15] as string | null
  return {
    sliceId: row[0] as string,
    key: row[1] as string,
    range: { startMs: row[2] as number, endMs: row[3] as number },
    limit: row[4] as number,
    status: row[5] as SliceStatus,
    httpStatus: row[6] as number | null,
    items: row[7] as number,
    firstMs: row[8] as number | null,
    lastMs: row[9] as number | null,
    requestedAtMs: row[10] as number | null,
    completedAtMs: row[11] as number | null,
    error: row[12] as string | null,
    sha256: row[13] as string | null,
    venueTimeMs: row[14] as number | null,
    findings: findings === null ? [] : (JSON.parse(findings) as Finding[]),
  }
}

/** A file as it stands in its table, after store and series. */
export const toFileRow = ({ path, range, bytes, sha256 }: StoredFile): Cell[] => [
  range.startMs,
  range.endMs,
  path,
  bytes,
  sha256,
]

export function fromFileRow([startMs, endMs, path, bytes, sha256]: Row): StoredFile {
  const range = { startMs: startMs as number, endMs: endMs as number }
  return { path: path as string, range, bytes: bytes as number, sha256: sha256 as string }
}
