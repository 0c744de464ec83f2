import { weightOf } from '../../chunking/definitions.ts'
import type { HttpRequest } from '../../model/http.ts'
import type { Series } from '../../model/series.ts'
import type { EpochMs } from '../../model/time.ts'
import { countOpens, fixedWidthMs, isCalendarTimeframe } from '../../model/timeframe.ts'
import { unreadable } from '../answer.ts'
import { refuseSeries, refuseWideWindow } from '../asked.ts'
import type { BarWindow, EndpointSpec, SyncSource } from '../source.ts'
import { checkBinance } from './check.ts'
import { readKlineRows } from './rows.ts'
import { getRequest, readSymbols, readVenueInfo } from './venue.ts'

/** What differs between the venue's kline endpoints besides the spec. */
export interface KlineEndpoint {
  readonly spec: EndpointSpec
  readonly baseUrl: string
  /** `/api/v3/klines` */
  readonly path: string
  readonly maxPoints: number
  readonly info: { readonly path: string; readonly weight: number; readonly bySymbol: boolean }
}

/** A kline endpoint as a source: the spec, and the functions all of them share. */
export function klineSource({ spec, baseUrl, path, maxPoints, info }: KlineEndpoint): SyncSource {
  const { bucket } = spec
  const klines = (series: Series, limit: number, times: Readonly<Record<string, number>>): HttpRequest => {
    refuseSeries(spec, series)
    const at = { baseUrl, path, bucket, weight: weightOf(spec.weightPolicy, limit) }
    return getRequest(at, { symbol: series.instrument.symbol, interval: series.timeframe, ...times, limit })
  }
  return {
    spec,
    request: (window) => {
      refuseWideWindow(spec, window, { bars: barsIn(window), barsMax: maxPoints })
      const { series, range, limit } = window
      // Both bounds are inclusive on the open time, a range holds its start only: hence the millisecond less.
      return klines(series, limit, { startTime: range.startMs, endTime: range.endMs - 1 })
    },
    check: checkBinance,
    decode: (body, { limit }) => readKlineRows(body, limit),
    // Not 0, which servers in between may take for no start at all: they would give the latest bar for the first.
    firstBar: { request: (series) => klines(series, 1, { startTime: 1 }), decode: readOneOpenTime },
    // Without times the venue gives its most recent rows.
    lastBar: { request: (series) => klines(series, 1, {}), decode: readOneOpenTime },
    nextBar: {
      request: (series, fromMs) => klines(series, 1, { startTime: fromMs }),
      decode: readOneOpenTime,
    },
    instruments: {
      request: () => getRequest({ baseUrl, path: info.path, bucket, weight: info.weight }, {}),
      decode: readSymbols,
    },
    venueInfo: {
      request: (series) => {
        const parameters = info.bySymbol ? { symbol: series.instrument.symbol } : {}
        return getRequest({ baseUrl, path: info.path, bucket, weight: info.weight }, parameters)
      },
      decode: (body) => readVenueInfo(body, bucket),
    },
  }
}

/** Open time of the only row of an answer to `limit=1`. */
function readOneOpenTime(body: Uint8Array): EpochMs | undefined {
  const { rows, badRows } = readKlineRows(body)
  if (badRows.length > 0) throw unreadable(badRows[0]!.detail)
  return rows.length === 0 ? undefined : rows.openTimeMs[0]!
}

function barsIn({ series, range }: BarWindow): number {
  const width = fixedWidthMs(series.timeframe)
  return width === undefined || isCalendarTimeframe(series.timeframe)
    ? countOpens(series.timeframe, range)
    : Math.ceil((range.endMs - range.startMs) / width)
}
