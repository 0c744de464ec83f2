import { EverybarError } from '../model/errors.ts'
import { type HostileName, hostile, isHostileName } from './hostile.ts'

/**
 * What goes wrong: a named hostility, or one of the venue's own: `429` and `418` are the real thing, so that a client
 * which goes on after them is banned; `429-bare` comes without `Retry-After`; `weight-jump` adds =N (1000) to the used
 * weight, as another process behind the same address would.
 */
export type FaultKind = HostileName | '429' | '429-bare' | '418' | 'weight-jump'

/** When something goes wrong. Requests are counted from 1, those of the rule's scope, since the rules were set. */
export interface FaultRule {
  readonly kind: FaultKind
  readonly value?: number
  /** An endpoint's last path part (`klines`, `exchangeInfo`, `time` …) or `all`; `klines` when left out. */
  readonly scope?: string
  /** Only requests for this symbol; they are counted apart. */
  readonly symbol?: string
  /** First and last request it happens to, both included: 1 and no end when left out. */
  readonly from?: number
  readonly to?: number
  /** Of those only each n-th. */
  readonly every?: number
  /** Of those only so many, 0 to 1, drawn from the seed. */
  readonly probability?: number
}

const venueKinds: ReadonlySet<string> = new Set(['429', '429-bare', '418', 'weight-jump'])

const complain = (part: string, why: string): EverybarError =>
  new EverybarError('simulator.bad-faults', `fault "${part}": ${why}`, {
    recovery: 'abort',
    hint: `Write kind@request: html@3, 500@2..5, empty@9.., slow@/7, reset@10%. Kinds: ${faultKinds().join(', ')}.`,
  })

/** Every kind, as `parseFaults` takes it. */
export const faultKinds = (): string[] => [
  ...Object.keys(hostile).filter((name) => name !== 'status'),
  ...venueKinds,
  '500',
]

/**
 * Reads `html@3,truncate@5,all:500@8,BTCUSDT:empty@9..,weight-jump=500@4,slow`: parts divided by commas, each
 * `[scope:]kind[=value][@when]`. Scope is an endpoint, `all`, or a symbol in capitals; `klines` when left out. When is
 * `3`, `2..5`, `9..`, `/7` (each seventh) or `10%`; every request when left out. An empty text is no faults.
 *
 * @throws EverybarError `simulator.bad-faults` (abort) naming the part it cannot read.
 */
export function parseFaults(spec: string): FaultRule[] {
  return spec
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map(parseFault)
}

function parseFault(part: string): FaultRule {
  const match = /^(?:([^:@=]+):)?([a-z0-9-]+)(?:=(\d+))?(?:@(.+))?$/.exec(part)
  if (!match) throw complain(part, 'cannot be read')
  const [, scope, name, value, when] = match as unknown as [string, ...(string | undefined)[]]
  return {
    ...kindOf(part, name!, value === undefined ? undefined : Number(value)),
    ...(scope === undefined ? {} : scopeOf(scope)),
    ...(when === undefined ? {} : whenOf(part, when)),
  }
}

function kindOf(part: string, name: string, value: number | undefined): Pick<FaultRule, 'kind' | 'value'> {
  const withValue = value === undefined ? {} : { value }
  if (isHostileName(name)) return { kind: name, ...withValue }
  if (venueKinds.has(name)) return { kind: name as FaultKind, ...withValue }
  if (/^[345]\d\d$/.test(name)) return { kind: 'status', value: Number(name) }
  throw complain(part, `unknown kind "${name}"`)
}

/** No endpoint is written in capitals, and every symbol is. */
const scopeOf = (scope: string): Pick<FaultRule, 'scope' | 'symbol'> =>
  /[a-z]/.test(scope) ? { scope } : { symbol: scope }

function whenOf(part: string, when: string): Pick<FaultRule, 'from' | 'to' | 'every' | 'probability'> {
  const share = /^(\d+(?:\.\d+)?)%$/.exec(when)
  if (share && Number(share[1]) <= 100) return { probability: Number(share[1]) / 100 }
  const every = /^\/([1-9]\d*)$/.exec(when)
  if (every) return { every: Number(every[1]) }
  const range = /^([1-9]\d*)(?:(\.\.)(\d*))?$/.exec(when)
  if (!range) throw complain(part, `cannot read when: "${when}"`)
  const from = Number(range[1])
  if (!range[2]) return { from, to: from }
  if (range[3] === '') return { from }
  if (Number(range[3]) < from) throw complain(part, 'ends before it begins')
  return { from, to: Number(range[3]) }
}

/** Says which faults a request meets. */
export class FaultBook {
  #rules: readonly { readonly rule: FaultRule; count: number }[] = []
  readonly #random: () => number

  /** `random` gives fractions, for faults with a probability. */
  constructor(rules: readonly FaultRule[], random: () => number) {
    this.#random = random
    this.set(rules)
  }

  /** Replaces the rules, and counts from 1 again. */
  set(rules: readonly FaultRule[]): void {
    this.#rules = rules.map((rule) => ({ rule, count: 0 }))
  }

  /** The faults of one more request, in the order of the rules. */
  next(endpoint: string, symbol: string | null): FaultRule[] {
    const met: FaultRule[] = []
    for (const entry of this.#rules) {
      const { rule } = entry
      const { scope = 'klines', from = 1, to = Number.POSITIVE_INFINITY, every = 1, probability = 1 } = rule
      if (scope !== 'all' && scope !== endpoint) continue
      if (rule.symbol !== undefined && rule.symbol !== symbol) continue
      const count = ++entry.count
      if (count < from || count > to || (count - from + 1) % every !== 0) continue
      if (probability < 1 && this.#random() >= probability) continue
      met.push(rule)
    }
    return met
  }
}
