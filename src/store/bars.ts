import {
  allocateBatch,
  type BarBatch,
  emptyBatch,
  fieldsOf,
  lowerBound,
  nativeFields,
  pickBars,
  priceFields,
  sliceBatch,
} from '../model/bar.ts'
import { EverybarError } from '../model/errors.ts'
import { seriesId } from '../model/series.ts'
import { type EpochMs, iso, monthOf, type TimeRange } from '../model/time.ts'
import type { AppendEntry, CommitResult } from './store.ts'

/** How many revised open times a commit names. */
const REVISED_TOLD = 100

export const nothingChanged: CommitResult = { inserted: 0, revised: 0, unchanged: 0, revisedAtMs: [] }

/**
 * Refuses what is not a batch of bars: open times that are no whole milliseconds or do not ascend strictly, prices or
 * volumes that are no finite numbers. Every store calls it before it touches anything. Costs a few ns a bar.
 *
 * @throws EverybarError `store.bad-batch` (abort): a bug in the caller, never the venue's fault.
 */
export function checkBatch(batch: BarBatch): void {
  const { openTimeMs } = batch
  let before = -1
  for (let i = 0; i < batch.length; i++) {
    const ms = openTimeMs[i]!
    if (!(ms > before && Number.isSafeInteger(ms))) refuse(i, `open time ${ms} after ${before}`)
    before = ms
  }
  for (const field of priceFields) {
    const column = batch[field]
    for (let i = 0; i < batch.length; i++) {
      if (!Number.isFinite(column[i])) refuse(i, `${field} is ${column[i]}`)
    }
  }
  for (const field of fieldsOf(batch)) {
    const column = batch.native[field]!
    for (let i = 0; i < batch.length; i++) {
      const value = column[i]!
      if (Math.abs(value) === Number.POSITIVE_INFINITY) refuse(i, `${field} is ${value}`)
    }
  }
}

/**
 * `checkBatch` for all entries of an `append`, and that no series stands in two of them.
 *
 * @throws EverybarError `store.bad-batch` (abort).
 */
export function checkEntries(entries: readonly AppendEntry[]): void {
  const seen = new Set<string>()
  for (const { series, batch } of entries) {
    checkBatch(batch)
    const id = seriesId(series)
    if (seen.has(id)) throw badBatch(`${id} stands in two entries of one append`)
    seen.add(id)
  }
}

function refuse(i: number, what: string): never {
  throw badBatch(`bar ${i} of the batch cannot be stored: ${what}`)
}

const badBatch = (what: string): EverybarError =>
  new EverybarError('store.bad-batch', what, {
    recovery: 'abort',
    hint: 'Stores take validated bars only: ascending open times, finite prices. This is a bug; please report it.',
  })

/** A batch cut at the first of each UTC month; the parts share its memory. Nothing for an empty batch. */
export function* byMonth(batch: BarBatch): Generator<{ month: TimeRange; bars: BarBatch }> {
  for (let from = 0; from < batch.length; ) {
    const month = monthOf(batch.openTimeMs[from]!)
    const to = lowerBound(batch.openTimeMs, month.endMs)
    yield { month, bars: sliceBatch(batch, from, to) }
    from = to
  }
}

/** `batch` without native columns that say nothing (all NaN): what was never observed leaves no trace. */
export function withoutBlankColumns(batch: BarBatch): BarBatch {
  const kept = fieldsOf(batch).filter((field) => batch.native[field]!.some((value) => !Number.isNaN(value)))
  if (kept.length === fieldsOf(batch).length) return batch
  return { ...batch, native: Object.fromEntries(kept.map((field) => [field, batch.native[field]!])) }
}

/** The same bars in memory of their own: the caller may use its arrays again, and they keep no larger batch alive. */
export const ownCopy = (batch: BarBatch): BarBatch =>
  pickBars(
    batch,
    Uint32Array.from({ length: batch.length }, (_, i) => i),
  )

export interface Merged extends CommitResult {
  /** Both batches as one, ascending; the newer bar where both have one. May share memory with either. */
  readonly batch: BarBatch
}

/**
 * What a store holds after `next` is committed onto `old`, and what that changes. A bar is replaced whole: native
 * fields that the newer batch lacks become unknown. Linear. Two unknown values (NaN) are equal.
 */
export function mergeBars(old: BarBatch, next: BarBatch): Merged {
  if (next.length === 0) return { ...nothingChanged, batch: old }
  const from = lowerBound(old.openTimeMs, next.openTimeMs[0]!)
  const to = lowerBound(old.openTimeMs, next.openTimeMs[next.length - 1]! + 1)
  if (from === to) {
    const parts = [sliceBatch(old, 0, from), next, sliceBatch(old, to, old.length)]
    return { ...nothingChanged, inserted: next.length, batch: joinAscending(parts) }
  }
  const { picks, revisedAtMs, revised, unchanged } = interleave(old, next)
  const inserted = next.length - revised - unchanged
  const batch = inserted + revised === 0 ? old : pickBars(joinAscending([old, next]), picks)
  return { batch, inserted, revised, unchanged, revisedAtMs }
}

/** Positions to pick from `old` followed by `next`, so that they ascend and the newer of two bars is taken. */
function interleave(old: BarBatch, next: BarBatch) {
  const sameBar = equalBars(old, next)
  const picks = new Uint32Array(old.length + next.length)
  const revisedAtMs: EpochMs[] = []
  let revised = 0
  let unchanged = 0
  let count = 0
  let i = 0
  for (let j = 0; j < next.length; j++) {
    const ms = next.openTimeMs[j]!
    while (i < old.length && old.openTimeMs[i]! < ms) picks[count++] = i++
    if (i < old.length && old.openTimeMs[i] === ms) {
      if (sameBar(i, j)) unchanged++
      else if (++revised <= REVISED_TOLD) revisedAtMs.push(ms)
      i++
    }
    picks[count++] = old.length + j
  }
  while (i < old.length) picks[count++] = i++
  return { picks: picks.subarray(0, count), revisedAtMs, revised, unchanged }
}

/** Whether bar `i` of `a` and bar `j` of `b` have the same values. */
export function equalBars(a: BarBatch, b: BarBatch): (i: number, j: number) => boolean {
  const pairs: [Float64Array | undefined, Float64Array | undefined][] = [
    ...priceFields.map((field): [Float64Array, Float64Array] => [a[field], b[field]]),
    ...nativeFields
      .filter((field) => a.native[field] || b.native[field])
      .map((field): [Float64Array | undefined, Float64Array | undefined] => [
        a.native[field],
        b.native[field],
      ]),
  ]
  return (i, j) => {
    for (const [left, right] of pairs) {
      const x = left ? left[i]! : Number.NaN
      const y = right ? right[j]! : Number.NaN
      if (x !== y && !(Number.isNaN(x) && Number.isNaN(y))) return false
    }
    return true
  }
}

/** Batches one after another, as they stand; a native column that some lack is NaN there. */
function joinAscending(parts: readonly BarBatch[]): BarBatch {
  const filled = parts.filter((part) => part.length > 0)
  if (filled.length <= 1) return filled[0] ?? emptyBatch
  const fields = nativeFields.filter((field) => filled.some((part) => part.native[field]))
  const all = allocateBatch(
    filled.reduce((sum, part) => sum + part.length, 0),
    fields,
  )
  let at = 0
  for (const part of filled) {
    all.openTimeMs.set(part.openTimeMs, at)
    for (const field of priceFields) all[field].set(part[field], at)
    for (const field of fields) {
      const column = part.native[field]
      if (column) all.native[field]!.set(column, at)
      else all.native[field]!.fill(Number.NaN, at, at + part.length)
    }
    at += part.length
  }
  return all
}

/** `old` with everything in `range` replaced by `batch`, which lies in `range`. */
export function replaceBars(old: BarBatch, range: TimeRange, batch: BarBatch): BarBatch {
  const from = lowerBound(old.openTimeMs, range.startMs)
  const to = lowerBound(old.openTimeMs, range.endMs)
  return joinAscending([sliceBatch(old, 0, from), batch, sliceBatch(old, to, old.length)])
}

/** @throws EverybarError `store.bad-batch` (abort) when a bar of `batch` opens outside `range`. */
export function checkWithin(batch: BarBatch, range: TimeRange): void {
  const last = batch.length - 1
  if (last < 0) return
  if (batch.openTimeMs[0]! < range.startMs) refuse(0, `it opens before ${iso(range.startMs)}`)
  if (batch.openTimeMs[last]! >= range.endMs) refuse(last, `it opens at or after ${iso(range.endMs)}`)
}
