import type { EverybarEvent } from '../model/events.ts'
import { seriesId } from '../model/series.ts'
import type { EpochMs } from '../model/time.ts'
import { SeriesTurns } from '../pipeline/turns.ts'
import { type HouseMetrics, houseMetrics } from '../telemetry/house-metrics.ts'
import type { Selection } from './api.ts'
import type { AppContext } from './commands.ts'
import { keepComplete, type Passes, type PassState, type Wanted } from './completeness.ts'
import { type OpenHouse, openHouse } from './house.ts'
import { lastRunMs, workOf } from './job-work.ts'
import { type JobState, type JobsRun, startJobs } from './jobs.ts'
import { kiteRetry } from './kite-import.ts'
import { startLive } from './live.ts'
import { isLevel, type LiveReport, type LiveRun, type LiveState } from './live-state.ts'
import { serviceReadings } from './service-readings.ts'
import { packageVersion } from './version.ts'

export interface ServiceOptions {
  /** `live`: only what follows series live, without passes and jobs. */
  readonly parts?: 'all' | 'live'
  /** What the process is called to another that finds the root locked. */
  readonly command: string
  /** Log lines that were lost on their way, for the metrics. */
  readonly droppedLogLines?: () => number
  /** Another way to follow series live, for tests. */
  readonly follow?: typeof startLive
}

export interface ServiceState {
  readonly startedAtMs: EpochMs
  /** `null` where no series is followed. */
  readonly live: LiveState | null
  readonly completeness: PassState | null
  readonly jobs: readonly JobState[]
}

export interface ServiceReport {
  readonly durationMs: number
  readonly live: LiveReport | null
  readonly completeness: PassState | null
  readonly jobs: readonly JobState[]
  /** Every series was where it was due when the service was stopped, and no job's last run has failed. */
  readonly level: boolean
}

/** Everything that keeps series complete in one process, over one open house. */
export interface Service {
  readonly house: OpenHouse
  readonly selection: Selection
  readonly metrics: HouseMetrics['registry']
  readonly state: () => ServiceState
  /** Stops it as the signal of its context does. */
  readonly stop: (reason: unknown) => void
  /**
   * Resolves when it was stopped, what was under way is recorded and the house is closed. Rejects where a part of it
   * ended by itself, for instance with the ledger; then the others were stopped too.
   */
  readonly done: Promise<ServiceReport>
}

/**
 * Follows series live, looks for gaps again and again, and runs jobs by the clock, until `ctx.signal` aborts: one process
 * that holds the root's lock, one fetcher and so one budget of the rate limits, one piece of work at a series at a time.
 *
 * @throws EverybarError what opening a house throws.
 */
export async function startService(
  ctx: AppContext,
  selection: Selection,
  { parts = 'all', command, droppedLogLines, follow = startLive }: ServiceOptions,
): Promise<Service> {
  const { config } = ctx
  const metrics = houseMetrics({ version: packageVersion(), symbolLabel: config.serve.series_label })
  const onEvent = (event: EverybarEvent) => {
    ctx.onEvent(event)
    metrics.onEvent(event)
  }
  const onlyKite = selection.series.length === 0 && config.kite !== undefined
  const retry = onlyKite ? { retry: kiteRetry(config.kite!) } : {}
  const opened = await openHouse({ ...ctx, ...retry, onEvent, access: 'write', command })
  const turns = new SeriesTurns()
  const house: OpenHouse = { ...opened, turns }
  const stop = new AbortController()
  const parts_ = startParts(house, opened, selection, { parts, follow, turns, stop: stop.signal })
  const stopNow = (reason: unknown) => stop.abort(reason)
  const passOn = () => stopNow(ctx.signal.reason)
  if (ctx.signal.aborted) passOn()
  else ctx.signal.addEventListener('abort', passOn, { once: true })

  const startedAtMs = house.clock.nowMs()
  const state = () => ({ startedAtMs, ...stateOf(parts_) })
  metrics.watch(serviceReadings(house, { state, ...(droppedLogLines && { droppedLogLines }) }))
  const done = untilOver(parts_, stopNow)
    .then((live) => reportOf(house.clock.nowMs() - startedAtMs, live, state()))
    .finally(async () => {
      ctx.signal.removeEventListener('abort', passOn)
      await opened[Symbol.asyncDispose]()
    })
  done.catch(() => {}) // thrown to whoever waits for it
  return { house, selection, metrics: metrics.registry, state, stop: stopNow, done }
}

interface Parts {
  readonly live: LiveRun | undefined
  readonly passes: Passes | undefined
  readonly jobs: JobsRun | undefined
}

function startParts(
  house: OpenHouse,
  opened: OpenHouse,
  selection: Selection,
  options: {
    readonly parts: 'all' | 'live'
    readonly follow: typeof startLive
    readonly turns: SeriesTurns
    readonly stop: AbortSignal
  },
): Parts {
  const { parts, follow, turns, stop } = options
  const { config, clock, onEvent } = house
  // It takes the turns itself: its house knows nothing of them.
  const live = selection.series.length > 0 ? follow(opened, selection, stop, { turns }) : undefined
  if (parts === 'live') return { live, passes: undefined, jobs: undefined }
  const everyMs = config.serve.completeness_seconds * 1_000
  const passes =
    live && everyMs > 0
      ? keepComplete(house, { everyMs, stop, wanted: () => begun(house, selection, live.state()) })
      : undefined
  const jobs = startJobs({
    jobs: config.jobs,
    clock,
    onEvent,
    stop,
    work: (job, signal) => workOf(house, selection, job, signal),
    lastRunMs: (job) => lastRunMs(house, job),
  })
  return { live, passes, jobs }
}

/** The series that have a beginning: where a new one begins is for the live part to say. */
function begun({ venues }: OpenHouse, selection: Selection, { series: followed }: LiveState): Wanted {
  const known = new Set(followed.filter(({ doneMs }) => doneMs !== null).map((one) => one.series))
  const series = selection.series.filter((one) => known.has(seriesId(venues.canonical(one))))
  const isAll = followed.every((one) => known.has(one.series))
  return { selection: { ...selection, series }, isAll }
}

const stateOf = ({ live, passes, jobs }: Parts): Omit<ServiceState, 'startedAtMs'> => ({
  live: live?.state() ?? null,
  completeness: passes?.state() ?? null,
  jobs: jobs?.states() ?? [],
})

/** Waits for every part. One that ends with an error stops the others, and is thrown when they have stopped. */
async function untilOver(
  { live, passes, jobs }: Parts,
  stop: (reason: unknown) => void,
): Promise<LiveReport | null> {
  const watched = [live?.done, passes?.done, jobs?.done].map((part) =>
    Promise.resolve(part).catch((error: unknown) => {
      stop(error)
      throw error
    }),
  )
  const failed = (await Promise.allSettled(watched)).find((part) => part.status === 'rejected')
  if (failed) throw failed.reason
  return (await live?.done) ?? null
}

function reportOf(
  durationMs: number,
  live: LiveReport | null,
  { completeness, jobs }: ServiceState,
): ServiceReport {
  const late = live !== null && !isLevel(live.state)
  const failed = jobs.some(({ lastExitCode }) => lastExitCode !== null && lastExitCode !== 0)
  return { durationMs, live, completeness, jobs, level: !late && !failed }
}
