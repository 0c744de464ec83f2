import { EverybarError } from '../model/errors.ts'
import { type EpochMs, iso, type TimeRange, timeRange } from '../model/time.ts'
import { readWhen, whenHint } from '../model/when.ts'
import { parseFaults } from './faults.ts'
import { type Simulator, type SimulatorOptions, startSimulator } from './simulator.ts'

/** What a person says on the command line: texts where the library takes values, the rest as in `SimulatorOptions`. */
export interface SimulateOptions
  extends Omit<SimulatorOptions, 'symbols' | 'faults' | 'outages' | 'weightLimit'> {
  /** `BTCUSDT,ETHUSDT`, or each alone. */
  readonly symbols?: string | readonly string[]
  /** As `parseFaults` reads them; several texts are one list. */
  readonly faults?: string | readonly string[]
  /** `2024-01-03T02:00Z/2024-01-03T04:30Z` each; the end does not belong to it. */
  readonly outages?: readonly string[]
  /** Weight per window, or `none`. */
  readonly weightLimit?: number | 'none'
  /** Closes the venue when it aborts. */
  readonly signal?: AbortSignal
}

export interface RunningSimulation {
  readonly simulator: Simulator
  readonly url: string
  /** What runs and how to use it, a line each. */
  readonly lines: readonly string[]
  /** Resolves once `signal` has aborted, or `simulator.close` was called, and the port is free. */
  readonly closed: Promise<void>
}

/**
 * Starts the venue that `everybar simulate` shows.
 *
 * @throws EverybarError as `startSimulator`; `simulator.bad-option` (abort) for a text it cannot read.
 */
export async function runSimulate(options: SimulateOptions = {}): Promise<RunningSimulation> {
  const { symbols, faults, outages, weightLimit, signal, ...rest } = options
  const simulator = await startSimulator({
    ...rest,
    ...(symbols === undefined ? {} : { symbols: listOf(symbols) }),
    ...(faults === undefined ? {} : { faults: [faults].flat().flatMap(parseFaults) }),
    ...(outages === undefined ? {} : { outages: outages.map(parseOutage) }),
    ...(weightLimit === undefined
      ? {}
      : { weightLimit: weightLimit === 'none' ? Number.POSITIVE_INFINITY : weightLimit }),
  })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const close = (): Promise<void> => {
    const done = simulator.close()
    done.then(resolve, reject)
    return done
  }
  if (signal?.aborted) void close()
  else signal?.addEventListener('abort', () => void close(), { once: true })
  return {
    simulator: { ...simulator, close },
    url: simulator.url,
    lines: describe(simulator),
    closed: promise,
  }
}

const listOf = (symbols: string | readonly string[]): string[] =>
  [symbols]
    .flat()
    .flatMap((text) => text.split(','))
    .map((text) => text.trim())
    .filter((text) => text !== '')

/**
 * Reads `FROM/TO`, two points in time.
 *
 * @throws EverybarError `simulator.bad-option` (abort); `time.bad-range` (abort) for an end before its start.
 */
export function parseOutage(text: string): TimeRange {
  const ends = text.split('/').map((end) => readWhen(end))
  const [from, to] = ends
  if (ends.length === 2 && from?.kind === 'at' && to?.kind === 'at') return timeRange(from.ms, to.ms)
  throw new EverybarError('simulator.bad-option', `outage "${text}" is not two points in time`, {
    recovery: 'abort',
    hint: `Write FROM/TO: 2024-01-03T02:00Z/2024-01-03T04:30Z. ${whenHint}`,
  })
}

function describe({ url, now, listings }: Simulator): string[] {
  const names = listings.map(({ market, symbol, onboardMs }) => `${market}:${symbol} from ${day(onboardMs)}`)
  return [
    `a simulated Binance on ${url}; its clock says ${iso(now())}`,
    `serves ${names.slice(0, 12).join(', ')}${names.length > 12 ? ` and ${names.length - 12} more` : ''}`,
    `use it: EVERYBAR__SOURCES__BINANCE__BASE_URL=${url}`,
  ]
}

const day = (ms: EpochMs): string => iso(ms).slice(0, 10)
