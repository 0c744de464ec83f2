import { type BarBatch, barAt, lowerBound, nativeFields, priceFields } from '../model/bar.ts'
import type { Finding } from '../model/finding.ts'
import type { EpochMs } from '../model/time.ts'

/** A final bar that a later answer gave with other values. */
export interface Revision {
  readonly openTimeMs: EpochMs
  /** Only the fields that differ. */
  readonly changes: readonly { readonly field: string; readonly was: number; readonly is: number }[]
}

/** Bars of `later` that `earlier` has with other values, ascending. Unknown native values do not count. */
export function* revisionsBetween(earlier: BarBatch, later: BarBatch): Generator<Revision> {
  if (earlier.length === 0) return
  for (let i = 0; i < later.length; i++) {
    const openTimeMs = later.openTimeMs[i]!
    const j = lowerBound(earlier.openTimeMs, openTimeMs)
    if (earlier.openTimeMs[j] !== openTimeMs || sameBar(earlier, j, later, i)) continue
    const was = barAt(earlier, j)
    const is = barAt(later, i)
    const changes = [
      ...priceFields.map((field) => ({ field, was: was[field], is: is[field] })),
      ...nativeFields.map((field) => ({ field, was: was.native?.[field], is: is.native?.[field] })),
    ].filter(
      (c): c is { field: typeof c.field; was: number; is: number } =>
        known(c.was) && known(c.is) && c.was !== c.is,
    )
    if (changes.length > 0) yield { openTimeMs, changes }
  }
}

const known = (value: number | undefined): boolean => value !== undefined && !Number.isNaN(value)

function sameBar(a: BarBatch, i: number, b: BarBatch, j: number): boolean {
  return (
    priceFields.every((field) => a[field][i] === b[field][j]) &&
    nativeFields.every((field) => a.native[field]?.[i] === b.native[field]?.[j])
  )
}

export const revisedFinding = ({ openTimeMs, changes }: Revision): Finding => ({
  kind: 'revised',
  openTimeMs,
  detail: changes.map(({ field, was, is }) => `${field} ${was} → ${is}`).join(', '),
})
