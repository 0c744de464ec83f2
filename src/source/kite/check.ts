import {
  type Answer,
  badRequest,
  busy,
  isRecord,
  jsonOf,
  type Meaning,
  notAnAnswer,
  refusal,
  refusePage,
  refuseStatus,
  textOf,
} from '../answer.ts'
import { show } from '../read.ts'
import { candlesIn } from './candles.ts'
import { isInstrumentCsv, isZipped } from './instruments.ts'

/**
 * Refuses what is no answer of the venue: its error bodies by their type, whatever their status, then every status but
 * 2xx, then HTML, an empty or cut body, `null` and JSON of another shape. The path tells the shape: CSV for
 * `/instruments`, a list of candles for `/instruments/historical/…`, an object else.
 */
export function checkKite(answer: Answer): void {
  const json = jsonOf(answer.body)
  if (answer.status === 401) throw refusal(answer, 'no valid login', expired)
  refuseErrorBody(answer, json)
  refuseStatus(answer)
  refusePage(answer)
  const path = new URL(answer.url).pathname
  if (/\/instruments(\/[^/]+)?$/.test(path)) {
    if (!isZipped(answer.body) && !isInstrumentCsv(textOf(answer.body.subarray(0, 512))))
      throw notAnAnswer(answer, 'no CSV of instruments')
    return
  }
  if (json === undefined) throw notAnAnswer(answer, 'broken or truncated JSON')
  if (/\/instruments\/historical\//.test(path)) {
    if (!candlesIn(json)) throw notAnAnswer(answer, 'JSON without candles')
  } else if (!isRecord(json) || !isRecord(json.data)) throw notAnAnswer(answer, 'JSON without data')
}

const noPermission: Meaning = {
  code: 'source.no-permission',
  recovery: 'abort',
  hint: 'The API key has no historical data, or was blocked: see the app at developers.kite.trade, then run again.',
}
const unknownInstrument: Meaning = {
  code: 'source.unknown-symbol',
  recovery: 'abort',
  hint: 'Run "everybar instruments sync kite": the instrument may have expired or got another token.',
}
const unknownInterval: Meaning = {
  code: 'source.unknown-timeframe',
  recovery: 'abort',
  hint: 'The venue has 1m, 3m, 5m, 10m, 15m, 30m, 1h and 1d.',
}
const expired: Meaning = {
  code: 'source.login-expired',
  recovery: 'abort',
  hint: 'Run "everybar kite login" (where EVERYBAR_KITE_ACCESS_TOKEN is set, that goes before it: give it a new token), then the same command again: it goes on where it stopped.',
}

/** What the venue's `error_type` means; types not listed say no more than the status. A 403 is of the login or the app, whatever its type. */
function meaningOf(type: string, message: string, status: number): Meaning | undefined {
  if (status === 403) return type === 'TokenException' ? expired : noPermission
  switch (type) {
    case 'TokenException':
      return expired
    case 'PermissionException':
    case 'UserException':
    case 'TwoFAException':
      return noPermission
    case 'InputException':
      if (/invalid (?:instrument )?token|instrument/i.test(message)) return unknownInstrument
      if (/invalid interval/i.test(message)) return unknownInterval
      return status === 429 ? undefined : badRequest
    case 'DataException':
    case 'NetworkException':
    case 'GeneralException':
      return status === 429 || status === 404 || status === 400 ? undefined : busy
    default:
      return undefined
  }
}

function refuseErrorBody(answer: Answer, json: unknown): void {
  if (!isRecord(json) || typeof json.error_type !== 'string') return
  const message = typeof json.message === 'string' ? json.message : ''
  const meaning = meaningOf(json.error_type, message, answer.status)
  if (!meaning) {
    if (answer.status >= 200 && answer.status < 300) throw notAnAnswer(answer, 'an error without a status')
    return
  }
  throw refusal(answer, `${json.error_type}: ${show(message, 200)}`, meaning)
}
