import { join } from 'node:path'
import type { RunRecord } from '../ledger/ledger.ts'
import { type EverybarError, isEverybarError } from '../model/errors.ts'
import { compactLake } from '../pipeline/compact.ts'
import type { SeriesJob } from '../pipeline/house.ts'
import { rebuildRecords } from '../pipeline/rebuild.ts'
import { rebuildStore } from '../pipeline/reconcile-store.ts'
import { replay } from '../pipeline/replay.ts'
import type { Store } from '../store/store.ts'
import type { Problem, RebuildReport } from './api.ts'
import type { AppContext } from './commands.ts'
import { storeNamed } from './databases.ts'
import { checkRoot, type OpenHouse, openHouse } from './house.ts'
import { jobsOf } from './inspect.ts'
import { exportManifests } from './manifests.ts'
import { moverIn } from './quarantine.ts'
import { problemOf } from './report.ts'
import { lockRoot } from './root-lock.ts'
import { jobOfFolder } from './verify.ts'

export interface RebuildOptions {
  /** Make the ledger again. */
  readonly ledger?: boolean
  /** Make the lake again. */
  readonly lake?: boolean
  /** Make this store again. */
  readonly store?: string
}

/** Makes the ledger, a store, or both again from the archive alone. No request. */
export async function rebuild(ctx: AppContext, options: RebuildOptions): Promise<RebuildReport> {
  const moved: string[] = []
  await checkRoot(ctx.config.root, 'mend')
  const runs = options.ledger ? await takeLedgerAway(ctx, (path) => moved.push(path)) : []
  const house = await openHouse({ ...ctx, access: 'mend', command: 'rebuild' })
  try {
    for (const run of runs) await house.ledger.putRun(run)
    const stores = storesOf(house, options)
    const slices = options.ledger ? await rebuildLedger(house, ctx.signal) : new Map<string, number>()
    const series: RebuildReport['series'][number][] = []
    const problems: Problem[] = []
    const mover = moverIn(house.root, (path) => moved.push(path))
    if (stores.includes(house.lake)) await foldFirst(house, mover.setAside, ctx.signal)
    for (const job of await jobsOf(house, [])) {
      const { months, errors } = await rebuildEach(house, job, stores, mover.setAside, ctx.signal)
      problems.push(...errors.map(problemOf))
      series.push({ series: job.id, slices: slices.get(job.id) ?? 0, months })
    }
    if (house.config.ledger === 'sqlite')
      await exportManifests(house, await house.ledger.series(), { anew: true })
    return {
      ledger: options.ledger === true,
      stores: stores.map(({ name }) => name),
      series,
      setAside: moved,
      problems,
    }
  } finally {
    await house[Symbol.asyncDispose]()
  }
}

/** Those made again. The others are levelled with the archive like after any run: what they have already is left alone. */
function storesOf(house: OpenHouse, { lake, store }: RebuildOptions): readonly Store[] {
  return [...new Set([...(lake ? [house.lake] : []), ...(store ? [storeNamed(house, store)] : [])])]
}

/**
 * Leaves nothing in delta files that is whole: written month by month it would have to be taken out of them series by
 * series. Where a month file cannot be read, that is what happens.
 */
async function foldFirst(
  house: OpenHouse,
  setAside: (path: string) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  for (const { path } of await house.lake.skipDamagedDeltas()) await setAside(path)
  try {
    await compactLake(house, house.lake, signal)
  } catch (error) {
    if (!isEverybarError(error, 'store.corrupt')) throw error
  }
}

async function rebuildEach(
  house: OpenHouse,
  job: SeriesJob,
  stores: readonly Store[],
  setAside: (path: string) => Promise<void>,
  signal: AbortSignal,
): Promise<{ readonly months: number; readonly errors: readonly EverybarError[] }> {
  let count = 0
  for (const store of stores) {
    // Files of the lake are moved out of the way instead, and need not be readable.
    const strays = store !== house.lake
    const months = await rebuildStore(house, job, store, { strays, signal })
    count += months.length
    if (store !== house.lake) continue
    const made = new Set(months.map(({ startMs }) => startMs))
    for await (const { month, path } of house.lake.files(job.series))
      if (!made.has(month.startMs)) await setAside(path)
  }
  const errors: EverybarError[] = []
  for (const store of house.stores) errors.push(...(await replay(house, job, store, { signal })).errors)
  return { months: count, errors }
}

/** Every series the archive has a folder of. Slices recorded, by series. */
export async function rebuildLedger(house: OpenHouse, signal: AbortSignal): Promise<Map<string, number>> {
  const slices = new Map<string, number>()
  for await (const folder of house.archive.folders()) {
    const job = jobOfFolder(house, folder)
    if (job) slices.set(job.id, await rebuildRecords(house, job, signal))
  }
  return slices
}

const ledgerFiles = ['', '-wal', '-shm', '.seal'].map((ending) => `.everybar/ledger.db${ending}`)

/**
 * Takes the ledger out of the way. The list of past runs is in no archive: it is carried over where it can be read.
 */
export async function takeLedgerAway(
  ctx: AppContext,
  onMoved: (path: string) => void,
): Promise<readonly RunRecord[]> {
  const { root } = ctx.config
  const lock = await lockRoot(root, { command: 'rebuild', signal: ctx.signal })
  try {
    const runs = await runsIn(join(root, ledgerFiles[0]!))
    const { setAside } = moverIn(root, onMoved)
    if (ctx.config.ledger === 'manifest') {
      for (const path of await manifestPaths(ctx)) await setAside(path)
      return []
    }
    for (const path of ledgerFiles) await setAside(path)
    return runs
  } finally {
    await lock[Symbol.asyncDispose]()
  }
}

async function runsIn(path: string): Promise<readonly RunRecord[]> {
  const { openSqliteLedger } = await import('../ledger/sqlite/sqlite-ledger.ts')
  try {
    const ledger = openSqliteLedger({ path, readOnly: true })
    try {
      return await ledger.runs(Number.MAX_SAFE_INTEGER)
    } finally {
      await ledger[Symbol.asyncDispose]()
    }
  } catch (error) {
    if (isEverybarError(error)) return []
    throw error
  }
}

/** Manifests that are the ledger, relative to the root. */
async function manifestPaths({ config }: AppContext): Promise<readonly string[]> {
  const { openFsArchive } = await import('../archive/fs/fs-archive.ts')
  const { nodeFileSystem } = await import('./filesystem.ts')
  const archive = openFsArchive({ root: config.root, files: nodeFileSystem, compression: 'none' })
  const paths: string[] = []
  for await (const folder of archive.folders())
    paths.push(archive.pathOf(folder, '0'.repeat(32)).replace(/responses\/[^/]*$/, 'manifest.json'))
  return paths
}
