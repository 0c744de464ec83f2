import type { EpochMs, TimeRange } from './time.ts'

/**
 * A set of instants as disjoint, ascending half-open ranges that do not touch. Immutable; every function here
 * gives a new set in that form. The empty set is `[]`.
 */
export type RangeSet = readonly TimeRange[]

export const emptySet: RangeSet = []

/** Any ranges, in any order, overlapping or touching, as a set. Empty and reversed ones are dropped. */
export function toRangeSet(ranges: Iterable<TimeRange>): RangeSet {
  const sorted = [...ranges].filter((r) => r.startMs < r.endMs).sort((a, b) => a.startMs - b.startMs)
  const out: TimeRange[] = []
  for (const range of sorted) {
    const last = out.at(-1)
    if (last && range.startMs <= last.endMs) {
      if (range.endMs > last.endMs) out[out.length - 1] = { startMs: last.startMs, endMs: range.endMs }
    } else {
      out.push(range)
    }
  }
  return out
}

/** Everything in `a` or in `b`. */
export const union = (a: RangeSet, b: RangeSet): RangeSet =>
  a.length === 0 ? b : b.length === 0 ? a : toRangeSet([...a, ...b])

/** Everything in both. Linear in the two lengths. */
export function intersect(a: RangeSet, b: RangeSet): RangeSet {
  const out: TimeRange[] = []
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const startMs = Math.max(a[i]!.startMs, b[j]!.startMs)
    const endMs = Math.min(a[i]!.endMs, b[j]!.endMs)
    if (startMs < endMs) out.push({ startMs, endMs })
    if (a[i]!.endMs < b[j]!.endMs) i++
    else j++
  }
  return out
}

/** Everything in `a` that is not in `b`. Linear in the two lengths. */
export function subtract(a: RangeSet, b: RangeSet): RangeSet {
  const out: TimeRange[] = []
  let j = 0
  for (const range of a) {
    let from = range.startMs
    while (j < b.length && b[j]!.endMs <= from) j++
    for (let k = j; k < b.length && b[k]!.startMs < range.endMs; k++) {
      if (b[k]!.startMs > from) out.push({ startMs: from, endMs: b[k]!.startMs })
      from = Math.max(from, b[k]!.endMs)
    }
    if (from < range.endMs) out.push({ startMs: from, endMs: range.endMs })
  }
  return out
}

/** Whether one range of the set holds `ms`. Logarithmic. */
export function holds(set: RangeSet, ms: EpochMs): boolean {
  let low = 0
  let high = set.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (set[middle]!.endMs <= ms) low = middle + 1
    else high = middle
  }
  return low < set.length && set[low]!.startMs <= ms
}

/** The smallest single range that holds the whole set; `undefined` for the empty set. */
export const hull = (set: RangeSet): TimeRange | undefined =>
  set.length === 0 ? undefined : { startMs: set[0]!.startMs, endMs: set.at(-1)!.endMs }

/** Milliseconds covered. */
export const totalMs = (set: RangeSet): number => set.reduce((sum, r) => sum + r.endMs - r.startMs, 0)
