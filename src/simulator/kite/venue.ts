import { createHash } from 'node:crypto'
import type { EpochMs } from '../../model/time.ts'
import type { FaultBook, FaultRule } from '../faults.ts'
import { hostile } from '../hostile.ts'
import type { Answer, SimulatedRequest } from '../http.ts'
import { type Candle, CandleMaker, dayCaps } from './candles.ts'
import { instrumentCsv, type SimulatedInstrument } from './instruments.ts'
import type { SecondWindow } from './second-window.ts'

/** What a simulated Kite is made of. */
export interface KiteParts {
  readonly instruments: () => readonly SimulatedInstrument[]
  readonly seed: number
  readonly isOpen: (day: number) => boolean
  readonly now: () => EpochMs
  readonly window: SecondWindow
  readonly faults: FaultBook
  readonly apiKey: string
  readonly apiSecret: string
  readonly requestToken: string
  /** The access token that is valid now, and until when. */
  readonly session: () => { readonly accessToken: string; readonly endsAtMs: EpochMs }
  /** Starts a new session, as a login does. */
  readonly login: () => void
  /** Candles as objects instead of arrays. */
  readonly objects: boolean
}

export interface Answered {
  readonly answer: Answer
  /** Last part of the path that has a meaning: `historical`, `instruments`, `profile`, `token`, `other`. */
  readonly endpoint: string
  readonly candles?: number
  readonly faults: readonly string[]
}

const json = (data: unknown, status = 200): Answer => ({
  status,
  headers: { 'Content-Type': 'application/json' },
  body: Buffer.from(JSON.stringify(data)),
})

const success = (data: unknown): Answer => json({ status: 'success', data })

const failure = (status: number, type: string, message: string): Answer =>
  json({ status: 'error', message, error_type: type, data: null }, status)

/** Answers one request as Kite does: the rate first, then the login, then the question, then what a fault makes of it. */
export function answerKite(request: SimulatedRequest, parts: KiteParts): Answered {
  const route = routeOf(request)
  const met = parts.faults.next(route.endpoint, route.symbol?.(parts) ?? null)
  const names = met.map(({ kind }) => kind)
  const refused = route.endpoint === 'historical' && !parts.window.take()
  if (refused || names.some((kind) => kind === '429' || kind === '429-bare')) {
    const answer = failure(429, 'NetworkException', 'Too many requests')
    return { answer, endpoint: route.endpoint, faults: names }
  }
  const { answer, candles } = served(route, request, parts)
  const spoiled = met.reduce(spoil, answer)
  return {
    answer: spoiled,
    endpoint: route.endpoint,
    faults: names,
    ...(candles !== undefined && { candles }),
  }
}

interface Route {
  readonly endpoint: string
  readonly open?: boolean
  readonly symbol?: (parts: KiteParts) => string | undefined
  readonly serve: (request: SimulatedRequest, parts: KiteParts) => Answer | Candle[]
  readonly interest?: boolean
}

function routeOf({ method, path, query }: SimulatedRequest): Route {
  const historical = /^\/instruments\/historical\/([^/]+)\/([^/]+)$/.exec(path)
  if (method === 'GET' && historical) {
    const [, token, interval] = historical as unknown as [string, string, string]
    return {
      endpoint: 'historical',
      symbol: (parts) => parts.instruments().find((one) => String(one.token) === token)?.symbol,
      serve: (request, parts) => candlesOf(token, interval, request, parts),
      interest: query.get('oi') === '1',
    }
  }
  const list = /^\/instruments(?:\/([A-Z]+))?$/.exec(path)
  if (method === 'GET' && list) {
    return { endpoint: 'instruments', open: true, serve: (_, parts) => csvOf(parts, list[1]) }
  }
  if (method === 'GET' && path === '/user/profile') {
    const profile = { user_id: 'EVB001', user_type: 'individual', exchanges: ['NSE', 'BSE', 'NFO'] }
    return { endpoint: 'profile', serve: () => success(profile) }
  }
  if (method === 'POST' && path === '/session/token')
    return { endpoint: 'token', open: true, serve: newSession }
  return {
    endpoint: 'other',
    open: true,
    serve: () => failure(404, 'GeneralException', 'Route not found'),
  }
}

function served(
  route: Route,
  request: SimulatedRequest,
  parts: KiteParts,
): { readonly answer: Answer; readonly candles?: number } {
  if (!route.open && !hasLogin(request, parts)) {
    return { answer: failure(403, 'TokenException', 'Incorrect `api_key` or `access_token`.') }
  }
  const found = route.serve(request, parts)
  if (!Array.isArray(found)) return { answer: found }
  const rows = found.map((candle) => rowOf(candle, route.interest === true, parts.objects))
  return { answer: success({ candles: rows }), candles: found.length }
}

function hasLogin({ headers }: SimulatedRequest, { apiKey, session, now }: KiteParts): boolean {
  const { accessToken, endsAtMs } = session()
  return headers.authorization === `token ${apiKey}:${accessToken}` && now() < endsAtMs
}

function candlesOf(
  token: string,
  interval: string,
  { query }: SimulatedRequest,
  parts: KiteParts,
): Answer | Candle[] {
  const cap = dayCaps[interval]
  if (cap === undefined) return failure(400, 'InputException', 'invalid interval')
  const instrument = parts.instruments().find((one) => String(one.token) === token)
  if (!instrument) return failure(400, 'InputException', 'invalid token')
  const fromMs = istTime(query.get('from'))
  const toMs = istTime(query.get('to'))
  if (Number.isNaN(fromMs)) return failure(400, 'InputException', 'invalid from date')
  if (Number.isNaN(toMs)) return failure(400, 'InputException', 'invalid to date')
  if (toMs < fromMs) return failure(400, 'InputException', 'from date cannot be greater than to date')
  if (toMs - fromMs > cap * 86_400_000) {
    return failure(400, 'InputException', `interval exceeds max limit: ${cap} days`)
  }
  return new CandleMaker(instrument, parts.seed, parts.isOpen).between(interval, fromMs, toMs, parts.now())
}

/** `2024-03-05 09:15:00` or a day alone, Indian time. */
function istTime(text: string | null): EpochMs {
  const match = /^(\d{4}-\d{2}-\d{2})(?:[ +](\d{2}:\d{2}:\d{2}))?$/.exec(text ?? '')
  return match ? Date.parse(`${match[1]}T${match[2] ?? '00:00:00'}+05:30`) : Number.NaN
}

function rowOf(candle: Candle, interest: boolean, objects: boolean): unknown {
  const { open, high, low, close, volume } = candle
  const date = `${new Date(candle.openMs + 19_800_000).toISOString().slice(0, 19)}+0530`
  // Every seventh is 0: a contract nobody holds any more.
  const oi = interest ? { oi: volume % 7 === 0 ? 0 : volume * 3 } : {}
  const row = { date, open, high, low, close, volume, ...oi }
  return objects ? row : Object.values(row)
}

function csvOf({ instruments }: KiteParts, exchange: string | undefined): Answer {
  // Only this very type is read as a list by the venue's own client.
  const body = Buffer.from(instrumentCsv(instruments(), exchange))
  return { status: 200, headers: { 'Content-Type': 'text/csv' }, body }
}

/** What a client sends after the login page: a checksum that shows that it knows the secret. */
function newSession({ body = '' }: SimulatedRequest, parts: KiteParts): Answer {
  const form = new URLSearchParams(body)
  const { apiKey, apiSecret, requestToken } = parts
  const sum = createHash('sha256').update(`${apiKey}${requestToken}${apiSecret}`).digest('hex')
  if (form.get('api_key') !== apiKey) return failure(403, 'TokenException', 'Invalid `api_key`.')
  if (form.get('request_token') !== requestToken || form.get('checksum') !== sum) {
    return failure(403, 'TokenException', 'Invalid `checksum`.')
  }
  parts.login()
  const loginTime = new Date(parts.now() + 19_800_000).toISOString().slice(0, 19).replace('T', ' ')
  return success({
    user_id: 'EVB001',
    api_key: apiKey,
    access_token: parts.session().accessToken,
    public_token: 'public',
    login_time: loginTime,
  })
}

/** Faults of rows work on the list of candles; the others on the answer as a whole. */
function spoil(answer: Answer, { kind, value }: FaultRule): Answer {
  if (kind === '429' || kind === '429-bare' || kind === '418' || kind === 'weight-jump') return answer
  const way = hostile[kind]
  const text = Buffer.from(answer.body).toString('utf8')
  if (answer.status !== 200 || !text.includes('"candles"') || !rowFaults.has(kind))
    return way.apply(answer, value)
  const { data } = JSON.parse(text) as { data: { candles: unknown[] } }
  const spoiled = way.apply({ ...answer, body: Buffer.from(JSON.stringify(data.candles)) }, value)
  const candles: unknown = JSON.parse(Buffer.from(spoiled.body).toString('utf8'))
  return { ...spoiled, body: Buffer.from(JSON.stringify({ status: 'success', data: { candles } })) }
}

const rowFaults: ReadonlySet<string> = new Set([
  ...['empty', 'duplicate', 'reverse', 'shuffle', 'null-price', 'nan', 'blanks', 'negative', 'exponent'],
  ...['high-below-low', 'short', 'hole', 'restated', 'extra-columns'],
])
