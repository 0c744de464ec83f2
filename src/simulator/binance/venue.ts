import type { EpochMs } from '../../model/time.ts'
import type { FaultBook, FaultRule } from '../faults.ts'
import { hostile } from '../hostile.ts'
import type { Answer, SimulatedRequest } from '../http.ts'
import type { Feed, Market } from '../market/feed.ts'
import type { TrafficLog } from '../traffic.ts'
import { aggTrades } from './agg-trades.ts'
import { bannedUntil, json, notFound, Refused, refusal, tooMuchWeight, withHeaders } from './answers.ts'
import { exchangeInfo } from './exchange-info.ts'
import { klines, klinesLimitMax } from './klines.ts'
import { intervalOf, type Verdict, type WeightWindow } from './limits.ts'

/** Everything one simulated Binance is made of. */
export interface VenueParts {
  readonly feed: Feed
  readonly now: () => EpochMs
  readonly windows: Readonly<Record<Market, WeightWindow>>
  readonly limits: Readonly<Record<Market, number>>
  readonly windowMs: number
  readonly faults: FaultBook
  readonly traffic: TrafficLog
}

interface Served {
  readonly answer: Answer
  readonly bars?: number
}

interface Route {
  readonly market: Market
  /** Last part of the path; what faults and counts call it. */
  readonly endpoint: string
  readonly weight: (query: URLSearchParams) => number
  readonly serve: (request: SimulatedRequest, parts: VenueParts) => Served | Promise<Served>
}

const routes: ReadonlyMap<string, Route> = new Map(
  (['spot', 'um'] as const).flatMap((market) => {
    const base = market === 'spot' ? '/api/v3' : '/fapi/v1'
    return Object.entries(endpointsOf(market)).map(
      ([endpoint, route]) => [`${base}/${endpoint}`, { market, endpoint, ...route }] as const,
    )
  }),
)

function endpointsOf(market: Market): Record<string, Pick<Route, 'weight' | 'serve'>> {
  return {
    klines: {
      weight: (query) => (market === 'spot' ? 2 : umKlinesWeight(query)),
      serve: ({ query, headers }, { feed, now }) => {
        const unit = String(headers['x-mbx-time-unit'] ?? '').toLowerCase()
        return klines(query, market, feed, now(), market === 'spot' && unit === 'microsecond')
      },
    },
    exchangeInfo: {
      weight: () => (market === 'spot' ? 20 : 1),
      serve: ({ query }, { feed, now, limits, windowMs }) => ({
        answer: json(exchangeInfo(query, market, feed, now(), { weight: limits[market], windowMs })),
      }),
    },
    aggTrades: {
      weight: () => (market === 'spot' ? 4 : 20),
      serve: async ({ query }, { feed, now }) => ({ answer: await aggTrades(query, market, feed, now()) }),
    },
    time: { weight: () => 1, serve: (_, { now }) => ({ answer: json({ serverTime: now() }) }) },
    ping: { weight: () => 1, serve: () => ({ answer: json({}) }) },
  }
}

/** Below 100 rows 1, below 500 2, up to 1,000 5, above 10. */
function umKlinesWeight(query: URLSearchParams): number {
  const asked = Number(query.get('limit') ?? 500)
  const limit = Number.isFinite(asked) ? Math.min(asked, klinesLimitMax.um) : 500
  return limit < 100 ? 1 : limit < 500 ? 2 : limit <= 1000 ? 5 : 10
}

/** Answers one request as Binance does: weight first, then faults, then the endpoint. */
export async function answerRequest(request: SimulatedRequest, parts: VenueParts): Promise<Answer> {
  const route = routes.get(request.path)
  if (!route || request.method !== 'GET') {
    const answer = route
      ? refusal(-1020, 'This operation is not supported.', 405)
      : notFound(accepts(request))
    parts.traffic.add({ request, answer, market: null, endpoint: null, weight: 0, used: 0, faults: [] })
    return answer
  }
  const { market, endpoint } = route
  const weight = route.weight(request.query)
  const met = parts.faults.next(endpoint, request.query.get('symbol'))
  const verdict = judge(parts.windows[market], weight, met)
  const served =
    verdict.kind === 'served' ? await serve(route, request, parts) : { answer: sayNo(verdict, parts, market) }
  const spoiled = met.reduce((answer, rule) => spoil(answer, rule, verdict), served.answer)
  const answer = withHeaders(spoiled, usedWeightHeaders(market, verdict.used, parts.windowMs))
  parts.traffic.add({
    request,
    answer,
    market,
    endpoint,
    weight,
    used: verdict.used,
    faults: met.map((rule) => rule.kind),
    ...('bars' in served && served.bars !== undefined ? { bars: served.bars } : {}),
  })
  return answer
}

const accepts = (request: SimulatedRequest): string => String(request.headers.accept ?? '')

/** The window's word on one more request, with the faults that concern it. */
function judge(window: WeightWindow, weight: number, met: readonly FaultRule[]): Verdict {
  for (const { kind, value } of met) if (kind === 'weight-jump') window.add(value ?? 1000)
  const verdict = window.charge(weight)
  if (verdict.kind === 'banned') return verdict
  if (met.some(({ kind }) => kind === '418')) return window.ban()
  if (met.some(({ kind }) => kind === '429' || kind === '429-bare')) return window.refuse()
  return verdict
}

async function serve(route: Route, request: SimulatedRequest, parts: VenueParts): Promise<Served> {
  try {
    return await route.serve(request, parts)
  } catch (error) {
    if (error instanceof Refused) return { answer: error.answer }
    throw error
  }
}

function sayNo(verdict: Exclude<Verdict, { kind: 'served' }>, parts: VenueParts, market: Market): Answer {
  if (verdict.kind === 'banned') return bannedUntil(verdict.untilMs, verdict.retryAfterS)
  const { interval, intervalNum } = intervalOf(parts.windowMs)
  return tooMuchWeight(parts.limits[market], `${intervalNum} ${interval}`, verdict.retryAfterS)
}

function spoil(answer: Answer, { kind, value }: FaultRule, verdict: Verdict): Answer {
  switch (kind) {
    case '429':
    case '418':
    case 'weight-jump':
      return answer
    case '429-bare': {
      const { 'Retry-After': _, ...headers } = answer.headers
      return { ...answer, headers }
    }
    default:
      return verdict.kind === 'served' ? hostile[kind].apply(answer, value) : answer
  }
}

/**
 * Named by the window's length, and `-1M` always: that is the name clients know, and a shortened window stands for a
 * minute. Spot sends the weight once more without a name.
 */
function usedWeightHeaders(market: Market, used: number, windowMs: number): Record<string, string> {
  const { interval, intervalNum } = intervalOf(windowMs)
  const text = String(used)
  return {
    'X-MBX-USED-WEIGHT-1M': text,
    ...(windowMs === 60_000 ? {} : { [`X-MBX-USED-WEIGHT-${intervalNum}${interval[0]}`]: text }),
    ...(market === 'spot' ? { 'X-MBX-USED-WEIGHT': text } : {}),
  }
}
