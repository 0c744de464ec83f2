import { EverybarError, isEverybarError, messageOf, type Recovery } from '../../model/errors.ts'
import { type Answer, notAnAnswer } from '../answer.ts'

interface Meaning {
  readonly code: string
  readonly recovery: Recovery
  readonly hint: string
}

const passing: Meaning = {
  code: 'source.venue-error',
  recovery: 'retry',
  hint: 'The venue had a fault of its own, or is under maintenance. It passes.',
}

/**
 * ccxt's classes of errors, most special first: it has one for what each venue's codes mean. What it could not sort any
 * further (`ExchangeError`) is tried again: nothing says that it will not pass.
 */
const meanings: readonly (readonly [name: string, meaning: Meaning])[] = [
  [
    'BadSymbol',
    {
      code: 'source.unknown-symbol',
      recovery: 'abort',
      hint: "Write the symbol as the venue does, or as ccxt does: BTC/USD. It may be listed on the venue's other market.",
    },
  ],
  [
    'RestrictedLocation',
    {
      code: 'source.geo-blocked',
      recovery: 'abort',
      hint: 'The venue does not serve this place. Use an address it serves, as base_url.',
    },
  ],
  [
    'RateLimitExceeded',
    {
      code: 'source.rate-limited',
      recovery: 'retry',
      hint: 'Another process may share this address and its budget; stop it, or lower the share of the limit.',
    },
  ],
  [
    'DDoSProtection',
    {
      code: 'source.rate-limited',
      recovery: 'retry',
      hint: 'The venue defends itself against this address. Lower the share of the limit.',
    },
  ],
  [
    'AuthenticationError',
    {
      code: 'source.refused',
      recovery: 'abort',
      hint: 'The venue wants a key for these bars; everybar asks public endpoints only.',
    },
  ],
  [
    'BadRequest',
    {
      code: 'source.refused',
      recovery: 'abort',
      hint: 'The venue found fault with the request itself: check symbol and timeframe.',
    },
  ],
  [
    'NotSupported',
    { code: 'source.refused', recovery: 'abort', hint: 'ccxt cannot read such bars from this venue.' },
  ],
  [
    'ArgumentsRequired',
    {
      code: 'source.refused',
      recovery: 'abort',
      hint: 'ccxt wants more than a public request of bars says.',
    },
  ],
  ['OperationFailed', passing],
  ['ExchangeError', passing],
]

/** The classes of an error, its own first, by name: the library need not be loaded to tell them. */
function classesOf(error: unknown): ReadonlySet<string> {
  const names = new Set<string>()
  for (let at: object | null = error as object; at; at = Object.getPrototypeOf(at) as object | null) {
    names.add(at.constructor?.name ?? '')
  }
  return names
}

/** What ccxt said an answer means; `undefined` where it has no word for it, and the status or the shape has to tell. */
export function meaningOf(error: unknown): Meaning | undefined {
  if (!(error instanceof Error)) return undefined
  const classes = classesOf(error)
  if (classes.has('BadResponse')) return undefined // `NullResponse` too: it is no answer at all
  return meanings.find(([name]) => classes.has(name))?.[1]
}

/** `source.unknown-symbol` (abort), where the venue's words tell it and ccxt's class does not. */
export function unknownSymbol(answer: Answer, cause: unknown): EverybarError {
  const [, { code, recovery, hint }] = meanings[0]!
  const message = `${answer.url} answered ${answer.status}: ${messageOf(cause).slice(0, 300)}`
  return new EverybarError(code, message, { recovery, hint, cause })
}

/** An error of ccxt as one of ours. What is none of its classes was a body it could not make sense of. */
export function asSourceError(error: unknown, answer: Answer): EverybarError {
  if (isEverybarError(error)) return error
  const meaning = meaningOf(error)
  if (!meaning) return notAnAnswer(answer, 'something that is no answer')
  const { code, recovery, hint } = meaning
  const said = messageOf(error).slice(0, 300)
  return new EverybarError(code, `${answer.url} answered ${answer.status}: ${said}`, {
    recovery,
    hint,
    cause: error,
  })
}
