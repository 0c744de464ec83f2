import { EverybarError } from '../../model/errors.ts'
import type { HttpRequest } from '../../model/http.ts'
import { type Series, seriesId } from '../../model/series.ts'
import type { EpochMs } from '../../model/time.ts'
import { countOpens } from '../../model/timeframe.ts'
import { isRecord, jsonOf, unreadable } from '../answer.ts'
import { refuseSeries, refuseWideWindow } from '../asked.ts'
import type { BarWindow, EndpointSpec, SyncSource, VenueInfo } from '../source.ts'
import { readCandles } from './candles.ts'
import { checkKite } from './check.ts'
import { readInstruments } from './instruments.ts'
import { barsInDays, type DayCaps, istText, kiteAnchorOf, kiteIntervalOf } from './intervals.ts'

/** What the sources are told of the world; they look nothing up themselves. */
export interface KiteContext {
  /** `https://api.kite.trade`. May have a path. */
  readonly baseUrl: string
  /**
   * `token api_key:access_token`. A function, so that it need not be known until a request is made.
   *
   * @throws EverybarError `source.login-expired` (abort) when there is no valid login.
   */
  readonly authorization: () => string
  /** The number the venue knows an instrument by; `undefined` for one that is not, or no longer, in its list. */
  readonly tokenOf: (exchange: string, symbol: string) => string | undefined
  readonly dayCaps: DayCaps
}

/** A symbol's parts: `NIFTY24JANFUT#continuous` is the future and those before it, day by day. */
export function kiteSymbol(symbol: string): { readonly symbol: string; readonly continuous: boolean } {
  const continuous = symbol.endsWith('#continuous')
  return { symbol: continuous ? symbol.slice(0, -'#continuous'.length) : symbol, continuous }
}

/** Exchanges whose instruments have open interest. */
const derivatives: ReadonlySet<string> = new Set(['nfo', 'bfo', 'cds', 'bcd', 'mcx', 'nco'])

/** An endpoint of historical candles as a source. */
export function historicalSource(spec: EndpointSpec, context: KiteContext): SyncSource {
  const { bucket } = spec
  const get = (path: string): HttpRequest => ({
    url: `${context.baseUrl.replace(/\/+$/, '')}${path}`,
    headers: { 'X-Kite-Version': '3', Authorization: context.authorization() },
    bucket,
    weight: 1,
  })
  return {
    spec,
    request: (window) => {
      refuseSeries(spec, window.series)
      refuseWideWindow(spec, window, sizeOf(window, context.dayCaps))
      return get(historicalPath(window, context))
    },
    check: checkKite,
    decode: (body) => readCandles(body),
    instruments: {
      request: (market) => get(`/instruments/${encodeURIComponent(market.toUpperCase())}`),
      decode: (body) =>
        readInstruments(body).instruments.map(({ symbol, type }) => ({ symbol, status: type })),
    },
    // The cheapest question that needs a login: it tells at once whether there is one, and the answer is dated.
    venueInfo: {
      request: () => get('/user/profile'),
      decode: (body, _, headers) => readClock(body, headers),
    },
  }
}

function historicalPath({ series, range }: BarWindow, { tokenOf }: KiteContext): string {
  const { market, symbol: name } = series.instrument
  const { symbol, continuous } = kiteSymbol(name)
  const token = tokenOf(market.toUpperCase(), symbol)
  if (token === undefined) throw unknownSymbol(series)
  if (continuous && series.timeframe !== '1d') throw continuousDaysOnly(series)
  // Both bounds are inclusive on the open time, and count whole seconds.
  const parameters: [string, string][] = [
    ['from', istText(range.startMs)],
    ['to', istText(range.endMs - 1_000)],
    ['continuous', continuous ? '1' : '0'],
    ['oi', derivatives.has(market) ? '1' : '0'],
  ]
  const query = parameters.map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join('&')
  return `/instruments/historical/${encodeURIComponent(token)}/${kiteIntervalOf(series.timeframe)!}?${query}`
}

/** The venue dates its answers to the second; its own pages say no more of its clock. */
function readClock(body: Uint8Array, headers: Readonly<Record<string, string>> = {}): VenueInfo {
  const json = jsonOf(body)
  if (!isRecord(json) || !isRecord(json.data)) throw unreadable('the profile has no data')
  const venueTimeMs: EpochMs = Date.parse(headers.date ?? '')
  if (!Number.isFinite(venueTimeMs)) throw unreadable('the answer has no date')
  return { venueTimeMs, limits: [] }
}

/** A request over more days than the venue serves is refused. */
function sizeOf({ series, range }: BarWindow, caps: DayCaps) {
  const days = caps[kiteIntervalOf(series.timeframe)!]
  const barsMax = barsInDays(series.timeframe, days)
  const bars = countOpens(series.timeframe, range, kiteAnchorOf(series.timeframe))
  return { bars, barsMax, most: `${barsMax} (${days} days)` }
}

const unknownSymbol = (series: Series): EverybarError =>
  new EverybarError('source.unknown-symbol', `${seriesId(series)} is not in the list of instruments`, {
    recovery: 'abort',
    hint: 'Run "everybar instruments sync kite", then "everybar instruments list kite" to see how it is written; expired ones cannot be asked for.',
  })

const continuousDaysOnly = (series: Series): EverybarError =>
  new EverybarError('source.unknown-timeframe', `${seriesId(series)}: continuous candles are days only`, {
    recovery: 'abort',
    hint: 'Ask for 1d, or for the contract itself without #continuous.',
  })
