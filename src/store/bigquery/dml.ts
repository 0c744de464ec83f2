import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Api, Ran } from './api.ts'
import type { BigQuerySettings } from './options.ts'
import type { Statement } from './statements.ts'

/** Runs the statements that change the table one after another, not too close together. */
export class Dml {
  readonly #api: Api
  readonly #settings: BigQuerySettings
  #last: Promise<unknown> = Promise.resolve()
  #startedMs = 0
  #stampMicros = 0

  constructor(api: Api, settings: BigQuerySettings) {
    this.#api = api
    this.#settings = settings
  }

  /** Stamps to come are later than `micros`: of two stamps of a bar the later counts, whatever the clocks said. */
  after(micros: number): void {
    this.#stampMicros = Math.max(this.#stampMicros, micros)
  }

  /** `ingested_at` of the next statement in microseconds: now or later, and never the same twice. */
  stamp(): number {
    this.#stampMicros = Math.max(this.#settings.nowMs() * 1000, this.#stampMicros + 2)
    return this.#stampMicros
  }

  jobId(what: string): string {
    return `everybar_${what}_${randomUUID()}`
  }

  /** Two statements on one table at a time get in each other's way: the second waits here rather than there. */
  run({ sql, params }: Statement, signal?: AbortSignal): Promise<Ran> {
    const run = this.#last.then(async () => {
      const { dmlGapMs, nowMs } = this.#settings
      const wait = this.#startedMs + dmlGapMs - nowMs()
      if (wait > 0) await sleep(Math.min(wait, dmlGapMs), undefined, signal ? { signal } : {})
      this.#startedMs = nowMs()
      return this.#api.query(sql, params, this.jobId('merge'), signal)
    })
    this.#last = run.catch(() => {})
    return run
  }
}
