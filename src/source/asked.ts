import { EverybarError } from '../model/errors.ts'
import { type Series, seriesId } from '../model/series.ts'
import type { BarWindow, EndpointSpec } from './source.ts'

/** @throws EverybarError `source.not-served` or `source.unknown-timeframe` (abort). */
export function refuseSeries(spec: EndpointSpec, series: Series): void {
  const { venue, market } = series.instrument
  if (venue !== spec.venue || !spec.markets.includes(market) || series.price !== 'trade') {
    throw new EverybarError('source.not-served', `${spec.id} does not serve ${seriesId(series)}`, {
      recovery: 'abort',
      hint: `It serves trade prices of ${spec.venue}:${spec.markets.join(', ')}.`,
    })
  }
  if (spec.timeframes.includes(series.timeframe)) return
  throw new EverybarError('source.unknown-timeframe', `${spec.id} has no ${series.timeframe} bars`, {
    recovery: 'abort',
    hint: `It has ${spec.timeframes.join(', ')}.`,
  })
}

/**
 * @param bars that could open in the window.
 * @param barsMax that one answer holds; `most` says it in the endpoint's own terms.
 * @throws EverybarError `source.window-too-wide` (abort).
 */
export function refuseWideWindow(
  { id }: EndpointSpec,
  { limit }: BarWindow,
  { bars, barsMax, most = String(barsMax) }: { bars: number; barsMax: number; most?: string },
): void {
  if (Number.isInteger(limit) && limit >= 1 && limit <= barsMax && bars <= limit) return
  throw new EverybarError(
    'source.window-too-wide',
    `${id}: ${bars} bars with a limit of ${limit} in one request, ${most} at most`,
    {
      recovery: 'abort',
      hint: 'This is a fault in the planner: it must cut the range into smaller windows.',
    },
  )
}
