import { type BarBatch, emptyBatch, fieldsOf, pickBars, priceFields, sliceBatch } from '../model/bar.ts'
import type { FindingLog } from './finding-log.ts'

/** The kept rows ascending and one a time, with a finding for every disorder and every second row of a time. */
export function inOrder(
  rows: BarBatch,
  kept: Uint32Array,
  order: 'ascending' | 'descending',
  log: FindingLog,
): BarBatch {
  if (kept.length === 0) return emptyBatch
  const times = rows.openTimeMs
  let strict = true
  let misplaced = 0
  let firstMisplaced = 0
  for (let k = 1; k < kept.length; k++) {
    const step = times[kept[k]!]! - times[kept[k - 1]!]!
    if (step <= 0) strict = false
    if (order === 'ascending' ? step < 0 : step > 0) {
      if (misplaced++ === 0) firstMisplaced = times[kept[k]!]!
    }
  }
  if (misplaced > 0) {
    const side = order === 'ascending' ? 'before' : 'after'
    const text = `${misplaced} rows open ${side} the row ahead of them`
    log.add('out-of-order', firstMisplaced, () => text, misplaced)
  }
  if (strict) return run(rows, kept)
  const sorted = kept.slice().sort((a, b) => times[a]! - times[b]! || a - b)
  return pickBars(rows, lastOfEachTime(rows, sorted, log))
}

function lastOfEachTime(rows: BarBatch, sorted: Uint32Array, log: FindingLog): Uint32Array {
  const times = rows.openTimeMs
  let count = 0
  for (let k = 0; k < sorted.length; k++) {
    const here = sorted[k]!
    const next = sorted[k + 1]
    if (next === undefined || times[next] !== times[here]) sorted[count++] = here
    else if (sameRow(rows, here, next)) log.add('duplicate', times[here]!, () => 'the same row twice')
    else log.add('conflicting-duplicate', times[here]!, () => difference(rows, here, next))
  }
  return sorted.subarray(0, count)
}

/** The rows at ascending `positions`; without copying when none is left out between them. */
function run(rows: BarBatch, positions: Uint32Array): BarBatch {
  const first = positions[0]!
  const last = positions[positions.length - 1]!
  return last - first === positions.length - 1 ? sliceBatch(rows, first, last + 1) : pickBars(rows, positions)
}

const columnsOf = (rows: BarBatch) => [
  ...priceFields.map((field) => ({ field, column: rows[field] })),
  ...fieldsOf(rows).map((field) => ({ field, column: rows.native[field]! })),
]

const sameRow = (rows: BarBatch, a: number, b: number): boolean =>
  columnsOf(rows).every(({ column }) => sameValue(column[a]!, column[b]!))

/** NaN is the same as NaN: both are unknown. */
const sameValue = (a: number, b: number): boolean => a === b || (Number.isNaN(a) && Number.isNaN(b))

function difference(rows: BarBatch, a: number, b: number): string {
  const { field, column } = columnsOf(rows).find(({ column }) => !sameValue(column[a]!, column[b]!))!
  return `${field} ${column[a]}, then ${column[b]}; the later one is kept`
}
