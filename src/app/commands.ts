import type { Config } from '../config/schema.ts'
import type { RunRecord } from '../ledger/ledger.ts'
import type { Clock, OnEvent } from '../model/events.ts'
import type { DatedRevision } from '../pipeline/history.ts'
import { jobOf } from '../pipeline/house.ts'
import type {
  AgainstReport,
  CompactReport,
  Gap,
  PlanReport,
  RebuildReport,
  RepairReport,
  Selection,
  SeriesStatus,
  SyncReport,
  VerifyReport,
} from './api.ts'
import { type OpenHouse, openEmptyHouse, openHouse, rootExists, sourcesOf } from './house.ts'
import { type ExplainedGap, explainGaps, listGaps, listRevisions, statusOfAll } from './inspect.ts'
import type { LiveReport } from './live-state.ts'
import { planAll } from './plan.ts'
import type { RebuildOptions } from './rebuild.ts'
import { syncAll } from './sync.ts'
import { VenueBook } from './venues.ts'
import { type VerifyOptions, verifyAll } from './verify.ts'

/** What every command is given. */
export interface AppContext {
  readonly config: Config
  readonly onEvent: OnEvent
  /** Aborted by Ctrl-C: finish the request in flight, checkpoint, and say so in the report. */
  readonly signal: AbortSignal
  readonly clock?: Clock
}

export interface QueryOptions {
  readonly format: 'table' | 'csv' | 'json' | 'jsonl'
  /** Shows what was known at this time, epoch ms, by this machine's clock. */
  readonly asOfMs?: number
  /** Receives the answer in pieces, in order. */
  readonly write: (piece: string) => void | Promise<void>
}

/** One line of `doctor`. */
export interface Check {
  readonly name: string
  readonly state: 'pass' | 'warn' | 'fail'
  readonly detail: string
  /** What to do about it; absent when it passes. */
  readonly hint?: string
}

/** What `sync` would do. Asks the venue for its clock and first bars where they are not known; writes nothing. */
export async function plan(ctx: AppContext, selection: Selection): Promise<PlanReport> {
  await refuseUnserved(ctx, selection)
  if (await rootExists(ctx.config.root)) {
    return inHouse(ctx, 'read', 'plan', (house) => planAll(withoutWriting(house), selection, ctx.signal))
  }
  const house = await openEmptyHouse({ ...ctx, command: 'plan' })
  try {
    return await planAll(house, selection, ctx.signal)
  } finally {
    await house[Symbol.asyncDispose]()
  }
}

/** Makes the selected series complete, once. The only command here that writes. */
export async function sync(ctx: AppContext, selection: Selection): Promise<SyncReport> {
  await refuseUnserved(ctx, selection)
  return inHouse(ctx, 'write', 'sync', (house) => syncAll(house, selection, ctx.signal))
}

/** Keeps the selected series complete until `ctx.signal` aborts. */
export async function live(ctx: AppContext, selection: Selection): Promise<LiveReport> {
  await refuseUnserved(ctx, selection)
  const { startLive } = await import('./live.ts')
  return inHouse(ctx, 'write', 'live', (house) => startLive(house, selection, ctx.signal).done)
}

/**
 * A venue, market or timeframe that nothing serves is a slip of the pen: said before a root is made or a run begins.
 * Where something can be done all the same, it is, and the slip is in the report.
 */
export async function refuseUnserved(
  { config, onEvent }: AppContext,
  { series }: Pick<Selection, 'series'>,
): Promise<void> {
  const book = await new VenueBook(config, sourcesOf(config), undefined).open(onEvent)
  let refused: unknown
  for (const one of series) {
    try {
      const known = book.canonical(one)
      if (book.isNative(known) || book.serves(known)) jobOf(book, known)
      else await book.refuseUnserved(known.instrument)
      return
    } catch (error) {
      refused ??= error
    }
  }
  if (refused !== undefined) throw refused
}

/** Every series named, or all there are. */
export async function status(
  ctx: AppContext,
  selection: Partial<Selection> = {},
): Promise<readonly SeriesStatus[]> {
  return inHouse(ctx, 'read', 'status', (house) => statusOfAll(house, selection))
}

/** Every run of missing bars, from the ledger. */
export async function gaps(ctx: AppContext, selection: Partial<Selection>): Promise<readonly Gap[]> {
  return inHouse(ctx, 'read', 'gaps', (house) => listGaps(house, selection))
}

/** The same, each with the archived answers that show it and when they were given. */
export async function explain(
  ctx: AppContext,
  selection: Partial<Selection>,
): Promise<readonly ExplainedGap[]> {
  return inHouse(ctx, 'read', 'gaps', (house) => explainGaps(house, selection))
}

/** Proof from stored bytes. Writes nothing. */
export async function verify(
  ctx: AppContext,
  selection: Partial<Selection>,
  options: VerifyOptions = {},
): Promise<VerifyReport> {
  return inHouse(ctx, 'read', 'verify', (house) => verifyAll(house, selection, options, ctx.signal))
}

/** Proof, and a certificate of it in a file; none where there is a fault. */
export async function certify(
  ctx: AppContext,
  selection: Partial<Selection>,
  options: VerifyOptions & { readonly file: string },
): Promise<VerifyReport> {
  const { certify: write } = await import('./certificates.ts')
  return inHouse(ctx, 'read', 'verify', (house) => write(house, selection, options, ctx.signal))
}

/** Compares what there is with certificates; writes them as one where a file is named. */
export async function verifyAgainst(
  ctx: AppContext,
  options: { readonly against: readonly string[]; readonly file?: string },
): Promise<AgainstReport> {
  const { proveAgainst } = await import('./certificates.ts')
  return inHouse(ctx, 'read', 'verify', (house) => proveAgainst(house, options, ctx.signal))
}

/** Mends what verify finds, and nothing else; then proves again. */
export async function repair(
  ctx: AppContext,
  selection: Partial<Selection>,
  options: { readonly dryRun: boolean },
): Promise<RepairReport> {
  return (await import('./repair.ts')).repairAll(ctx, selection, options)
}

/** Makes the ledger, a store or both again from the archive alone. */
export async function rebuild(ctx: AppContext, options: RebuildOptions): Promise<RebuildReport> {
  return (await import('./rebuild.ts')).rebuild(ctx, options)
}

/** Folds what was appended to the lake into its month files. Asks nobody. */
export async function compact(ctx: AppContext): Promise<CompactReport> {
  return (await import('./compact.ts')).compact(ctx)
}

/** Every restated bar, by series and time. */
export async function revisions(
  ctx: AppContext,
  selection: Partial<Selection>,
): Promise<readonly DatedRevision[]> {
  return inHouse(ctx, 'read', 'revisions', (house) => listRevisions(house, selection))
}

/** Latest first. */
export async function runs(ctx: AppContext, limit: number): Promise<readonly RunRecord[]> {
  return inHouse(ctx, 'read', 'runs', ({ ledger }) => ledger.runs(limit))
}

/** The run whose id is, or begins with, `id`. */
export async function run(ctx: AppContext, id: string): Promise<RunRecord | undefined> {
  return (await runs(ctx, Number.MAX_SAFE_INTEGER)).find(
    ({ runId }) => runId === id || (id !== '' && runId.startsWith(id)),
  )
}

async function inHouse<T>(
  ctx: AppContext,
  access: 'read' | 'write',
  command: string,
  work: (house: OpenHouse) => Promise<T>,
): Promise<T> {
  const house = await openHouse({ ...ctx, access, command })
  try {
    return await work(house)
  } finally {
    await house[Symbol.asyncDispose]()
  }
}

/** The same house with a ledger that keeps new facts to itself. */
function withoutWriting(house: OpenHouse): OpenHouse {
  const facts = new Map<string, Readonly<Record<string, unknown>>>()
  const { ledger } = house
  const overlay = new Proxy(ledger, {
    get(target, name) {
      if (name === 'putFact') {
        return async (
          series: { seriesId: string },
          fact: string,
          value: Readonly<Record<string, unknown>>,
        ) => {
          facts.set(`${series.seriesId} ${fact}`, value)
        }
      }
      if (name === 'getFact') {
        return async (series: Parameters<typeof target.getFact>[0], fact: string) =>
          facts.get(`${series.seriesId} ${fact}`) ?? target.getFact(series, fact)
      }
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
  return { ...house, ledger: overlay }
}

export { database, reconcileOne } from './databases.ts'
export { doctor } from './doctor.ts'
export { expandSelectors } from './expand.ts'
export { type ExportRequest, exportAgain, exportData } from './export.ts'
export { query } from './query.ts'
export { type SimulateOptions, simulate, simulateKite } from './simulate.ts'
