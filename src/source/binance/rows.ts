import { allocateBatch, type BarBatch, sliceBatch } from '../../model/bar.ts'
import type { Finding } from '../../model/finding.ts'
import { textOf, unreadable } from '../answer.ts'
import { decimalOrNaN, isEpochMs, show, whyNoTime } from '../read.ts'
import type { DecodedPage } from '../source.ts'
import { klineColumns as columns, klineNative } from './columns.ts'
import { scanKlineRows } from './scan-rows.ts'

const timeColumns: ReadonlySet<number> = new Set([0, 6])

/**
 * Reads `[[openTime, "open", …12 columns], …]`, rows in answer order. A row that is no array, has fewer than 12
 * columns or a cell that is no number is left out and named in `badRows`; columns past the twelfth are ignored.
 *
 * @param rowsExpected the rows of a full page, where known: pages up to that length are read faster, to the same
 *   values.
 * @throws EverybarError `source.unreadable` (quarantine) when the body is no JSON array.
 */
export function readKlineRows(body: Uint8Array, rowsExpected = 0): DecodedPage {
  const plain = rowsExpected > 0 ? scanKlineRows(body, rowsExpected) : undefined
  return plain ? { rows: plain, badRows: [] } : readAnyRows(body)
}

function readAnyRows(body: Uint8Array): DecodedPage {
  const rows = parseRows(body)
  const batch = allocateBatch(rows.length, klineNative)
  const badRows: Finding[] = []
  let kept = 0
  for (let i = 0; i < rows.length; i++) {
    if (fillRow(batch, kept, rows[i])) kept++
    else badRows.push(describeBadRow(rows[i], i))
  }
  return { rows: sliceBatch(batch, 0, kept), badRows }
}

function parseRows(body: Uint8Array): readonly unknown[] {
  let json: unknown
  try {
    json = JSON.parse(textOf(body))
  } catch (cause) {
    throw unreadable('it is no JSON', cause)
  }
  if (!Array.isArray(json)) throw unreadable(`${show(json)} is no list of rows`)
  return json
}

/** Writes one row at position `k`; false when any cell of it is bad, and position `k` is free again. */
function fillRow(batch: BarBatch, k: number, row: unknown): boolean {
  if (!Array.isArray(row) || row.length < columns.length) return false
  const cells: readonly unknown[] = row
  const openTimeMs = decimalOrNaN(cells[0])
  const closeTimeMs = decimalOrNaN(cells[6])
  if (!isEpochMs(openTimeMs) || !isEpochMs(closeTimeMs)) return false
  const { closeTimeMs: closes, quoteVolume, trades, takerBuyBaseVolume, takerBuyQuoteVolume } = batch.native
  batch.openTimeMs[k] = openTimeMs
  closes![k] = closeTimeMs
  // One comparison a cell: NaN is the only value that differs from itself.
  let v: number
  if ((v = batch.open[k] = decimalOrNaN(cells[1])) !== v) return false
  if ((v = batch.high[k] = decimalOrNaN(cells[2])) !== v) return false
  if ((v = batch.low[k] = decimalOrNaN(cells[3])) !== v) return false
  if ((v = batch.close[k] = decimalOrNaN(cells[4])) !== v) return false
  if ((v = batch.volume[k] = decimalOrNaN(cells[5])) !== v) return false
  if ((v = quoteVolume![k] = decimalOrNaN(cells[7])) !== v) return false
  if ((v = trades![k] = decimalOrNaN(cells[8])) !== v) return false
  if ((v = takerBuyBaseVolume![k] = decimalOrNaN(cells[9])) !== v) return false
  if ((v = takerBuyQuoteVolume![k] = decimalOrNaN(cells[10])) !== v) return false
  return true
}

function describeBadRow(row: unknown, i: number): Finding {
  if (!Array.isArray(row)) return { kind: 'bad-number', detail: `row ${i}: ${show(row)} is no row` }
  const cells: readonly unknown[] = row
  const openTimeMs = decimalOrNaN(cells[0])
  const where = isEpochMs(openTimeMs) ? { openTimeMs } : {}
  return { kind: 'bad-number', ...where, detail: `row ${i}: ${faultOf(cells)}` }
}

function faultOf(cells: readonly unknown[]): string {
  if (cells.length < columns.length) return `${cells.length} columns, ${columns.length} expected`
  for (let c = 0; c < columns.length - 1; c++) {
    const value = decimalOrNaN(cells[c])
    if (timeColumns.has(c) && !isEpochMs(value)) return `${columns[c]} ${whyNoTime(cells[c])}`
    if (Number.isNaN(value)) return `${columns[c]} ${show(cells[c])} is no number`
  }
  return 'no fault found'
}
