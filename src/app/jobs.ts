import { nextRun } from '../config/cron.ts'
import type { Config } from '../config/schema.ts'
import { isEverybarError, messageOf } from '../model/errors.ts'
import type { Clock, OnEvent } from '../model/events.ts'
import { exitCodeOfError } from '../model/exit-code.ts'
import type { EpochMs } from '../model/time.ts'

export type Job = Config['jobs'][number]

/** How a job stands. */
export interface JobState extends Job {
  /** When it comes round next; `null` when it never does again, and once all is over. */
  readonly nextAtMs: EpochMs | null
  readonly running: boolean
  /** Of the latest run in this process. */
  readonly lastStartedAtMs: EpochMs | null
  readonly lastEndedAtMs: EpochMs | null
  readonly lastExitCode: number | null
  /** Times it came round and was not run: the run before was not over, or the machine slept. */
  readonly missed: number
}

export interface JobsOptions {
  readonly jobs: readonly Job[]
  readonly clock: Clock
  readonly onEvent: OnEvent
  /** Does what the job is for and gives the exit code its run has in the ledger. One that throws has its error's. */
  readonly work: (job: Job, stop: AbortSignal) => Promise<number>
  /** When the job last began, in whatever process; `undefined` for never. */
  readonly lastRunMs: (job: Job) => Promise<EpochMs | undefined>
  /** Once aborted no job begins any more; those under way are told, and waited for. */
  readonly stop: AbortSignal
}

export interface JobsRun {
  readonly states: () => readonly JobState[]
  /** Resolves when it was stopped and no job is under way. */
  readonly done: Promise<void>
}

/** The clock is looked at so often: a machine that slept, or whose clock was set, is not believed for longer. */
const LOOK_MS = 60_000
/** Times counted when a job missed some; more are "at least" so many. */
const MISSED_MAX = 1_000

/**
 * Runs jobs by the clock. A job never runs twice at once: where it comes round before its last run is over, that time is
 * missed, and said. So are the times that passed while the process was down; they are not made up for. A time the machine
 * slept through is made up for once, late. A job that fails is said, and comes round again.
 */
export function startJobs(options: JobsOptions): JobsRun {
  const keepers = options.jobs.map((job) => new Keeper(job, options))
  return {
    states: () => keepers.map((keeper) => keeper.state()),
    done: Promise.all(keepers.map((keeper) => keeper.run())).then(() => {}),
  }
}

class Keeper {
  readonly #job: Job
  readonly #options: JobsOptions
  #nextAtMs: EpochMs | undefined
  #running: Promise<void> | undefined
  #lastStartedAtMs: EpochMs | null = null
  #lastEndedAtMs: EpochMs | null = null
  #lastExitCode: number | null = null
  #missed = 0

  constructor(job: Job, options: JobsOptions) {
    this.#job = job
    this.#options = options
  }

  state(): JobState {
    return {
      ...this.#job,
      nextAtMs: this.#nextAtMs ?? null,
      running: this.#running !== undefined,
      lastStartedAtMs: this.#lastStartedAtMs,
      lastEndedAtMs: this.#lastEndedAtMs,
      lastExitCode: this.#lastExitCode,
      missed: this.#missed,
    }
  }

  async run(): Promise<void> {
    const { clock, stop } = this.#options
    let afterMs = clock.nowMs()
    const lastMs = await this.#options.lastRunMs(this.#job)
    if (lastMs !== undefined) this.#tellMissed('stopped', lastMs, afterMs)
    while (!stop.aborted) {
      this.#nextAtMs = this.#next(afterMs)
      if (this.#nextAtMs === undefined || !(await this.#waitFor(this.#nextAtMs))) break
      const nowMs = clock.nowMs()
      // A machine that slept through several times makes up for the last of them.
      this.#tellMissed('asleep', this.#nextAtMs, nowMs)
      if (this.#running) this.#tellMissed('running', this.#nextAtMs - 1, this.#nextAtMs)
      else this.#begin(this.#nextAtMs, nowMs)
      afterMs = Math.max(nowMs, this.#nextAtMs)
    }
    this.#nextAtMs = undefined
    await this.#running
  }

  #next(afterMs: EpochMs): EpochMs | undefined {
    return nextRun(this.#job.schedule, this.#job.timezone, afterMs)
  }

  /** Whether that time came; not where it was stopped before. */
  async #waitFor(atMs: EpochMs): Promise<boolean> {
    const { clock, stop } = this.#options
    for (let leftMs = atMs - clock.nowMs(); leftMs > 0; leftMs = atMs - clock.nowMs()) {
      await clock.sleep(Math.min(leftMs, LOOK_MS), stop).catch(() => {})
      if (stop.aborted) return false
    }
    return !stop.aborted
  }

  /** Says which times after `afterMs`, up to `untilMs`, had no run of their own. */
  #tellMissed(why: 'stopped' | 'asleep' | 'running', afterMs: EpochMs, untilMs: EpochMs): void {
    const times: EpochMs[] = []
    for (let at = this.#next(afterMs); at !== undefined && at <= untilMs; at = this.#next(at)) {
      if (times.push(at) === MISSED_MAX) break
    }
    if (times.length === 0) return
    this.#missed += times.length
    const fields = {
      job: this.#job.name,
      why,
      missed: times.length,
      first_ms: times[0],
      last_ms: times.at(-1),
    }
    this.#options.onEvent({ event: 'job_missed', level: 'warn', ...fields })
  }

  #begin(scheduledMs: EpochMs, nowMs: EpochMs): void {
    this.#lastStartedAtMs = nowMs
    const { name, run } = this.#job
    const { onEvent } = this.#options
    onEvent({ event: 'job_started', job: name, run, scheduled_ms: scheduledMs, late_ms: nowMs - scheduledMs })
    this.#running = this.#work().then((exitCode) => {
      this.#running = undefined
      this.#lastEndedAtMs = this.#options.clock.nowMs()
      this.#lastExitCode = exitCode
      const duration_ms = this.#lastEndedAtMs - nowMs
      const level = exitCode === 0 ? 'info' : 'warn'
      onEvent({ event: 'job_finished', level, job: name, run, exit_code: exitCode, duration_ms })
    })
  }

  async #work(): Promise<number> {
    const { work, stop, onEvent } = this.#options
    try {
      return await work(this.#job, stop)
    } catch (error) {
      const code = isEverybarError(error) ? error.code : 'app.unexpected'
      onEvent({ event: 'job_failed', level: 'error', job: this.#job.name, code, message: messageOf(error) })
      return exitCodeOfError(error)
    }
  }
}
