import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { startLive } from '../../src/app/live.ts'
import { configSchema } from '../../src/config/schema.ts'
import type { Clock, EverybarEvent } from '../../src/model/events.ts'
import { parseSeries } from '../../src/model/series.ts'
import { readWhen } from '../../src/model/when.ts'
import { type KiteSimulatorOptions, startKiteSimulator } from '../../src/simulator/kite-simulator.ts'
import { type Simulator, type SimulatorOptions, startSimulator } from '../../src/simulator/simulator.ts'
import { type DataServer, runServer } from '../../src/web/data-server.ts'

export const NOW = Date.parse('2024-03-01T12:00:10Z')

export interface Running {
  readonly venue: Simulator
  readonly root: string
  readonly clock: Clock
  readonly server: DataServer
  readonly events: EverybarEvent[]
  readonly stop: AbortController
  readonly get: (path: string, headers?: Record<string, string>) => Promise<Response>
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it as they please
  readonly json: (path: string) => Promise<any>
  /** Asks until `done` says so, a while at most. */
  readonly until: <T>(ask: () => Promise<T> | T, done: (found: T) => boolean) => Promise<T>
  readonly close: () => Promise<void>
}

export interface RunningOptions {
  readonly series?: readonly string[]
  readonly from?: string
  readonly settings?: Readonly<Record<string, unknown>>
  readonly venue?: SimulatorOptions
  readonly follow?: typeof startLive
  /** Both venues' clocks and this machine's at the start; `NOW` unless given. */
  readonly nowMs?: number
  /** A simulated Kite beside it, and its login in the configuration. */
  readonly kite?: KiteSimulatorOptions
  /** How many times faster than ours time passes; 60 unless given. */
  readonly speed?: number
}

/** A data server over a simulated venue, with clocks that run fast. */
export async function running(options: RunningOptions = {}): Promise<Running> {
  const {
    series = ['binance:spot:BTCUSDT:1m'],
    from = '2024-03-01T10:00Z',
    speed = 60,
    nowMs = NOW,
  } = options
  const ticks = () => performance.now() * speed
  const venue = await startSimulator({
    seed: 5,
    fromMs: Date.parse('2024-03-01T00:00Z'),
    weightLimit: Number.POSITIVE_INFINITY,
    nowMs,
    ticks,
    ...options.venue,
  })
  const startedAt = ticks()
  const clock: Clock = {
    nowMs: () => nowMs + Math.floor(ticks() - startedAt),
    monotonicMs: ticks,
    sleep: async (ms, signal) => {
      await sleep(Math.max(0, ms) / speed, undefined, signal ? { signal } : {})
    },
  }
  const kite = options.kite && (await startKiteSimulator({ nowMs, ticks, ...options.kite }))
  const root = mkdtempSync(join(tmpdir(), 'everybar-serve-'))
  const events: EverybarEvent[] = []
  const stop = new AbortController()
  const { serve, ...settings } = options.settings ?? {}
  const config = configSchema.parse({
    root,
    sources: {
      binance: { base_url: venue.url },
      ...(kite && {
        kite: { base_url: kite.url, api_key: kite.apiKey, access_token: kite.accessToken() },
      }),
    },
    fetch: { backoff_base_ms: 1_000, backoff_max_ms: 4_000 },
    // An hour here is a minute: what is late is late on a busy machine too.
    serve: { port: 0, overdue_max_seconds: 3_600, ...(serve as object | undefined) },
    ...settings,
  })
  const undo = async () => {
    await venue.close()
    await kite?.close()
    rmSync(root, { recursive: true, force: true })
  }
  try {
    const context = {
      config,
      clock,
      signal: stop.signal,
      onEvent: (event: EverybarEvent) => void events.push(event),
    }
    const selection = { series: series.map(parseSeries), from: readWhen(from)! }
    const { follow } = options
    const server = await runServer(context, selection, { command: 'serve', ...(follow && { follow }) })
    return {
      ...{ venue, root, clock, server, events, stop },
      get: (path, headers = {}) => fetch(server.url + path, { headers }),
      json: async (path) => (await fetch(server.url + path)).json(),
      until: async (ask, done) => {
        for (const end = performance.now() + 20_000; ; await sleep(20)) {
          const found = await ask()
          if (done(found)) return found
          if (performance.now() > end) throw new Error(`never came: ${JSON.stringify(found)}`)
        }
      },
      close: async () => {
        await server.close().catch(() => {})
        await undo()
      },
    }
  } catch (error) {
    await undo()
    throw error
  }
}
