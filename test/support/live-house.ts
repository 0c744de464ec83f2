import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type OpenHouse, openHouse } from '../../src/app/house.ts'
import { startLive } from '../../src/app/live.ts'
import type { LiveReport, LiveState } from '../../src/app/live-state.ts'
import { configSchema } from '../../src/config/schema.ts'
import { sync } from '../../src/index.ts'
import type { Clock, EverybarEvent } from '../../src/model/events.ts'
import { parseSeries, seriesId } from '../../src/model/series.ts'
import { readWhen } from '../../src/model/when.ts'
import { type Simulator, type SimulatorOptions, startSimulator } from '../../src/simulator/simulator.ts'

/** A venue and a root whose minutes pass in a second, with everything between them real. */
export interface LiveHouse {
  readonly venue: Simulator
  readonly root: string
  readonly clock: Clock
  readonly events: EverybarEvent[]
  /** Follows series until `until` says so, at most `minutes` of the venue's time, then stops cleanly. */
  readonly follow: (
    series: readonly string[],
    options: {
      readonly from?: string
      readonly minutes: number
      readonly until?: (state: LiveState, house: OpenHouse) => boolean
      /** More settings of the configuration. */
      readonly settings?: Readonly<Record<string, unknown>>
      readonly wrap?: (house: OpenHouse) => OpenHouse
    },
  ) => Promise<LiveReport>
  /** One ordinary sync of everything the ledger knows to be wanted. */
  readonly catchUp: (series: readonly string[]) => Promise<void>
  /** Lets venue time pass. */
  readonly pass: (minutes: number) => Promise<void>
  readonly close: () => Promise<void>
}

/** How many times faster than ours time passes. */
export const SPEED = 60

export async function liveHouse(options: SimulatorOptions = {}): Promise<LiveHouse> {
  const ticks = () => performance.now() * SPEED
  const startMs = options.nowMs ?? Date.parse('2024-03-01T12:00:10Z')
  const venue = await startSimulator({
    seed: 5,
    fromMs: Date.parse('2024-02-01T00:00Z'),
    weightLimit: Number.POSITIVE_INFINITY,
    ...options,
    nowMs: startMs,
    ticks,
  })
  const startedAt = ticks()
  const clock: Clock = {
    nowMs: () => startMs + Math.floor(ticks() - startedAt),
    monotonicMs: ticks,
    sleep: async (ms, signal) => {
      await sleep(Math.max(0, ms) / SPEED, undefined, signal ? { signal } : {})
    },
  }
  const root = mkdtempSync(join(tmpdir(), 'everybar-live-'))
  const events: EverybarEvent[] = []
  return {
    venue,
    root,
    clock,
    events,
    pass: (minutes) => sleep((minutes * 60_000) / SPEED),
    catchUp: async (series) => {
      const report = await sync({ root, series, baseUrl: venue.url })
      if (!report.complete) throw new Error(`not complete: ${JSON.stringify(report.series)}`)
    },
    close: async () => {
      await venue.close()
      rmSync(root, { recursive: true, force: true })
    },
    follow: async (names, { from, minutes, until, settings, wrap = (house) => house }) => {
      const config = configSchema.parse({
        root,
        sources: { binance: { base_url: venue.url }, ccxt: { base_url: venue.url } },
        fetch: { backoff_base_ms: 1_000, backoff_max_ms: 4_000 },
        ...settings,
      })
      const onEvent = (event: EverybarEvent) => void events.push(event)
      const house = await openHouse({ config, onEvent, access: 'write', command: 'live', clock })
      try {
        const stop = new AbortController()
        const start = from === undefined ? undefined : readWhen(from)
        const series = names.map((name) => parseSeries(name))
        const run = startLive(wrap(house), { series, ...(start && { from: start }) }, stop.signal)
        const end = clock.monotonicMs() + minutes * 60_000
        let over = false
        run.done.finally(() => (over = true)).catch(() => {})
        while (!over && clock.monotonicMs() < end && !until?.(run.state(), house)) await sleep(10)
        stop.abort()
        return await run.done
      } finally {
        await house[Symbol.asyncDispose]()
      }
    },
  }
}

export const idOf = (name: string): string => seriesId(parseSeries(name))
