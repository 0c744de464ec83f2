import { parseTimeframe, type Timeframe } from '../../model/timeframe.ts'
import { json } from '../binance/answers.ts'
import { numberIn, type Pair, pairsOf, rowsFor, type VenueQuery, type VenueRoute } from './shape.ts'

const LIMIT_MAX = 300
/** The endpoint for recent bars goes back so far and no farther. */
const RECENT = 1_440
const FAR = Number.MAX_SAFE_INTEGER

const idOf = ({ base, quote }: Pair): string => `${base}-${quote}`

/** OKX's V5 REST, spot: `{"code":"0","msg":"","data":[…]}`, refusals with status 200. */
export const okx: readonly VenueRoute[] = [
  {
    path: /^\/api\/v5\/public\/instruments$/,
    endpoint: 'markets',
    serve: ({ feed, query }) => ok(query.get('instType') === 'SPOT' ? pairsOf(feed).map(describe) : []),
  },
  {
    path: /^\/api\/v5\/public\/time$/,
    endpoint: 'time',
    serve: ({ nowMs }) => ok([{ ts: String(nowMs) }]),
  },
  { path: /^\/api\/v5\/market\/(history-)?candles$/, endpoint: 'klines', serve: candles },
]

const ok = (data: unknown) => ({ answer: json({ code: '0', msg: '', data }) })
const refused = (code: string, msg: string) => ({ answer: json({ code, msg, data: [] }) })

/** `1H`, `1Dutc` as a timeframe. */
function timeframeOf(bar: string): Timeframe | undefined {
  const match = /^(\d{1,2})([mHDWM])(?:utc)?$/.exec(bar)
  if (!match) return undefined
  return parseTimeframe(`${match[1]}${match[2] === 'M' ? 'M' : match[2]!.toLowerCase()}`)
}

/** Newer than `before`, earlier than `after`, both exclusive; newest first. */
async function candles(asked: VenueQuery) {
  const { caught, query, feed, nowMs } = asked
  const pair = pairsOf(feed).find((one) => idOf(one) === query.get('instId'))
  if (!pair) return refused('51001', "Instrument ID doesn't exist.")
  const timeframe = timeframeOf(query.get('bar') ?? '1m')
  if (!timeframe) return refused('51000', 'Parameter bar error')
  const wanted = { symbol: pair.listing.symbol, timeframe, keep: 'newest' as const }
  const oldest = caught[0]
    ? 0
    : ((await rowsFor(asked, { ...wanted, fromMs: 0, toMs: nowMs, limit: RECENT }))[0]?.[0] ?? 0)
  const rows = await rowsFor(asked, {
    ...wanted,
    fromMs: Math.max(oldest, (numberIn(query, 'before') ?? -1) + 1),
    toMs: (numberIn(query, 'after') ?? FAR) - 1,
    limit: Math.min(LIMIT_MAX, numberIn(query, 'limit') ?? 100),
  })
  const data = rows
    .map(([ms, o, h, l, c, v, closeMs, turnover]) => [
      ...[String(ms), o, h, l, c, v, turnover, turnover],
      closeMs < nowMs ? '1' : '0',
    ])
    .reverse()
  return { ...ok(data), bars: data.length }
}

const describe = (pair: Pair) => ({
  instType: 'SPOT',
  instId: idOf(pair),
  baseCcy: pair.base,
  quoteCcy: pair.quote,
  lotSz: '0.00000001',
  minSz: '0.00001',
  tickSz: '0.1',
  state: 'live',
  listTime: String(pair.listing.onboardMs),
  uly: '',
  settleCcy: '',
  ctVal: '',
  lever: '',
})
