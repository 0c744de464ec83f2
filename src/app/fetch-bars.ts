import type { ChunkMetrics } from '../chunking/telemetry.ts'
import type { Series } from '../model/series.ts'
import { type BarRequest, type BarResult, fetchBarsWith } from '../pipeline/fetch-bars.ts'
import type { Source } from '../source/source.ts'
import { openEmptyHouse } from './house.ts'
import { asSeries, contextOf, type LibraryOptions } from './library-options.ts'

export interface FetchBarsOptions extends LibraryOptions, Omit<BarRequest, 'series'> {
  /** `binance:spot:BTCUSDT:1m`, as text or parsed. */
  readonly series: string | Series
  /** Requests under way at once; the configuration's unless given. */
  readonly concurrency?: number
  readonly metrics?: ChunkMetrics
  /** Endpoints to choose from; everybar's own unless given. */
  readonly sources?: readonly Source[]
}

/**
 * Bars in memory, from any endpoint, inside the venue's rate limits; nothing is written. Only bars that are final by the
 * venue's clock. About 250 bytes a bar; `sync` is the way for more than a few million.
 *
 * - `range`: the bars that open in it; cut at the last final bar, and then `clamped.clampedTo` says where;
 * - `limit` alone: so many of the latest, asked for newest first and given in ascending order;
 * - both: so many from the start of the range.
 *
 * Calls of one process with the same settings are one client to the venue: they share its limits and its bans, and
 * `throttledMs` is what all of them waited meanwhile.
 *
 * No bars are no error: `data` is empty, and `findings` names every run that is `missing`. Rows that cannot be used are in
 * `findings` too, never in `data`.
 *
 * @throws EverybarError by recovery: `retry` when the venue gave no usable answer in all attempts, `quarantine` when one
 *   could not be read, `abort` for what a person has to change (`series.no-range`, `chunking.bad-range`,
 *   `chunking.bad-limit`, `source.unknown-symbol`, `source.unknown-timeframe`, `source.unknown-venue` …); the abort reason.
 */
export async function fetchBars(options: FetchBarsOptions): Promise<BarResult> {
  const { series, range, limit, concurrency, metrics, sources, signal } = options
  const house = await openEmptyHouse({ ...contextOf(options), command: 'fetch', shared: true })
  try {
    return await fetchBarsWith(
      {
        ...house,
        ...(sources && { sources }),
        ...(concurrency !== undefined && { concurrency }),
        ...(metrics && { metrics }),
        ...(signal && { signal }),
      },
      {
        series: asSeries(series),
        ...(range && { range }),
        ...(limit !== undefined && { limit }),
      },
    )
  } finally {
    await house[Symbol.asyncDispose]()
  }
}
