// First: what it wraps has to be wrapped before the program takes hold of it.
import './inject.ts'

import { join } from 'node:path'
import { memoryArchive } from '../../../src/archive/memory/memory-archive.ts'
import { openSqliteLedger } from '../../../src/ledger/sqlite/sqlite-ledger.ts'
import { isEverybarError } from '../../../src/model/errors.ts'
import { silent } from '../../../src/model/events.ts'
import { type Series, seriesId } from '../../../src/model/series.ts'
import { compactLake } from '../../../src/pipeline/compact.ts'
import { openLake } from '../../../src/store/parquet/open-lake.ts'
import { arm, disarm } from './inject.ts'
import type { Action } from './inject-actions.ts'
import { history, liveSeries, steps } from './lake-steps.ts'

/* One process of the fault harness that follows a market: appends, a compaction, and more appends. */

export interface LakeJob {
  readonly root: string
  /** `base` makes the root as it is before; `live` is what may be broken; `settle` folds what is left. */
  readonly do: 'base' | 'live' | 'settle'
  readonly nth?: number
  readonly action?: Action
  readonly code?: string
}

export interface LakeResult {
  readonly error?: { readonly code: string | null; readonly message: string }
  readonly trace: readonly string[]
}

const [btc] = liveSeries as [Series, Series]
/** Appends before the compaction; the rest come after it. */
const BEFORE_COMPACTION = 3

async function work(job: LakeJob): Promise<void> {
  const ledger = openSqliteLedger({ path: join(job.root, '.everybar', 'ledger.db') })
  try {
    const lake = await openLake({ root: job.root })
    try {
      // No month is altered here, so that none is made again from an archive.
      const house = { ledger, onEvent: silent, sources: [], archive: memoryArchive() }
      const fold = () => compactLake(house, lake)
      const append = (from: number, to: number) =>
        steps.slice(from, to).reduce(async (before, entries) => {
          await before
          await lake.append(entries.map(([series, batch]) => ({ series, batch })))
        }, Promise.resolve())
      if (job.do === 'base') {
        const { files = [] } = await lake.commit(btc, history)
        for (const series of liveSeries) {
          const ref = { seriesId: seriesId(series), endpoint: 'test' }
          await ledger.want(ref, { startMs: 0, endMs: 1 })
          await ledger.recordStored(ref, lake.name, [], series === btc ? files : [])
        }
      } else if (job.do === 'live') {
        await append(0, BEFORE_COMPACTION)
        await fold()
        await append(BEFORE_COMPACTION, steps.length)
      } else await fold()
    } finally {
      await lake[Symbol.asyncDispose]()
    }
  } finally {
    await ledger[Symbol.asyncDispose]()
  }
}

async function run(job: LakeJob): Promise<LakeResult> {
  arm(job)
  try {
    await work(job)
    return { trace: disarm() }
  } catch (error) {
    const code = isEverybarError(error) ? error.code : null
    return { error: { code, message: String(error) }, trace: disarm() }
  }
}

process.on('message', (job: LakeJob) => {
  void run(job).then((result) => process.send!(result))
})
process.send!('ready')
