import type { Slicing } from '../coverage/slices.ts'
import { parseSeries, type Series } from '../model/series.ts'
import { jobOf } from '../pipeline/house.ts'
import { binanceSources } from '../source/binance/sources.ts'

/**
 * How the endpoint that serves a series cuts it: what `computeExpectedSlices` takes beside a series and a range.
 *
 * @throws EverybarError `source.unknown-venue`, `source.unknown-timeframe` (abort).
 */
export function slicingOf(series: string | Series): Slicing {
  const parsed = typeof series === 'string' ? parseSeries(series) : series
  const { ref, slices } = jobOf({ sources: binanceSources() }, parsed)
  return { endpoint: ref.endpoint, limit: slices.limit, ...(slices.days && { days: slices.days }) }
}
