import { EverybarError } from '../model/errors.ts'
import { type EpochMs, MINUTE_MS, type TimeRange } from '../model/time.ts'
import { WeightWindow } from './binance/limits.ts'
import { isSymbol } from './binance/parameters.ts'
import { answerRequest } from './binance/venue.ts'
import { VenueClock } from './clock.ts'
import { FaultBook, type FaultRule, parseFaults } from './faults.ts'
import { type RunningServer, serveHttp } from './http.ts'
import type { Feed, Listing, Market, Restatement } from './market/feed.ts'
import { randomFrom } from './market/noise.ts'
import { openReplay } from './market/replay.ts'
import { type SyntheticSymbol, syntheticFeed } from './market/synthetic.ts'
import { type LoggedRequest, type SimulatorStats, TrafficLog } from './traffic.ts'
import { answerAsOther } from './venues/other-venues.ts'

export type { Listing, Market, Restatement } from './market/feed.ts'
export type { SyntheticSymbol } from './market/synthetic.ts'
export type { LoggedRequest, SimulatorStats } from './traffic.ts'

/**
 * A venue to start. With `replay` it serves the bars of archive files, else a seeded walk; everything else holds for
 * both. Times are epoch ms, UTC.
 */
export interface SimulatorOptions {
  /** 0, the default, takes any free port. It listens on 127.0.0.1 only. */
  readonly port?: number
  /** A folder in the bulk archive's layout; see `openReplay`. */
  readonly replay?: string
  /** Symbols of the walk: BTCUSDT and ETHUSDT on both markets when left out. Not with `replay`. */
  readonly symbols?: readonly (string | SyntheticSymbol)[]
  /** Of the walk, and of faults with a probability: 1. */
  readonly seed?: number
  /** Listing time of symbols that name none: 2017-08-17T04:00Z. Not with `replay`. */
  readonly fromMs?: EpochMs
  /** Where the walk's present begins: `nowMs` is half a minute later when it is left out. The walk itself goes on. */
  readonly toMs?: EpochMs
  /** Suspended trading for all symbols: no bar opens in these. Not with `replay`. */
  readonly outages?: readonly TimeRange[]
  /**
   * The venue's clock at the start; it runs on from there. When left out: for a replay half a minute after its last bar's
   * close, for a walk half a minute after `toMs`, or real time without one.
   */
  readonly nowMs?: EpochMs
  /** Delay of each answer: 0. Requests do not wait for one another. */
  readonly rttMs?: number
  /** Weight of a window: 6,000 on spot, 2,400 on um. One number sets both; `Infinity` is no limit. */
  readonly weightLimit?: number | Readonly<Record<Market, number>>
  /** Length of a window: a minute. Whole seconds. Bans shrink and grow with it. */
  readonly windowMs?: number
  /** How long requests already under way are refused rather than banned for: 250 ms and the round trip. */
  readonly graceMs?: number
  /** Faults from the start, as rules or as `parseFaults` reads them. */
  readonly faults?: string | readonly FaultRule[]
  /** Compress for clients that accept it: no, which is faster. */
  readonly gzip?: boolean
  /** Encoded bars kept in memory: 400 MB, about 2.4 million. */
  readonly cacheBytesMax?: number
  /** Requests remembered in `log()`: 10,000. Counts cover all. */
  readonly logMax?: number
  /** A steady count of milliseconds that drives the venue's clock; for tests. */
  readonly ticks?: () => number
}

export interface Simulator {
  /** `http://127.0.0.1:PORT`, without a slash at the end. */
  readonly url: string
  readonly port: number
  /** What it serves, by market and symbol. */
  readonly listings: readonly Listing[]
  /** The venue's clock. */
  readonly now: () => EpochMs
  /** Sets the venue's clock; it runs on from there, or stands still where `held`. Rate windows follow it. */
  readonly setNow: (ms: EpochMs, options?: { readonly held?: boolean }) => void
  /** Replaces all faults; requests are counted from 1 again. An empty text or list ends them. */
  readonly setFaults: (faults: string | readonly FaultRule[]) => void
  /** Corrects a bar, as venues do: every later answer has the new values. */
  readonly restate: (change: Restatement) => void
  readonly stats: () => SimulatorStats
  /** The last requests, oldest first. */
  readonly log: () => readonly LoggedRequest[]
  /** Counts and log from zero; rate windows, bans and faults stay as they are. */
  readonly resetStats: () => void
  /** Connections open now, and opened ever. */
  readonly connections: RunningServer['connections']
  /** Cuts every connection and frees the port. Twice is once. */
  readonly close: () => Promise<void>
}

const defaultLimits: Readonly<Record<Market, number>> = { spot: 6000, um: 2400 }
const SETTLED_MS = 30_000
const BINANCE_OPENED_MS = Date.UTC(2017, 7, 17, 4)
const CACHE_BYTES = 400 * 1024 * 1024

/**
 * Starts a venue on loopback that speaks Binance's REST: spot under `/api/v3`, USD-M futures under `/fapi/v1`. The same
 * bars are served as Kraken, Bybit, OKX, Coinbase and KuCoin would, each under its own paths, without rate limits.
 *
 * @throws EverybarError `simulator.port-in-use`, `simulator.no-data`, `simulator.bad-file`, `simulator.bad-faults`,
 *   `simulator.bad-option` (all abort).
 */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const { windowMs = MINUTE_MS, rttMs = 0, seed = 1 } = options
  checkOptions(options)
  const graceMs = options.graceMs ?? rttMs + 250
  const rules = rulesOf(options.faults ?? [])
  const { feed, nowMs } = await openFeed(options, seed)
  const clock = new VenueClock(nowMs, options.ticks)
  const { now } = clock
  const limits = limitsOf(options.weightLimit)
  const window = (market: Market) => new WeightWindow({ capacity: limits[market], windowMs, graceMs, now })
  const windows = { spot: window('spot'), um: window('um') }
  const faults = new FaultBook(rules, randomFrom(seed))
  const traffic = new TrafficLog(now, options.logMax ?? 10_000)
  const server = await serveHttp(
    async (request) =>
      (await answerAsOther(request, { feed, now, faults, traffic })) ??
      answerRequest(request, { feed, now, windows, limits, windowMs, faults, traffic }),
    {
      port: options.port ?? 0,
      rttMs,
      gzip: options.gzip ?? false,
      now,
      onConcurrent: (count) => traffic.concurrent(count),
    },
  )
  return {
    url: server.url,
    port: server.port,
    listings: feed.listings,
    now,
    setNow: (ms, { held = false } = {}) => clock.set(ms, held),
    setFaults: (next) => faults.set(rulesOf(next)),
    restate: feed.restate,
    stats: () => traffic.stats(),
    log: () => traffic.log(),
    resetStats: () => traffic.reset(),
    connections: server.connections,
    close: server.close,
  }
}

function checkOptions({ windowMs = MINUTE_MS, rttMs = 0, weightLimit = 1, symbols }: SimulatorOptions): void {
  const refuse = (message: string, hint: string) => {
    throw new EverybarError('simulator.bad-option', message, { recovery: 'abort', hint })
  }
  if (!(windowMs >= 1000 && windowMs % 1000 === 0))
    refuse(`a window of ${windowMs} ms`, 'Rate windows are whole seconds: 1000, 6000, 60000.')
  if (!(rttMs >= 0)) refuse(`a round trip of ${rttMs} ms`, 'A round trip takes 0 ms or more.')
  const limits = typeof weightLimit === 'number' ? [weightLimit] : Object.values(weightLimit)
  if (!limits.every((limit) => limit >= 1)) refuse('a weight limit below 1', 'Use Infinity for no limit.')
  for (const given of symbols ?? []) {
    const symbol = typeof given === 'string' ? given : given.symbol
    if (!isSymbol(symbol)) refuse(`"${symbol}" is no symbol`, 'Symbols are capitals and digits: BTCUSDT.')
  }
  if (symbols?.length === 0)
    refuse('no symbols', 'Name at least one symbol, or none at all for the usual two.')
}

const rulesOf = (faults: string | readonly FaultRule[]): readonly FaultRule[] =>
  typeof faults === 'string' ? parseFaults(faults) : faults

const limitsOf = (limit: SimulatorOptions['weightLimit']): Readonly<Record<Market, number>> =>
  limit === undefined ? defaultLimits : typeof limit === 'number' ? { spot: limit, um: limit } : limit

async function openFeed(options: SimulatorOptions, seed: number): Promise<{ feed: Feed; nowMs: EpochMs }> {
  const cacheBytesMax = options.cacheBytesMax ?? CACHE_BYTES
  if (options.replay !== undefined) {
    const feed = await openReplay(options.replay, cacheBytesMax)
    return { feed, nowMs: options.nowMs ?? feed.lastCloseMs + SETTLED_MS }
  }
  const feed = syntheticFeed({
    symbols: options.symbols ?? ['BTCUSDT', 'ETHUSDT'],
    seed,
    listedMs: options.fromMs ?? BINANCE_OPENED_MS,
    outages: options.outages ?? [],
    cacheBytesMax,
  })
  const present = options.toMs === undefined ? Date.now() : options.toMs + SETTLED_MS
  return { feed, nowMs: options.nowMs ?? present }
}
