import { DAY_MS, type EpochMs, iso } from '../model/time.ts'
import { VenueClock } from './clock.ts'
import { FaultBook, type FaultRule, parseFaults } from './faults.ts'
import { type RunningServer, serveHttp } from './http.ts'
import { dayNumber } from './kite/candles.ts'
import { madeUpInstruments, type SimulatedInstrument } from './kite/instruments.ts'
import { SecondWindow } from './kite/second-window.ts'
import { answerKite } from './kite/venue.ts'
import { randomFrom } from './market/noise.ts'

export type { SimulatedInstrument } from './kite/instruments.ts'

/** A Kite to start. Days are Indian ones, `2024-03-05`; weekends are closed. */
export interface KiteSimulatorOptions {
  /** 0, the default, takes any free port. It listens on 127.0.0.1 only. */
  readonly port?: number
  /** What it lists, or how many made-up shares: 20. */
  readonly instruments?: readonly SimulatedInstrument[] | number
  readonly seed?: number
  /** Weekdays without trading. */
  readonly closed?: readonly string[]
  /** The venue's clock at the start: the real time unless given. It runs on from there. */
  readonly nowMs?: EpochMs
  readonly rttMs?: number
  /** Historical requests a second: 3. `Infinity` is no limit. */
  readonly requestsPerSecond?: number
  /** Length of that second, for tests whose time runs faster. */
  readonly secondMs?: number
  readonly apiKey?: string
  readonly apiSecret?: string
  readonly requestToken?: string
  /** Valid from the start; a login makes another. */
  readonly accessToken?: string
  /** When the login ends: the next 06:00 IST unless given. */
  readonly loginEndsAtMs?: EpochMs
  /** Faults from the start; the scope `historical` where a rule names none. */
  readonly faults?: string | readonly FaultRule[]
  /** Candles as objects, as some gateways send them. */
  readonly objects?: boolean
  readonly logMax?: number
  readonly ticks?: () => number
}

export interface KiteRequest {
  readonly atMs: EpochMs
  readonly path: string
  readonly endpoint: string
  readonly parameters: Readonly<Record<string, string>>
  readonly status: number
  readonly candles?: number
  readonly faults: readonly string[]
}

export interface KiteSimulator {
  readonly url: string
  readonly port: number
  readonly apiKey: string
  readonly apiSecret: string
  readonly requestToken: string
  /** The one that is valid now. */
  readonly accessToken: () => string
  readonly instruments: () => readonly SimulatedInstrument[]
  /** Another day's list. */
  readonly setInstruments: (instruments: readonly SimulatedInstrument[]) => void
  readonly now: () => EpochMs
  readonly setNow: (ms: EpochMs, options?: { readonly held?: boolean }) => void
  /** Ends the login now, or at another time. */
  readonly endLogin: (atMs?: EpochMs) => void
  readonly setFaults: (faults: string | readonly FaultRule[]) => void
  readonly stats: () => {
    readonly requests: number
    readonly historical: number
    readonly candles: number
    readonly refused: number
    /** Historical requests in the busiest second, wherever it begins. */
    readonly peakPerSecond: number
    readonly byStatus: Readonly<Record<string, number>>
  }
  /** The last requests, oldest first. */
  readonly log: () => readonly KiteRequest[]
  readonly resetStats: () => void
  readonly connections: RunningServer['connections']
  readonly close: () => Promise<void>
}

const SIX_IST_MS = 30 * 60_000

/** 06:00 IST after `ms`: when the venue ends every login. */
const nextSix = (ms: EpochMs): EpochMs =>
  Math.floor((ms - SIX_IST_MS) / DAY_MS) * DAY_MS + DAY_MS + SIX_IST_MS

/**
 * Starts a Kite on loopback: instruments, historical candles, profile and session token, with the venue's errors.
 *
 * @throws EverybarError `simulator.port-in-use`, `simulator.bad-faults` (abort).
 */
export async function startKiteSimulator(options: KiteSimulatorOptions = {}): Promise<KiteSimulator> {
  const { seed = 1, apiKey = 'key', apiSecret = 'secret', requestToken = 'request' } = options
  const clock = new VenueClock(options.nowMs ?? Date.now(), options.ticks)
  const listed = options.instruments ?? 20
  const state = {
    instruments: typeof listed === 'number' ? madeUpInstruments(listed, seed) : listed,
    accessToken: options.accessToken ?? 'access',
    endsAtMs: options.loginEndsAtMs ?? nextSix(clock.now()),
    logins: 0,
  }
  const closed = new Set((options.closed ?? []).map(dayNumber))
  const isOpen = (day: number): boolean => (day + 3) % 7 < 5 && !closed.has(day)
  const ticks = options.ticks ?? (() => performance.now())
  const window = new SecondWindow(options.requestsPerSecond ?? 3, ticks, options.secondMs)
  const faults = new FaultBook(rulesOf(options.faults ?? []), randomFrom(seed))
  const traffic = new Traffic(options.logMax ?? 20_000)
  const login = (): void => {
    state.logins++
    state.accessToken = `access-${state.logins}`
    state.endsAtMs = nextSix(clock.now())
  }
  const parts = {
    ...{ seed, isOpen, now: clock.now, window, faults, apiKey, apiSecret, requestToken, login },
    instruments: () => state.instruments,
    session: () => state,
    objects: options.objects ?? false,
  }
  const server = await serveHttp(
    (request) => {
      const { answer, ...told } = answerKite(request, parts)
      const { path } = request
      const parameters = Object.fromEntries(request.query)
      traffic.add({ atMs: clock.now(), path, parameters, status: answer.status, ...told })
      return answer
    },
    { port: options.port ?? 0, rttMs: options.rttMs ?? 0, gzip: true, now: clock.now },
  )
  return {
    ...{ url: server.url, port: server.port, apiKey, apiSecret, requestToken, now: clock.now },
    accessToken: () => state.accessToken,
    instruments: () => state.instruments,
    setInstruments: (instruments) => {
      state.instruments = instruments
    },
    setNow: (ms, { held = false } = {}) => clock.set(ms, held),
    endLogin: (atMs = clock.now()) => {
      state.endsAtMs = atMs
    },
    setFaults: (next) => faults.set(rulesOf(next)),
    stats: () => ({ ...traffic.stats(), peakPerSecond: window.peak }),
    log: () => traffic.log(),
    resetStats: () => {
      traffic.reset()
      window.reset()
    },
    connections: server.connections,
    close: server.close,
  }
}

const rulesOf = (faults: string | readonly FaultRule[]): FaultRule[] =>
  (typeof faults === 'string' ? parseFaults(faults) : faults).map((rule) => ({
    scope: 'historical',
    ...rule,
  }))

class Traffic {
  readonly #keep: number
  #log: KiteRequest[] = []
  #requests = 0
  #historical = 0
  #candles = 0
  #byStatus: Record<string, number> = {}

  constructor(keep: number) {
    this.#keep = keep
  }

  add(request: KiteRequest): void {
    this.#requests++
    if (request.endpoint === 'historical') this.#historical++
    this.#candles += request.candles ?? 0
    this.#byStatus[request.status] = (this.#byStatus[request.status] ?? 0) + 1
    this.#log.push(request)
    if (this.#log.length >= 2 * this.#keep) this.#log = this.#log.slice(-this.#keep)
  }

  stats() {
    const refused = this.#byStatus[429] ?? 0
    const [requests, historical, candles] = [this.#requests, this.#historical, this.#candles]
    return { requests, historical, candles, refused, byStatus: { ...this.#byStatus } }
  }

  log = (): readonly KiteRequest[] => this.#log.slice(-this.#keep)

  reset(): void {
    this.#log = []
    this.#requests = this.#historical = this.#candles = 0
    this.#byStatus = {}
  }
}

/** What runs and how to use it, a line each. */
export const describeKite = (kite: KiteSimulator): readonly string[] => [
  `a simulated Kite on ${kite.url}; its clock says ${iso(kite.now())}`,
  `lists ${kite.instruments().length} instruments: ${kite
    .instruments()
    .slice(0, 6)
    .map(({ exchange = 'NSE', symbol }) => `${exchange}:${symbol}`)
    .join(', ')} …`,
  `use it: EVERYBAR__SOURCES__KITE__BASE_URL=${kite.url} EVERYBAR_KITE_API_KEY=${kite.apiKey} EVERYBAR_KITE_ACCESS_TOKEN=${kite.accessToken()}`,
]
