import { mkdir, stat } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Archive } from '../archive/archive.ts'
import { openFsArchive } from '../archive/fs/fs-archive.ts'
import type { Config } from '../config/schema.ts'
import { createFetcher } from '../fetch/undici/create-fetcher.ts'
import type { Ledger, LedgerSeries } from '../ledger/ledger.ts'
import { memoryLedger } from '../ledger/memory/memory-ledger.ts'
import { EverybarError } from '../model/errors.ts'
import type { Clock, OnEvent } from '../model/events.ts'
import { parseSeries, seriesId } from '../model/series.ts'
import { withEvidence } from '../pipeline/evidence.ts'
import { type House, jobOf } from '../pipeline/house.ts'
import { withTargets } from '../pipeline/store-targets.ts'
import { binanceSources } from '../source/binance/sources.ts'
import { isCcxtBucket } from '../source/ccxt/known-venue.ts'
import { KITE_BUCKET } from '../source/kite/sources.ts'
import type { Source } from '../source/source.ts'
import type { Lake } from '../store/lake.ts'
import { LAKE, type LakeOptions, openLake } from '../store/parquet/open-lake.ts'
import { openBanBook } from './bans.ts'
import { nodeFileSystem } from './filesystem.ts'
import { kiteRooms } from './kite-house.ts'
import { noteKeeper } from './ledger-keeper.ts'
import { manifestPlace } from './manifests.ts'
import { cappedTo } from './page-limit.ts'
import { lockRoot } from './root-lock.ts'
import { sharedFetcher } from './shared-fetcher.ts'
import { openSpendBook } from './spends.ts'
import { openStores } from './stores.ts'
import { VenueBook } from './venues.ts'

export type Access = 'read' | 'mend' | 'write'

/** Everything a command works with, opened; closing it closes all of it, the lock last. */
export interface OpenHouse extends House, AsyncDisposable {
  readonly venues: VenueBook
  readonly root: string
  readonly config: Config
  readonly lake: Lake
  /** To be called when a list of instruments was taken in. */
  readonly instrumentsChanged?: () => void
}

export interface OpenOptions {
  readonly config: Config
  readonly onEvent: OnEvent
  readonly clock?: Clock
  /**
   * - `write`: makes the root where it is missing and holds its lock: one writing process a root;
   * - `mend`: holds the lock too, but the root has to be there: what is not there cannot be mended;
   * - `read`: the root has to be there; other processes may write meanwhile.
   */
  readonly access: Access
  /** For the message another process gets while this one holds the lock. */
  readonly command: string
  /** Tries and waits of requests; the configuration's unless given. */
  readonly retry?: RetrySettings
}

export interface RetrySettings {
  readonly attempts: number
  readonly baseMs: number
}

/** The machine's clock. The only one in the house; everything below gets it handed in. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: async (ms, signal) => {
    await sleep(Math.max(0, ms), undefined, signal ? { signal } : {})
  },
}

/**
 * @throws EverybarError `root.not-found`, `root.not-a-folder`, `root.not-writable`, `root.locked` (abort), or what a
 *   ledger throws.
 */
export async function openHouse(options: OpenOptions): Promise<OpenHouse> {
  const { config, onEvent, access } = options
  const clock = options.clock ?? systemClock
  const { root } = config
  const writes = access !== 'read'
  await checkRoot(root, access)
  const open = new AsyncDisposableStack()
  try {
    if (writes) open.use(await lockRoot(root, { waitMs: 2_000, command: options.command }))
    const kite = kiteRooms(config, clock)
    const venues = await new VenueBook(config, sourcesOf(config, kite), writes ? root : undefined).open(
      onEvent,
    )
    const { sources } = venues
    const archive = openFsArchive({
      root,
      files: nodeFileSystem,
      compression: config.archive.compression,
      onEvent,
      sweep: writes,
      threads: Math.min(availableParallelism(), CHECK_THREADS_MAX),
    })
    const kept = open.use(await openLedger(config, access, { archive, sources }))
    const folderOf = ({ seriesId }: LedgerSeries) => jobOf({ sources }, parseSeries(seriesId)).folder
    const proved = withEvidence(kept, archive, folderOf)
    const lake = open.use(await openLake({ root, onEvent, notedHash: hashesIn(proved) }))
    const stores = await openStores(config, lake, clock, onEvent, kite.tokenKeyOf)
    for (const store of stores) if (store !== lake) open.use(store)
    const ledger = withTargets(proved, { stores, writes })
    const keeperSinceMs = writes ? noteKeeper(root, config.ledger, clock.nowMs()) : 0
    const past = { bans: openBanBook(root, clock), spends: openSpendBook(root, clock) }
    const fetcher = open.use(
      createFetcher({ ...fetcherOptions(config, clock, onEvent, options.retry), ...past }),
    )
    const all = open.move()
    return {
      root,
      config,
      lake,
      sources,
      venues,
      fetcher,
      archive,
      ledger,
      keeperSinceMs,
      stores,
      clock,
      onEvent,
      concurrency: config.fetch.concurrency,
      calendarOf: kite.calendarOf,
      instrumentsChanged: kite.instrumentsChanged,
      [Symbol.asyncDispose]: () => all.disposeAsync(),
    }
  } catch (error) {
    await open.disposeAsync()
    throw error
  }
}

/** What the ledger noted of month files of the lake, by path. */
function hashesIn(ledger: Ledger): NonNullable<LakeOptions['notedHash']> {
  const known = new Map<string, LedgerSeries>()
  return async (series, path) => {
    const id = seriesId(series)
    if (!known.has(id)) for (const one of await ledger.series()) known.set(one.seriesId, one)
    const ref = known.get(id)
    if (!ref) return undefined
    for await (const file of ledger.storedFiles(ref, LAKE)) if (file.path === path) return file.sha256
    return undefined
  }
}

/** A disk gives no more than so many threads can hash. */
const CHECK_THREADS_MAX = 8

/** A house with no root under it, for `plan` where nothing has been kept yet. */
export async function openEmptyHouse(
  options: Omit<OpenOptions, 'access'> & {
    /** Its requests share limits and bans with every such house of this process that has the same settings. */
    readonly shared?: boolean
  },
): Promise<Omit<OpenHouse, 'lake' | 'root'>> {
  const { config, onEvent } = options
  const clock = options.clock ?? systemClock
  const create = (tell: OnEvent) => createFetcher(fetcherOptions(config, clock, tell))
  const { fetch, sources, settings } = config
  const fetcher =
    options.shared && !options.clock
      ? sharedFetcher(JSON.stringify([fetch, sources, settings]), onEvent, create)
      : create(onEvent)
  const archive = openFsArchive({ root: config.root, files: nodeFileSystem, compression: 'none', onEvent })
  const ledger = memoryLedger()
  const kite = kiteRooms(config, clock)
  const venues = await new VenueBook(config, sourcesOf(config, kite), undefined).open(onEvent)
  return {
    config,
    sources: venues.sources,
    venues,
    fetcher,
    archive,
    ledger,
    stores: [],
    clock,
    onEvent,
    concurrency: config.fetch.concurrency,
    calendarOf: kite.calendarOf,
    [Symbol.asyncDispose]: () => fetcher[Symbol.asyncDispose](),
  }
}

/** The native sources, their pages no larger than `history_page_limit` allows. */
export function sourcesOf(config: Config, kite = kiteRooms(config, systemClock)): readonly Source[] {
  return nativeSources(config, kite).map((source) => cappedTo(config, source))
}

function nativeSources(config: Config, kite: ReturnType<typeof kiteRooms>): readonly Source[] {
  const { base_url: baseUrl, futures_base_url: futuresBaseUrl } = config.sources.binance
  // The venue's own spot host serves no futures; any other host that was named is taken to serve both.
  const own = baseUrl === 'https://api.binance.com'
  const binance = binanceSources({ ...(!own && { baseUrl }), ...(futuresBaseUrl && { futuresBaseUrl }) })
  return [...binance, ...kite.sources]
}

function fetcherOptions(config: Config, clock: Clock, onEvent: OnEvent, retry?: RetrySettings) {
  const { fetch } = config
  return {
    clock,
    onEvent,
    connections: fetch.concurrency,
    share: shareOf(config),
    bodyMaxBytes: fetch.body_bytes_max,
    maxWaitMs: fetch.ban_wait_max_ms,
    timeouts: {
      connectMs: fetch.connect_timeout_ms,
      headersMs: fetch.headers_timeout_ms,
      bodyMs: fetch.body_timeout_ms,
    },
    retry: { ...retryOf(config), ...retry },
  }
}

/** The part of a bucket's limits to use. Kite's is set as a rate of its own. */
export const shareOf =
  ({ sources }: Config) =>
  (bucket: string): number => {
    if (bucket === KITE_BUCKET) return 1
    return isCcxtBucket(bucket) ? sources.ccxt.limits.share : sources.binance.limits.share
  }

/** The waits between tries: `settings` wins where it says something, its times in seconds. */
function retryOf({ fetch, settings }: Config) {
  const ms = (seconds: number | undefined) =>
    seconds === undefined ? undefined : Math.round(seconds * 1_000)
  return {
    attempts: settings.backoff_attempts ?? fetch.attempts,
    baseMs: ms(settings.backoff_base) ?? fetch.backoff_base_ms,
    factor: settings.backoff_factor ?? fetch.backoff_factor,
    capMs: ms(settings.backoff_max) ?? fetch.backoff_max_ms,
    rateLimitBaseMs: fetch.rate_limit_base_ms,
    rateLimitCapMs: fetch.rate_limit_max_ms,
  }
}

async function openLedger(
  { root, ledger }: Config,
  access: Access,
  rooms: { readonly archive: Archive; readonly sources: readonly Source[] },
): Promise<Ledger> {
  const readOnly = access === 'read'
  if (ledger === 'manifest') {
    const { openManifestLedger } = await import('../ledger/manifest/manifest-ledger.ts')
    const placeOf = (series: LedgerSeries) => manifestPlace(root, rooms, series)
    return openManifestLedger({ root, files: nodeFileSystem, placeOf, readOnly })
  }
  const { openSqliteLedger } = await import('../ledger/sqlite/sqlite-ledger.ts')
  return openSqliteLedger({ path: join(root, '.everybar', 'ledger.db'), readOnly })
}

export async function rootExists(root: string): Promise<boolean> {
  return (await stat(root).catch(() => undefined)) !== undefined
}

/** @throws EverybarError `root.not-found`, `root.not-a-folder`, `root.not-readable`, `root.not-writable` (abort). */
export async function checkRoot(root: string, access: Access): Promise<void> {
  const found = await stat(root).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    if (error.code === 'ENOTDIR') throw partIsFile(root, error)
    throw rootError(
      'root.not-readable',
      root,
      `cannot look at ${root}`,
      'Check the permissions of its folders.',
      error,
    )
  })
  if (found && !found.isDirectory()) {
    throw rootError('root.not-a-folder', root, `${root} is not a folder`, 'Name a folder with --root.')
  }
  if (!found && access !== 'write') {
    throw rootError(
      'root.not-found',
      root,
      `there is no data root at ${root}`,
      'Run "everybar sync" first, or name another folder with --root.',
    )
  }
  if (access === 'read') return
  await makeFolder(join(root, '.everybar')).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOTDIR') {
      throw partIsFile(root, error)
    }
    throw rootError(
      'root.not-writable',
      root,
      `cannot write to ${root} (${error.code})`,
      'Check its permissions, or name another folder with --root.',
      error,
    )
  })
}

/**
 * A folder, with those it is in. The first one is made by itself: in places where none can be, as in /proc, a recursive
 * `mkdir` never ends.
 */
async function makeFolder(path: string): Promise<void> {
  let first = path
  for (let above = dirname(first); !(await rootExists(above)); above = dirname(above)) first = above
  await mkdir(first).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
  await mkdir(path, { recursive: true })
}

const partIsFile = (root: string, cause: unknown) =>
  rootError('root.not-a-folder', root, `a part of ${root} is a file`, 'Name a folder with --root.', cause)

const rootError = (
  code: string,
  path: string,
  message: string,
  hint: string,
  cause?: unknown,
): EverybarError =>
  new EverybarError(code, message, { recovery: 'abort', hint, path, ...(cause !== undefined && { cause }) })
