import type { Ledger } from '../ledger/ledger.ts'
import { intersect, type RangeSet, subtract, toRangeSet } from '../model/range-set.ts'
import { type SliceGrid, sliceRangeAt, sliceRanges, wholeSlices } from '../model/slice.ts'
import { overlap, type TimeRange } from '../model/time.ts'
import type { SeriesJob } from './house.ts'

/** A slice before its key is made. */
export interface Cut {
  readonly range: TimeRange
  readonly limit: number
}

const isOnGrid = (grid: SliceGrid, { range, limit }: Cut): boolean => {
  const own = sliceRangeAt(grid, range.startMs)
  return limit === grid.limit && own.startMs === range.startMs && own.endMs === range.endMs
}

/**
 * Answered slices of another cut than the series has now, in and about `asked`: a setting or the endpoint's page was
 * another one then. They keep their keys, and new slices are cut around them, so that no bar is in two of them. Costs a
 * look at the records there; none of a series is of another cut as a rule.
 */
export async function otherCuts(
  { ledger }: { readonly ledger: Pick<Ledger, 'slices'> },
  { ref, slices }: SeriesJob,
  asked: RangeSet,
): Promise<readonly Cut[]> {
  const kept: Cut[] = []
  for (const whole of toRangeSet(asked.map((part) => wholeSlices(slices, part)))) {
    for await (const { range, limit, sha256 } of ledger.slices(ref, whole))
      if (sha256 !== null && !isOnGrid(slices, { range, limit })) kept.push({ range, limit })
  }
  return kept
}

/**
 * Forgets slices that were never answered and lie where others are asked for now: they hold nothing, and nobody would
 * ask for them again.
 */
export async function forgetOtherCuts(
  { ledger }: { readonly ledger: Pick<Ledger, 'slices' | 'forget'> },
  { ref, slices }: SeriesJob,
  asked: RangeSet,
): Promise<void> {
  const gone: string[] = []
  for (const part of asked) {
    for await (const { sliceId, range, limit, sha256 } of ledger.slices(ref, part))
      if (sha256 === null && !isOnGrid(slices, { range, limit })) gone.push(sliceId)
  }
  if (gone.length > 0) await ledger.forget(ref, gone)
}

/**
 * The slices that together cover `asked`, ascending, each once: those on the series' grid, whole, the first of which may
 * start before it; and where answered slices of another cut lie, those as they are, with the grid's cut around them. Made
 * one at a time.
 *
 * @param kept what `otherCuts` found there.
 */
export function* cutsOf(grid: SliceGrid, asked: RangeSet, kept: readonly Cut[] = []): Generator<Cut> {
  const again = kept
    .filter(({ range }) => intersect([range], asked).length > 0)
    .sort((a, b) => a.range.startMs - b.range.startMs)
  let next = 0
  for (const cut of newCuts(grid, asked, toRangeSet(kept.map(({ range }) => range)))) {
    while (next < again.length && again[next]!.range.startMs < cut.range.startMs) yield again[next++]!
    yield cut
  }
  yield* again.slice(next)
}

function* newCuts(grid: SliceGrid, asked: RangeSet, taken: RangeSet): Generator<Cut> {
  const { limit } = grid
  let doneMs = 0
  let at = 0
  for (const part of taken.length === 0 ? asked : subtract(asked, taken)) {
    for (const range of sliceRanges(grid, part)) {
      while (at < taken.length && taken[at]!.endMs <= range.startMs) at++
      for (const piece of around(range, taken, at)) {
        if (piece.startMs < doneMs || !overlap(piece, part)) continue
        doneMs = piece.endMs
        yield { range: piece, limit }
      }
    }
  }
}

/** What of a range is not taken; `at` is the first of those that may lie in it. */
function around(range: TimeRange, taken: RangeSet, at: number): RangeSet {
  let end = at
  while (end < taken.length && taken[end]!.startMs < range.endMs) end++
  return end === at ? [range] : subtract([range], taken.slice(at, end))
}
