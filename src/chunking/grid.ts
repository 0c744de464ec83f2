import type { EpochMs } from '../model/time.ts'
import { anchorOf, ceilToBar, countOpens, parseTimeframe, shiftBars, widthMsMax } from '../model/timeframe.ts'
import type { ChunkRequest } from './plan.ts'

/** The times bars of one timeframe open at. */
export interface Grid {
  /** The first open at or after `ms`. */
  readonly ceil: (ms: EpochMs) => EpochMs
  /** The open `bars` away from an open. */
  readonly shift: (openMs: EpochMs, bars: number) => EpochMs
  /** Opens in `[startMs, endMs)`. */
  readonly count: (startMs: EpochMs, endMs: EpochMs) => number
  /** Width of a bar, of the longest month for months. */
  readonly widthMs: number
}

/**
 * The grid of a request; `undefined` without a timeframe. Where the grid is documented nowhere and the request names no
 * anchor, it is counted from `anchorMs`: good for cutting time in pieces and for nothing else.
 *
 * @throws EverybarError `timeframe.unknown` (abort).
 */
export function gridOf(request: ChunkRequest, anchorMs: EpochMs): Grid | undefined {
  if (request.timeframe === undefined) return undefined
  const timeframe = parseTimeframe(request.timeframe)
  const anchor = request.anchorMs ?? anchorOf(timeframe) ?? anchorMs
  return {
    ceil: (ms) => ceilToBar(timeframe, ms, anchor),
    shift: (openMs, bars) => shiftBars(timeframe, openMs, bars),
    count: (startMs, endMs) => (startMs < endMs ? countOpens(timeframe, { startMs, endMs }, anchor) : 0),
    widthMs: widthMsMax(timeframe),
  }
}
