/**
 * `everybar`: bars in memory, a lake kept complete, and the words both speak. Importing it opens nothing and loads no
 * driver: what a function needs comes with its first call.
 */
import type {
  CompactReport,
  Gap,
  PlanReport,
  RebuildReport,
  RepairReport,
  SeriesStatus,
  SyncReport,
  VerifyReport,
} from './app/api.ts'
import type { CollectTradesOptions } from './app/collect-trades.ts'
import type { FetchBarsOptions } from './app/fetch-bars.ts'
import type { QueryAnswer, QueryOptions } from './app/library.ts'
import type { LibraryOptions, SelectionOptions } from './app/library-options.ts'
import type { RebuildOptions } from './app/rebuild.ts'
import type { LoadedConfig, LoadOptions } from './config/load.ts'
import type { Collected } from './pipeline/collect-pages.ts'
import type { BarResult } from './pipeline/fetch-bars.ts'
import type { Simulator, SimulatorOptions } from './simulator/simulator.ts'
import type { Lake } from './store/lake.ts'
import type { LakeOptions } from './store/parquet/open-lake.ts'
import type { LakeQuery } from './store/query.ts'
import type { DataServer, DataServerOptions } from './web/data-server.ts'

/**
 * Bars in memory, from any endpoint, inside the venue's rate limits; nothing is written. Only bars that are final by the
 * venue's clock. About 250 bytes a bar; `sync` is the way for more than a few million.
 *
 * - `range`: the bars that open in it; cut at the last final bar, and then `clamped.clampedTo` says where;
 * - `limit` alone: so many of the latest, asked for newest first and given in ascending order;
 * - both: so many from the start of the range.
 *
 * Calls of one process with the same settings are one client to the venue: they share its limits and its bans, and
 * `throttledMs` is what all of them waited meanwhile.
 *
 * No bars are no error: `data` is empty, and `findings` names every run that is `missing`. Rows that cannot be used are in
 * `findings` too, never in `data`.
 *
 * @throws EverybarError by recovery: `retry` when the venue gave no usable answer in all attempts, `quarantine` when one
 *   could not be read, `abort` for what a person has to change; the abort reason.
 */
export async function fetchBars(options: FetchBarsOptions): Promise<BarResult> {
  return (await import('./app/fetch-bars.ts')).fetchBars(options)
}

/**
 * Keeps the venue's aggregate trades raw below `<root>/binance/agg-trades/raw/<symbol>/by-id/`, page by page: by cursor,
 * through the planner and executor that bars go through. Whole pages are never asked for twice. Holds one page.
 *
 * @throws EverybarError `series.no-range` (abort) without `fromId` and `range`; `root.locked` (abort); what the fetcher and
 *   the archive throw.
 */
export async function collectTrades(options: CollectTradesOptions): Promise<Collected> {
  return (await import('./app/collect-trades.ts')).collectTrades(options)
}

/**
 * Makes the series complete, once: fetches what is missing, keeps the answers, writes the bars to the stores. What goes
 * wrong with one slice or one series is in the report; what concerns all of it is thrown. Repeating it is harmless.
 */
export async function sync(options: SelectionOptions): Promise<SyncReport> {
  return (await import('./app/library.ts')).sync(options)
}

/** What `sync` would do. Asks the venue for its clock and first bars where they are not known; writes nothing. */
export async function plan(options: SelectionOptions): Promise<PlanReport> {
  return (await import('./app/library.ts')).plan(options)
}

/** What is known of the series named, or of all there are. Asks nobody, writes nothing. */
export async function status(options: SelectionOptions = {}): Promise<readonly SeriesStatus[]> {
  return (await import('./app/library.ts')).status(options)
}

/** Every run of missing bars, with its class and evidence. Asks nobody, writes nothing. */
export async function gaps(options: SelectionOptions = {}): Promise<readonly Gap[]> {
  return (await import('./app/library.ts')).gaps(options)
}

/** Proof from stored bytes: hashes, order, OHLC rules, lake against archive, coverage. Asks nobody, writes nothing. */
export async function verify(
  options: SelectionOptions & { readonly deep?: boolean } = {},
): Promise<VerifyReport> {
  return (await import('./app/library.ts')).verify(options)
}

/** Mends what `verify` finds and nothing else, then proves again; `dryRun` only says what it would do. */
export async function repair(
  options: SelectionOptions & { readonly dryRun?: boolean } = {},
): Promise<RepairReport> {
  return (await import('./app/library.ts')).repair(options)
}

/** Makes the ledger, the lake or a store again from the archive alone. Asks nobody. */
export async function rebuild(options: LibraryOptions & RebuildOptions): Promise<RebuildReport> {
  return (await import('./app/library.ts')).rebuild(options)
}

/** Folds what was appended to the lake while a market was followed live into its month files. Asks nobody. */
export async function compact(options: LibraryOptions = {}): Promise<CompactReport> {
  return (await import('./app/library.ts')).compact(options)
}

/** Read-only SQL over the lake's view `bars`, the whole answer in memory; `queryLake` streams. Throws as that does. */
export async function query(options: QueryOptions): Promise<QueryAnswer> {
  return (await import('./app/library.ts')).query(options)
}

/** Read-only SQL over the lake's view `bars`, rows as they come. */
export async function queryLake(options: LakeQuery): Promise<number> {
  return (await import('./store/query.ts')).queryLake(options)
}

/** Opens the Parquet lake under a root, to read bars as columns; close it with `await using` or `Symbol.asyncDispose`. */
export async function openLake(options: LakeOptions): Promise<Lake> {
  return (await import('./store/parquet/open-lake.ts')).openLake(options)
}

/** Reads a configuration as the command line does; give the result to any function here as `config`. */
export async function loadConfig(options: LoadOptions): Promise<LoadedConfig> {
  return (await import('./config/load.ts')).loadConfig(options)
}

/**
 * Keeps series complete in this process, and answers for it over HTTP: follows each live, looks for gaps again and again,
 * runs the configured jobs. `url` is where it listens (this machine alone unless told otherwise); `close` finishes what is
 * under way, records it and closes everything.
 *
 * @throws EverybarError `series.none-named`, `serve.no-token`, `serve.port-in-use`, `serve.cannot-listen` (abort), what
 *   opening the root throws (`root.locked`).
 */
export async function startDataServer(options: DataServerOptions = {}): Promise<DataServer> {
  return (await import('./web/data-server.ts')).startDataServer(options)
}

/** Starts a simulated venue on 127.0.0.1, for tests and demonstrations. */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  return (await import('./simulator/simulator.ts')).startSimulator(options)
}

export type {
  CompactReport,
  Fault,
  Gap,
  GapClass,
  PlanReport,
  Problem,
  SeriesPlan,
  SeriesReport,
  SeriesStatus,
  SyncReport,
  VerifyReport,
} from './app/api.ts'
export type { CollectTradesOptions } from './app/collect-trades.ts'
export type { FetchBarsOptions } from './app/fetch-bars.ts'
export type { QueryAnswer, QueryOptions } from './app/library.ts'
export type { Instant, LibraryOptions, SelectionOptions } from './app/library-options.ts'
export { slicingOf } from './app/slicing.ts'
export type { LoadedConfig, LoadOptions } from './config/load.ts'
export type { Config } from './config/schema.ts'
export {
  computeExpectedSlices,
  computeMissingSlices,
  type ExpectedSlices,
  type KnownStatus,
  type Slicing,
} from './coverage/slices.ts'
export {
  type Bar,
  type BarBatch,
  barAt,
  barsOf,
  batchFromBars,
  type NativeField,
  nativeFields,
} from './model/bar.ts'
export { EverybarError, isEverybarError, type Recovery } from './model/errors.ts'
export type { Clock, EverybarEvent, OnEvent } from './model/events.ts'
export type { Finding, FindingKind } from './model/finding.ts'
export type { HttpRequest, RawResponse } from './model/http.ts'
export {
  emptySet,
  holds,
  hull,
  intersect,
  type RangeSet,
  subtract,
  toRangeSet,
  totalMs,
  union,
} from './model/range-set.ts'
export {
  type Instrument,
  type PriceKind,
  parseSeries,
  type Series,
  sameSeries,
  series,
  seriesId,
} from './model/series.ts'
export { parseCompositeKey, type Slice, sliceId } from './model/slice.ts'
export { type EpochMs, iso, monthOf, overlap, type TimeRange, timeRange } from './model/time.ts'
export {
  ceilToBar,
  countOpens,
  fixedWidthMs,
  floorToBar,
  nextOpen,
  parseTimeframe,
  shiftBars,
  type Timeframe,
} from './model/timeframe.ts'
export { readWhen, type When } from './model/when.ts'
export type { Collected } from './pipeline/collect-pages.ts'
export type { BarResult } from './pipeline/fetch-bars.ts'
export type { Simulator, SimulatorOptions } from './simulator/simulator.ts'
export type { AggTrade } from './source/binance/agg-trades.ts'
export { type BinanceOptions, binanceSources } from './source/binance/sources.ts'
export type { DecodedPage, EndpointSpec, RateLimit, Source, VenueInfo } from './source/source.ts'
export type { Compacted, CompactOptions, DeltaState, Fold, Lake, LakeFile } from './store/lake.ts'
export type { LakeOptions } from './store/parquet/open-lake.ts'
export type { Cell, LakeQuery, QueryColumn } from './store/query.ts'
export type { AppendEntry, CommitResult, CommittedFile, Store, StoreTraits } from './store/store.ts'
export type { DataServer, DataServerOptions } from './web/data-server.ts'

export const version = '0.1.0'
