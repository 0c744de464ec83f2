import { type BarBatch, batchWithin, emptyBatch } from '../../model/bar.ts'
import { type Series, seriesId } from '../../model/series.ts'
import type { TimeRange } from '../../model/time.ts'
import {
  byMonth,
  checkBatch,
  checkEntries,
  checkWithin,
  mergeBars,
  ownCopy,
  replaceBars,
  withoutBlankColumns,
} from '../bars.ts'
import type { AppendEntry, CommitResult, Store, StoredExtent } from '../store.ts'

/** What memory stores of one name share: pass the same one to open a store again. */
export type MemoryShelf = Map<string, BarBatch>

/**
 * A store that keeps bars in this process: for tests, and for a look at a series without leaving anything behind.
 * About 100 bytes a bar. With a `shelf` it can be closed and opened again.
 */
export function openMemoryStore(
  options: { readonly name?: string; readonly shelf?: MemoryShelf } = {},
): Store {
  return new MemoryStore(options.name ?? 'memory', options.shelf ?? new Map())
}

class MemoryStore implements Store {
  readonly traits = { kind: 'memory', rowsPerCommit: 131_072, rewritesMonths: false }
  readonly name: string
  private readonly shelf: MemoryShelf

  constructor(name: string, shelf: MemoryShelf) {
    this.name = name
    this.shelf = shelf
  }

  async commit(series: Series, batch: BarBatch, signal?: AbortSignal): Promise<CommitResult> {
    checkBatch(batch)
    signal?.throwIfAborted()
    const { batch: merged, ...result } = mergeBars(this.kept(series), ownCopy(batch))
    this.keep(series, merged)
    return result
  }

  async append(entries: readonly AppendEntry[], signal?: AbortSignal): Promise<readonly CommitResult[]> {
    checkEntries(entries)
    signal?.throwIfAborted()
    return Promise.all(entries.map(({ series, batch }) => this.commit(series, batch)))
  }

  async replace(
    series: Series,
    range: TimeRange,
    batch: BarBatch,
    signal?: AbortSignal,
  ): Promise<CommitResult> {
    checkBatch(batch)
    checkWithin(batch, range)
    signal?.throwIfAborted()
    const old = this.kept(series)
    const { batch: _, ...result } = mergeBars(batchWithin(old, range), batch)
    this.keep(series, replaceBars(old, range, ownCopy(batch)))
    return result
  }

  async *scan(series: Series, range: TimeRange, signal?: AbortSignal): AsyncGenerator<BarBatch> {
    for (const { bars } of byMonth(batchWithin(this.kept(series), range))) {
      signal?.throwIfAborted()
      yield ownCopy(withoutBlankColumns(bars))
    }
  }

  async extent(series: Series): Promise<StoredExtent | undefined> {
    const { length, openTimeMs } = this.kept(series)
    if (length === 0) return undefined
    return { rows: length, firstMs: openTimeMs[0]!, lastMs: openTimeMs[length - 1]! }
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  private kept(series: Series): BarBatch {
    return this.shelf.get(seriesId(series)) ?? emptyBatch
  }

  private keep(series: Series, batch: BarBatch): void {
    if (batch.length === 0) this.shelf.delete(seriesId(series))
    else this.shelf.set(seriesId(series), batch)
  }
}
