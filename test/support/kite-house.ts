import type { SyncReport } from '../../src/app/api.ts'
import type { OpenHouse } from '../../src/app/house.ts'
import { syncAll } from '../../src/app/sync.ts'
import { VenueBook } from '../../src/app/venues.ts'
import { memoryArchive } from '../../src/archive/memory/memory-archive.ts'
import { configSchema } from '../../src/config/schema.ts'
import { calendarOfMarket } from '../../src/coverage/calendars.ts'
import { memoryLedger } from '../../src/ledger/memory/memory-ledger.ts'
import type { Clock, EverybarEvent } from '../../src/model/events.ts'
import { parseSeries, seriesId } from '../../src/model/series.ts'
import { FaultBook, type FaultRule } from '../../src/simulator/faults.ts'
import { madeUpInstruments, type SimulatedInstrument } from '../../src/simulator/kite/instruments.ts'
import { SecondWindow } from '../../src/simulator/kite/second-window.ts'
import { answerKite, type KiteParts } from '../../src/simulator/kite/venue.ts'
import { istMidnight } from '../../src/source/kite/intervals.ts'
import { kiteLimits, kiteSources } from '../../src/source/kite/sources.ts'
import { openMemoryStore } from '../../src/store/memory/open-memory-store.ts'
import type { Store } from '../../src/store/store.ts'
import { stubFetcher } from './stub-fetcher.ts'

const calendar = calendarOfMarket('nse')

export interface KiteHouseOptions {
  /** Of both clocks: `2024-03-05T18:00:00+05:30`. */
  readonly now: string
  readonly instruments?: readonly SimulatedInstrument[] | number
  readonly faults?: readonly FaultRule[]
  readonly objects?: boolean
  readonly store?: Store
  /** Keeps to three requests a second by this clock, each answered after `rttMs`; else nothing waits. */
  readonly paced?: { readonly clock: Clock; readonly rttMs: number }
  /** Tries of one request. */
  readonly attempts?: number
}

export interface KiteHouse {
  readonly house: OpenHouse
  readonly instruments: readonly SimulatedInstrument[]
  readonly store: Store
  readonly events: EverybarEvent[]
  readonly window: SecondWindow
  /** Historical requests: `symbol-token interval from to`. */
  readonly asked: {
    readonly token: string
    readonly interval: string
    readonly from: string
    readonly to: string
  }[]
  readonly setNow: (text: string) => void
  readonly setFaults: (rules: readonly FaultRule[]) => void
  readonly endLogin: () => void
  readonly newLogin: () => void
  /** Called before each historical request is answered. */
  onAsk: (count: number) => void
  readonly selector: (one: SimulatedInstrument, timeframe?: string) => string
  /** Runs an import of all instruments, or of those named. */
  readonly run: (options?: {
    readonly only?: readonly SimulatedInstrument[]
    readonly from?: string
    readonly timeframe?: string
    readonly workers?: number
    readonly signal?: AbortSignal
  }) => Promise<SyncReport>
}

/** A house in memory with a simulated Kite in the place of its fetcher: no sockets, no waiting, every request seen. */
export function kiteHouse(options: KiteHouseOptions): KiteHouse {
  const listed = options.instruments ?? 3
  const instruments = typeof listed === 'number' ? madeUpInstruments(listed, 1) : listed
  const state = { nowMs: Date.parse(options.now), endsAtMs: Number.POSITIVE_INFINITY, asked: 0 }
  const clock: Clock = options.paced?.clock ?? {
    nowMs: () => state.nowMs,
    monotonicMs: () => state.nowMs,
    sleep: async () => {},
  }
  const faults = new FaultBook([], () => 0.5)
  const setFaults = (rules: readonly FaultRule[]) =>
    faults.set(rules.map((rule) => ({ scope: 'historical', ...rule })))
  setFaults(options.faults ?? [])
  const window = options.paced
    ? new SecondWindow(3, clock.monotonicMs)
    : new SecondWindow(Number.POSITIVE_INFINITY, () => 0)
  const parts: KiteParts = {
    ...{ seed: 1, faults, apiKey: 'key', apiSecret: 'secret', requestToken: 'request' },
    instruments: () => instruments,
    isOpen: (day) => (day + 3) % 7 < 5,
    now: clock.nowMs,
    window,
    session: () => ({ accessToken: 'access', endsAtMs: state.endsAtMs }),
    login: () => {},
    objects: options.objects ?? false,
  }
  const asked: { token: string; interval: string; from: string; to: string }[] = []
  const self: { onAsk: (count: number) => void } = { onAsk: () => {} }
  const ask = (url: URL, headers: Readonly<Record<string, string>>) => {
    const [, , kind, token, interval] = url.pathname.split('/')
    if (kind === 'historical') {
      asked.push({
        token: token!,
        interval: interval!,
        from: url.searchParams.get('from')!,
        to: url.searchParams.get('to')!,
      })
      self.onAsk(++state.asked)
    }
    const lower = Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]),
    )
    return answerKite({ method: 'GET', path: url.pathname, query: url.searchParams, headers: lower }, parts)
      .answer
  }
  const fetcher = stubFetcher(ask, {
    ...{ clock, limits: kiteLimits(), attempts: options.attempts ?? 3 },
    ...(options.paced && { rttMs: options.paced.rttMs }),
  })
  const events: EverybarEvent[] = []
  const store = options.store ?? openMemoryStore()
  const byName = new Map(
    instruments.map((one) => [`${one.exchange ?? 'NSE'} ${one.symbol}`, String(one.token)]),
  )
  const sources = kiteSources({
    baseUrl: 'http://kite.test',
    authorization: () => 'token key:access',
    tokenOf: (exchange, symbol) => byName.get(`${exchange} ${symbol}`),
  })
  const house: OpenHouse = {
    ...{ root: '/nowhere', sources, fetcher, clock, store, events, stores: [store], concurrency: 4 },
    config: { ...configSchema.parse({}), ledger: 'manifest' },
    lake: undefined as never,
    venues: new VenueBook(configSchema.parse({}), sources, undefined),
    archive: memoryArchive(),
    ledger: memoryLedger(),
    onEvent: (event) => void events.push(event),
    calendarOf: ({ market }) => (market === 'nse' || market === 'bse' ? calendar : undefined),
    [Symbol.asyncDispose]: async () => {},
  }
  const selector = (one: SimulatedInstrument, timeframe = '1d') =>
    `kite:${(one.exchange ?? 'NSE').toLowerCase()}:${one.symbol}:${timeframe}`
  return {
    ...{ house, instruments, store, events, window, asked, setFaults, selector },
    setNow: (text) => {
      state.nowMs = Date.parse(text)
    },
    endLogin: () => {
      state.endsAtMs = state.nowMs
    },
    newLogin: () => {
      state.endsAtMs = Number.POSITIVE_INFINITY
    },
    get onAsk() {
      return self.onAsk
    },
    set onAsk(then) {
      self.onAsk = then
    },
    run: ({ only = instruments, from = '2023-12-01', timeframe = '1d', workers = 4, signal } = {}) => {
      const series = only.map((one) => parseSeries(selector(one, timeframe)))
      const perSeries = new Map(
        series.map((one) => [seriesId(one), { from: { kind: 'at', ms: istMidnight(from) } as const }]),
      )
      return syncAll(house, { series, perSeries }, signal ?? new AbortController().signal, {
        seriesAtOnce: workers,
        maySkip: ({ code }) => code === 'source.unknown-symbol' || code === 'source.refused',
      })
    },
  }
}
