import { cpSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openSqliteLedger } from '../../../src/ledger/sqlite/sqlite-ledger.ts'
import { type BarBatch, concatBatches, emptyBatch } from '../../../src/model/bar.ts'
import { type Series, seriesId } from '../../../src/model/series.ts'
import { openLake } from '../../../src/store/parquet/open-lake.ts'
import { contentOf, rows } from '../../../src/testing/store-samples.ts'
import { filesIn, lakeHashes } from '../root.ts'
import type { LakeJob, LakeResult } from './lake-child.ts'
import { history, liveSeries, steps } from './lake-steps.ts'
import { type Ended, hasEnded, Runner } from './processes.ts'
import type { Case, CaseReport } from './scenario.ts'

/** What a root holds: files of the lake, what the ledger says of them, and files nobody should find. */
interface LakeState {
  readonly files: Readonly<Record<string, string>>
  readonly noted: readonly unknown[]
  readonly strangers: readonly string[]
}

const known = /^(lake\/.*\.(parquet|delta)|\.everybar\/ledger\.db(\.seal|-wal|-shm)?)$/

/** A lake that is appended to and compacted, broken at one operation after another. */
export class LakeScenario {
  /** Operations of the undisturbed run, in order. */
  trace: readonly string[] = []
  readonly #folder = mkdtempSync(join(tmpdir(), 'everybar-faults-'))
  readonly #runner = new Runner<LakeJob, LakeResult>('./lake-child.ts')
  readonly #victim = new Runner<LakeJob, LakeResult>('./lake-child.ts')
  #expected: LakeState | undefined
  #roots = 0

  async open(): Promise<this> {
    mkdirSync(join(this.#base, '.everybar'), { recursive: true })
    mustBeWhole(await this.#runner.run({ root: this.#base, do: 'base' }))
    const root = this.#newRoot()
    this.trace = mustBeWhole(await this.#runner.run({ root, do: 'live' })).trace
    mustBeWhole(await this.#runner.run({ root, do: 'settle' }))
    this.#expected = await stateOf(root)
    return this
  }

  async run(one: Case): Promise<CaseReport> {
    const root = this.#newRoot()
    try {
      const killed = one.action.startsWith('kill')
      const runner = killed || one.action === 'dead' ? this.#victim : this.#runner
      const broken = await runner.run({ root, do: 'live', ...one })
      if (one.action === 'dead') await this.#victim.close()
      const step = killed ? this.trace[one.nth - 1] : hasEnded(broken) ? undefined : broken.trace[one.nth - 1]
      const complaints = [
        ...judgeBroken(broken, one),
        ...(await judgeLeft(root)),
        ...(await this.#judgeNext(root)),
      ]
      return { ...one, step, complaints }
    } finally {
      rmSync(root, { recursive: true, force: true })
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#runner.close(), this.#victim.close()])
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /** The same again, and a compaction: everything is as if nothing had been. */
  async #judgeNext(root: string): Promise<string[]> {
    for (const deed of ['live', 'settle'] as const) {
      const next = await this.#runner.run({ root, do: deed })
      if (hasEnded(next)) return [`the next run ended with ${next.ended}: ${next.stderr}`]
      if (next.error) return [`the next run throws ${next.error.message}`]
    }
    const found = await stateOf(root)
    return (Object.keys(found) as (keyof LakeState)[]).flatMap((part) => {
      const [a, b] = [JSON.stringify(this.#expected![part]), JSON.stringify(found[part])]
      return a === b ? [] : [`${part}: ${b} instead of ${a}`]
    })
  }

  get #base(): string {
    return join(this.#folder, 'base')
  }

  #newRoot(): string {
    const root = join(this.#folder, String(this.#roots++))
    cpSync(this.#base, root, { recursive: true })
    return root
  }
}

function mustBeWhole(outcome: LakeResult | Ended): LakeResult {
  if (!hasEnded(outcome) && !outcome.error) return outcome
  throw new Error(`the undisturbed run is not whole: ${JSON.stringify(outcome)}`)
}

function judgeBroken(outcome: LakeResult | Ended, { nth, action }: Case): string[] {
  if (hasEnded(outcome)) {
    const wanted = action.startsWith('kill') ? 'SIGKILL' : undefined
    return outcome.ended === wanted ? [] : [`the process ended with ${outcome.ended}: ${outcome.stderr}`]
  }
  const { error, trace } = outcome
  if (trace.length < nth) return error ? [`throws ${error.message}, though nothing failed`] : []
  return error && error.code === null ? [`throws ${error.message}`] : []
}

/** What a series holds after each of its appends, from none of them on. */
function statesOf(series: Series): string[] {
  let held: BarBatch = seriesId(series) === seriesId(liveSeries[0]!) ? history : emptyBatch
  const states = [held]
  for (const entries of steps) {
    for (const [of, batch] of entries) if (of === series) held = concatBatches([held, batch])
    states.push(held)
  }
  return states.map((state) => JSON.stringify(rows(state)))
}

/**
 * Each series holds what it held before or after one of its appends, whole; and a month file that is not what the ledger
 * noted is one that a compaction was at, with its delta file still there.
 */
async function judgeLeft(root: string): Promise<string[]> {
  const complaints: string[] = []
  const lake = await openLake({ root })
  const ledger = openSqliteLedger({ path: join(root, '.everybar', 'ledger.db') })
  try {
    for (const series of liveSeries) {
      const held = JSON.stringify(rows(await contentOf(lake, series)))
      if (!statesOf(series).includes(held)) complaints.push(`${seriesId(series)} holds ${held}`)
      const noted = new Map<string, string | null>()
      const ref = { seriesId: seriesId(series), endpoint: 'test' }
      for await (const { path, sha256 } of ledger.storedFiles(ref, lake.name)) noted.set(path, sha256)
      for await (const { path, month } of lake.files(series)) {
        const { sha256 } = (await lake.fileState(path))!
        if (noted.get(path) !== sha256 && !(await lake.isFolded(series, month)))
          complaints.push(`${path} is not the file the ledger knows, and nobody was at it`)
      }
    }
  } catch (error) {
    complaints.push(`what is left cannot be read: ${error}`)
  } finally {
    await ledger[Symbol.asyncDispose]()
    await lake[Symbol.asyncDispose]()
  }
  return complaints
}

async function stateOf(root: string): Promise<LakeState> {
  const ledger = openSqliteLedger({ path: join(root, '.everybar', 'ledger.db'), readOnly: true })
  const noted: unknown[] = []
  for (const series of await ledger.series())
    for await (const file of ledger.storedFiles(series, 'parquet')) noted.push([series.seriesId, file])
  await ledger[Symbol.asyncDispose]()
  const strangers = filesIn(root).filter((path) => !known.test(path))
  return { files: lakeHashes(root), noted, strangers }
}
