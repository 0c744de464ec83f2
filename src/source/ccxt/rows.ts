import { allocateBatch, sliceBatch } from '../../model/bar.ts'
import type { Finding } from '../../model/finding.ts'
import { isRecord } from '../answer.ts'
import { decimalOrNaN, isEpochMs, show, whyNoTime } from '../read.ts'
import type { DecodedPage } from '../source.ts'
import type { Reading } from './exchange.ts'

const columns = ['openTimeMs', 'open', 'high', 'low', 'close', 'volume'] as const

/** Nothing was traded before: an earlier time is another unit, or no time. */
const FIRST_MS = Date.UTC(2009, 0, 1)

/**
 * Rows as ccxt ordered their cells, in answer order: time, open, high, low, close, volume. A row with a cell that is no
 * number is left out and named in `badRows`.
 */
export function readRows(rows: readonly unknown[]): DecodedPage {
  const batch = allocateBatch(rows.length, [])
  const badRows: Finding[] = []
  let kept = 0
  rows.forEach((row, i) => {
    const cells = Array.isArray(row) ? (row as readonly unknown[]) : []
    const values = columns.map((_, c) => decimalOrNaN(cells[c]))
    const fault = faultOf(cells, values)
    if (fault !== undefined) {
      const where = isTime(values[0]!) ? { openTimeMs: values[0]! } : {}
      badRows.push({ kind: 'bad-number', ...where, detail: `row ${i}: ${fault}` })
      return
    }
    columns.forEach((column, c) => {
      batch[column][kept] = values[c]!
    })
    kept++
  })
  return { rows: sliceBatch(batch, 0, kept), badRows }
}

const isTime = (value: number): boolean => isEpochMs(value) && value >= FIRST_MS

function faultOf(cells: readonly unknown[], values: readonly number[]): string | undefined {
  if (!isTime(values[0]!)) return `openTimeMs ${whyNoTime(cells[0])}`
  const c = values.findIndex(Number.isNaN)
  return c < 0 ? undefined : `${columns[c]} ${show(cells[c])} is no number`
}

/** What an empty answer may hide in; a page of rows is not searched. */
const NODES_MAX = 10_000

/**
 * Whether the answer holds the list of bars. ccxt reads a missing list as an empty one, so an answer without rows counts
 * only when the very list it read is in the body, or, where it put columns together to rows, when empty columns are.
 */
export function holdsList({ json, list, rows }: Reading): boolean {
  if (rows !== undefined && rows.length > 0) return true
  const queue: unknown[] = [json]
  for (let i = 0; i < queue.length && i < NODES_MAX; i++) {
    const node = queue[i]
    if (Array.isArray(node)) {
      if (node === list) return true
      for (const inner of node as unknown[]) queue.push(inner)
    } else if (isRecord(node)) {
      const inner = Object.values(node)
      if (inner.filter((one) => Array.isArray(one) && one.length === 0).length >= 5) return true
      for (const one of inner) queue.push(one)
    }
  }
  return false
}
