// First: what it wraps has to be wrapped before the program takes hold of it.
import './inject.ts'

import { sync } from '../../../src/app/commands.ts'
import { verify } from '../../../src/app/library.ts'
import { contextOf, selectionNamed } from '../../../src/app/library-options.ts'
import { configSchema } from '../../../src/config/schema.ts'
import { isEverybarError } from '../../../src/model/errors.ts'
import { timeRange } from '../../../src/model/time.ts'
import { arm, disarm } from './inject.ts'
import type { Action } from './inject-actions.ts'

/* One process of the fault harness: runs commands one after another, each with a fault or without. */

export interface Job {
  readonly command: 'sync' | 'verify'
  readonly root: string
  readonly url: string
  readonly series: string
  readonly from: string
  readonly to?: string
  readonly nth?: number
  readonly action?: Action
  /** Of file operations; EIO unless said. */
  readonly code?: string
  /** Tries of a request, and requests under way; one each unless said. */
  readonly attempts?: number
  readonly concurrency?: number
  /** How long an answer may take to begin, and then to end. */
  readonly timeoutMs?: number
  /** Asks for every slice of the range again. */
  readonly recheck?: boolean
}

export interface Result {
  /** What the command reported; absent when it threw. */
  readonly report?: {
    readonly complete: boolean
    readonly faults: readonly unknown[]
    readonly problems: readonly { readonly code: string; readonly message: string }[]
  }
  readonly error?: { readonly code: string | null; readonly message: string }
  /** Every operation, in order. */
  readonly trace: readonly string[]
}

const describe = (error: unknown): NonNullable<Result['error']> => ({
  code: isEverybarError(error) ? error.code : null,
  message: error instanceof Error ? `${error.name}: ${error.message}` : String(error),
})

async function run(job: Job): Promise<Result> {
  const { root, url, series, from, to } = job
  const config = configSchema.parse({
    root,
    sources: { binance: { base_url: url } },
    // One try: what fails is to be seen, and mended by the next run. One at a time: the n-th step is always the same.
    fetch: {
      attempts: job.attempts ?? 1,
      concurrency: job.concurrency ?? 1,
      backoff_base_ms: 1,
      backoff_max_ms: 20,
      ...(job.timeoutMs && { headers_timeout_ms: job.timeoutMs, body_timeout_ms: job.timeoutMs }),
    },
  })
  const options = { config, series, from, ...(to !== undefined && { to }) }
  arm(job)
  try {
    if (job.command === 'verify') {
      const { complete, faults } = await verify(options)
      return { report: { complete, faults, problems: [] }, trace: disarm() }
    }
    const context = contextOf(options)
    const selection = await selectionNamed(context, options)
    const range = timeRange(Date.parse(from), Date.parse(to ?? '2100-01-01'))
    const { complete, series: all } = await sync(context, {
      ...selection,
      ...(job.recheck && { recheck: { kind: 'range', range } }),
    })
    return {
      report: { complete, faults: [], problems: all.flatMap(({ problems }) => problems) },
      trace: disarm(),
    }
  } catch (error) {
    return { error: describe(error), trace: disarm() }
  }
}

process.on('message', (job: Job) => {
  void run(job).then((result) => process.send!(result))
})
process.send!('ready')
