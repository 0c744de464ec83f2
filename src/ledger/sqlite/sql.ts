import { recordColumns } from './rows.ts'

/*
 * Streams are read in pages that go on after a position (start, end, id), so that no statement stays open while the
 * caller thinks, and writing between two pages is safe. The first position is just before anything that can reach into
 * the range.
 */

const columns = recordColumns.map((column) => `s.${column}`).join(', ')
const after = '(s.start_ms, s.end_ms, s.id) > (?, ?, ?)'
const inOrder = 'ORDER BY s.start_ms, s.end_ms, s.id LIMIT ?'
const within = `s.series = ? AND s.start_ms < ? AND s.end_ms > ? AND ${after}`

/** Parameters: series, range end, range start, position × 3, page size. */
export const SLICES = `SELECT ${columns}, s.id FROM slice s INDEXED BY slice_by_time WHERE ${within} ${inOrder}`

export const NOTABLE = `SELECT ${columns}, s.id FROM slice s INDEXED BY slice_notable
  WHERE (s.status <> 'ok' OR s.findings IS NOT NULL) AND ${within} ${inOrder}`

/** Parameters: store name, then as for `SLICES`. */
export const UNSTORED = `SELECT ${columns}, s.id FROM slice s INDEXED BY slice_by_time
  LEFT JOIN stored f ON f.store = (SELECT id FROM store WHERE name = ?) AND f.slice = s.id
  WHERE s.sha256 IS NOT NULL AND s.status NOT IN ('failed', 'pending') AND f.sha256 IS NOT s.sha256 AND ${within} ${inOrder}`

/** Parameters: store name, series, position × 3, page size. */
export const STORED = `SELECT s.slice_id, f.sha256, f.row_count, s.start_ms, s.end_ms, s.id
  FROM slice s INDEXED BY slice_by_time
  CROSS JOIN stored f ON f.store = (SELECT id FROM store WHERE name = ?) AND f.slice = s.id
  WHERE s.series = ? AND ${after} ${inOrder}`

/** Parameters: series, range end, earliest start. */
export const COVERED = `SELECT s.start_ms, s.end_ms FROM slice s INDEXED BY slice_by_time
  WHERE s.series = ? AND s.start_ms < ? AND s.start_ms >= ? AND s.status IN ('ok', 'empty') ORDER BY s.start_ms`

/** Parameters: series, last id, page size. */
export const ANSWERED_IDS = `SELECT slice_id FROM slice
  WHERE series = ? AND slice_id > ? AND sha256 IS NOT NULL AND status NOT IN ('failed', 'pending')
  ORDER BY slice_id LIMIT ?`

const replaced = recordColumns
  .slice(1)
  .map((column) => `${column} = excluded.${column}`)
  .join(', ')

/** Parameters: series, then the columns of a record. */
export const RECORD = `INSERT INTO slice (series, ${recordColumns.join(', ')})
  VALUES (?, ${recordColumns.map(() => '?').join(', ')})
  ON CONFLICT (series, slice_id) DO UPDATE SET ${replaced}`

/** Parameters: store, hash, rows, series, slice id. A slice that is not known has no row to select. */
export const RECORD_STORED = `INSERT INTO stored (store, slice, sha256, row_count)
  SELECT ?, id, ?, ? FROM slice WHERE series = ? AND slice_id = ?
  ON CONFLICT (store, slice) DO UPDATE SET sha256 = excluded.sha256, row_count = excluded.row_count`

/** Parameters: store, series, start, end, path, bytes, hash. */
export const RECORD_FILE = 'INSERT OR REPLACE INTO stored_file VALUES (?, ?, ?, ?, ?, ?, ?)'
export const FORGET_FILE =
  'DELETE FROM stored_file WHERE store = ? AND series = ? AND start_ms = ? AND path = ?'

/** Parameters: store name, series. */
export const FORGET_FILES =
  'DELETE FROM stored_file WHERE store = (SELECT id FROM store WHERE name = ?) AND series = ?'
export const STORED_FILES = `SELECT start_ms, end_ms, path, bytes, sha256 FROM stored_file
  WHERE store = (SELECT id FROM store WHERE name = ?) AND series = ? ORDER BY start_ms, path`

/** Parameters: series id, endpoint, span, 1 when its records change. */
export const KNOW_SERIES = `INSERT INTO series (series_id, endpoint, span_ms, revision) VALUES (?, ?, ?, ?)
  ON CONFLICT (series_id, endpoint) DO UPDATE
  SET span_ms = max(span_ms, excluded.span_ms), revision = revision + excluded.revision
  WHERE excluded.revision > 0`

export const PUT_RUN = `INSERT OR REPLACE INTO run (run_id, command, started_ms, ended_ms, exit_code, report)
  VALUES (?, ?, ?, ?, ?, ?)`
