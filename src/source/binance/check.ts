import {
  type Answer,
  badRequest,
  busy,
  isRecord,
  jsonOf,
  type Meaning,
  notAnAnswer,
  rateLimited,
  refusal,
  refusePage,
  refuseStatus,
} from '../answer.ts'
import { show } from '../read.ts'

const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d

/** Above this a list is judged by its two ends: reading it here and again in decode would double its cost. */
const PARSE_MAX_BYTES = 16_384

/**
 * Refuses what is no answer of a Binance endpoint: its error bodies by their code, then every status but 2xx, then
 * HTML, an empty or cut body, `null` and a body of another shape. The path of the URL tells the shape: a list for
 * klines and trades, an object for exchangeInfo. Damage in the middle of a long list is left for decode to find.
 */
export function checkBinance(answer: Answer): void {
  const first = endsOf(answer.body, 0, 1)[0]
  if (first === OPEN_BRACE) refuseErrorBody(answer)
  refuseStatus(answer)
  refusePage(answer)
  if (/\/exchangeInfo$/.test(pathOf(answer.url))) refuseOtherThanInfo(answer)
  else if (answer.body.length <= PARSE_MAX_BYTES) refuseOtherThanList(answer)
  else refuseOtherEnds(answer)
}

function pathOf(url: string): string {
  const end = url.search(/[?#]/)
  return end < 0 ? url : url.slice(0, end)
}

function refuseOtherThanInfo(answer: Answer): void {
  const json = jsonOf(answer.body)
  if (json === undefined) throw notAnAnswer(answer, 'broken or truncated JSON')
  if (!isRecord(json) || !('serverTime' in json)) throw notAnAnswer(answer, 'JSON without serverTime')
}

function refuseOtherThanList(answer: Answer): void {
  const json = jsonOf(answer.body)
  if (json === undefined) throw notAnAnswer(answer, 'broken or truncated JSON')
  if (!Array.isArray(json)) throw notAnAnswer(answer, 'JSON that is no list')
}

/** A list of lists or of objects that hold neither: cut anywhere, it lacks one of its last two brackets. */
function refuseOtherEnds(answer: Answer): void {
  const { body } = answer
  const [first, second] = endsOf(body, 0, 1)
  const [last, beforeLast] = endsOf(body, body.length - 1, -1)
  if (first !== OPEN_BRACKET || (second !== OPEN_BRACKET && second !== OPEN_BRACE)) {
    throw notAnAnswer(answer, 'a body that is no list')
  }
  const closing = second === OPEN_BRACKET ? CLOSE_BRACKET : CLOSE_BRACE
  if (last !== CLOSE_BRACKET || beforeLast !== closing) throw notAnAnswer(answer, 'truncated JSON')
}

/** The first two bytes from `at` in direction `step` that are no white space. */
function endsOf(body: Uint8Array, at: number, step: 1 | -1): number[] {
  const found: number[] = []
  for (let i = at; i >= 0 && i < body.length && found.length < 2; i += step) {
    const byte = body[i]!
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) found.push(byte)
  }
  return found
}

/** What the venue's error codes mean, as its `errors.md` has them. */
const meanings: Readonly<Record<number, Meaning>> = {
  [-1000]: busy, // unknown
  [-1001]: busy, // disconnected
  [-1003]: rateLimited,
  [-1006]: busy, // unexpected response
  [-1007]: busy, // timeout
  [-1008]: busy, // overloaded
  [-1016]: busy, // shutting down
  [-1120]: {
    code: 'source.unknown-timeframe',
    recovery: 'abort',
    hint: 'This market has no bars of that width; 1s exists on spot only.',
  },
  [-1121]: {
    code: 'source.unknown-symbol',
    recovery: 'abort',
    hint: "Write the symbol as the venue does, without a slash: BTCUSDT. It may be listed on the venue's other market.",
  },
}

/** Codes not listed and outside the range for bad requests say no more than the status. */
function meaningOf(code: number, status: number, msg: string): Meaning | undefined {
  if (status === 429 || status === 418) return rateLimited
  if (code === -1100 && msg.includes("'symbol'")) return meanings[-1121] // characters no symbol has: BTC/USDT
  return meanings[code] ?? (code <= -1010 && code > -2000 ? badRequest : undefined)
}

function refuseErrorBody(answer: Answer): void {
  const json = jsonOf(answer.body)
  if (!isRecord(json)) return
  const { code, msg } = json
  if (typeof code !== 'number' || typeof msg !== 'string') return
  const meaning = meaningOf(code, answer.status, msg)
  if (!meaning) return
  throw refusal(answer, `code ${code}: ${show(msg, 200)}`, meaning)
}
