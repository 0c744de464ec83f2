import type { Series } from '../model/series.ts'
import { type Slice, type SliceGrid, slice, sliceRanges } from '../model/slice.ts'
import type { TimeRange } from '../model/time.ts'

/** What a slice can be known to be. */
export type KnownStatus = 'pending' | 'ok' | 'partial' | 'empty' | 'failed' | 'quarantined'

/** How one endpoint cuts a series: `slicingOf` tells it of every endpoint there is. */
export interface Slicing extends Omit<SliceGrid, 'timeframe'> {
  /** `binance.klines` */
  readonly endpoint: string
}

export interface ExpectedSlices extends Slicing {
  readonly series: Series
  readonly range: TimeRange
}

/**
 * The slices that together cover `range`, ascending, whole: the first may start before the range and the last end after
 * it. They are anchored on the epoch, so another range gives the same slices where it overlaps. Made one at a time: a
 * million of them take no memory.
 */
export function* computeExpectedSlices({
  series,
  range,
  endpoint,
  limit,
  days,
}: ExpectedSlices): Generator<Slice> {
  const grid = { timeframe: series.timeframe, limit, ...(days && { days }) }
  for (const part of sliceRanges(grid, range)) yield slice(series, endpoint, part, limit)
}

/**
 * The expected slices that still need a request: those not known, and those known as anything but `ok` or `empty`. As
 * lazy as what it is given.
 *
 * @param known statuses by composite key, as in a `manifest.json`.
 */
export function* computeMissingSlices(
  expected: Iterable<Slice>,
  known: ReadonlyMap<string, KnownStatus>,
): Generator<Slice> {
  for (const one of expected) {
    const status = known.get(one.key)
    if (status !== 'ok' && status !== 'empty') yield one
  }
}
