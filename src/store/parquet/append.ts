import { type BarBatch, emptyBatch, pickBars } from '../../model/bar.ts'
import type { EpochMs } from '../../model/time.ts'
import { equalBars, nothingChanged } from '../bars.ts'
import type { AppendEntry, CommitResult } from '../store.ts'
import type { DeltaFiles } from './delta-files.ts'
import type { FoundBar } from './delta-format.ts'
import type { LastBars } from './last-bars.ts'

/** An entry with more bars is worth the month it rewrites. */
const ENTRY_ROWS_MAX = 500

/** What becomes of an entry: bars for a delta file, and what that changes; or a commit. */
export type Sorted = { readonly fresh: BarBatch; readonly result: CommitResult } | 'commit'

/**
 * Sorts an entry of an append. Bars that open after all that is in month files go to a delta file; an older one that is
 * there with the same values is left alone, and any other means that a month has to be read, and maybe rewritten.
 */
export async function sortEntry(
  { deltas, last }: { readonly deltas: DeltaFiles; readonly last: LastBars },
  { series, batch }: AppendEntry,
  id: string,
): Promise<Sorted> {
  const lastMs = last.lastMs(series)
  if (lastMs === undefined || batch.length > ENTRY_ROWS_MAX) return 'commit'
  const fresh: number[] = []
  const revisedAtMs: EpochMs[] = []
  for (let i = 0; i < batch.length; i++) {
    const ms = batch.openTimeMs[i]!
    if (ms <= lastMs) {
      const known = await last.find(series, ms)
      if (!known || !isSame(known, batch, i)) return 'commit'
      continue
    }
    const known = deltas.find(id, ms)
    if (known && isSame(known, batch, i)) continue
    fresh.push(i)
    if (known) revisedAtMs.push(ms)
  }
  const revised = revisedAtMs.length
  return {
    fresh: fresh.length === 0 ? emptyBatch : pickBars(batch, fresh),
    result: {
      ...nothingChanged,
      inserted: fresh.length - revised,
      revised,
      unchanged: batch.length - fresh.length,
      revisedAtMs: revisedAtMs.slice(0, 100),
    },
  }
}

const isSame = ({ bars, at }: FoundBar, batch: BarBatch, i: number): boolean => equalBars(bars, batch)(at, i)
