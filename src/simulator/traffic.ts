import type { EpochMs } from '../model/time.ts'
import type { Answer, SimulatedRequest } from './http.ts'
import type { Market } from './market/feed.ts'

/** One request and what became of it. */
export interface LoggedRequest {
  /** From 1, of all requests ever. */
  readonly number: number
  /** By the venue's clock, when it was answered; the round trip comes on top. */
  readonly atMs: EpochMs
  /** `null` for a path the venue does not know. */
  readonly market: Market | null
  readonly path: string
  readonly parameters: Readonly<Record<string, string>>
  readonly status: number
  readonly weight: number
  /** Weight used in its window, this request included. */
  readonly usedWeight: number
  /** Bars in the answer before any fault; klines only. */
  readonly bars?: number
  /** Names of the faults it met. */
  readonly faults: readonly string[]
}

/** Counts since the start, or since `resetStats`. */
export interface SimulatorStats {
  readonly requests: number
  readonly requestsByPath: Readonly<Record<string, number>>
  readonly requestsByStatus: Readonly<Record<string, number>>
  /** Answers with status 429 and 418. */
  readonly refused: number
  readonly banned: number
  /** Weight asked for, refused requests included, by market. */
  readonly weight: Readonly<Record<Market, number>>
  /** The most weight any one window reached, by market. */
  readonly weightPeak: Readonly<Record<Market, number>>
  readonly klines: { readonly requests: number; readonly bars: number; readonly bytes: number }
  /** Faults met, by name. */
  readonly faults: Readonly<Record<string, number>>
  /** Requests being answered at once, at most. The round trip counts. */
  readonly concurrentPeak: number
}

interface Entry {
  readonly request: SimulatedRequest
  readonly answer: Answer
  readonly market: Market | null
  readonly endpoint: string | null
  readonly weight: number
  readonly used: number
  readonly faults: readonly string[]
  readonly bars?: number
}

const blank = () => ({
  requests: 0,
  requestsByPath: {} as Record<string, number>,
  requestsByStatus: {} as Record<string, number>,
  refused: 0,
  banned: 0,
  weight: { spot: 0, um: 0 },
  weightPeak: { spot: 0, um: 0 },
  klines: { requests: 0, bars: 0, bytes: 0 },
  faults: {} as Record<string, number>,
  concurrentPeak: 0,
})

const bump = (counts: Record<string, number>, key: string): void => {
  counts[key] = (counts[key] ?? 0) + 1
}

/** Unknown paths are counted together, so that no client can make the counts grow for ever. */
const OTHER = 'other'

/** Counts every request and remembers the last ones. */
export class TrafficLog {
  readonly #now: () => EpochMs
  readonly #keep: number
  #number = 0
  #counts = blank()
  #log: LoggedRequest[] = []

  /** Remembers between `keep` and twice as many requests; counts all. */
  constructor(now: () => EpochMs, keep: number) {
    this.#now = now
    this.#keep = keep
  }

  add({ request, answer, market, endpoint, weight, used, faults, bars }: Entry): void {
    const counts = this.#counts
    counts.requests++
    bump(counts.requestsByPath, market === null ? OTHER : request.path)
    bump(counts.requestsByStatus, String(answer.status))
    if (answer.status === 429) counts.refused++
    if (answer.status === 418) counts.banned++
    for (const name of faults) bump(counts.faults, name)
    if (market !== null) {
      counts.weight[market] += weight
      counts.weightPeak[market] = Math.max(counts.weightPeak[market], used)
    }
    if (endpoint === 'klines') {
      counts.klines.requests++
      counts.klines.bars += bars ?? 0
      counts.klines.bytes += answer.body.length
    }
    this.#log.push({
      number: ++this.#number,
      atMs: this.#now(),
      market,
      path: request.path,
      parameters: Object.fromEntries(request.query),
      status: answer.status,
      weight,
      usedWeight: used,
      ...(bars === undefined ? {} : { bars }),
      faults,
    })
    if (this.#log.length >= 2 * this.#keep) this.#log = this.#log.slice(-this.#keep)
  }

  concurrent(count: number): void {
    this.#counts.concurrentPeak = Math.max(this.#counts.concurrentPeak, count)
  }

  /** A copy: later requests do not change it. */
  stats(): SimulatorStats {
    return structuredClone(this.#counts)
  }

  log(): readonly LoggedRequest[] {
    return this.#log.slice(-this.#keep)
  }

  reset(): void {
    this.#counts = blank()
    this.#log = []
  }
}
