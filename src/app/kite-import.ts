import type { Config } from '../config/schema.ts'
import { openInstrumentBook } from '../ledger/sqlite/instrument-book.ts'
import { EverybarError } from '../model/errors.ts'
import type { InstrumentEntry } from '../model/instrument-line.ts'
import { type Series, seriesId, series as seriesOf } from '../model/series.ts'
import { DAY_MS, type EpochMs } from '../model/time.ts'
import type { When } from '../model/when.ts'
import { jobOf } from '../pipeline/house.ts'
import { planSeries } from '../pipeline/plan-series.ts'
import { istMidnight, kiteIntervals } from '../source/kite/intervals.ts'
import type { KiteSummary, Selection, SeriesReport, SyncReport } from './api.ts'
import type { AppContext } from './commands.ts'
import { type OpenHouse, openHouse, type RetrySettings, systemClock } from './house.ts'
import { instrumentBookPath } from './kite-house.ts'
import { syncAll } from './sync.ts'

type Settings = NonNullable<Config['kite']>

/** What an import is about to do. */
export interface KitePlan {
  readonly instruments: number
  /** Those that need no request. */
  readonly complete: number
  readonly requests: number
  readonly requestsPerSecond: number
  /** From the rate limit alone: it cannot be faster, whatever the workers. */
  readonly etaMs: number
  /** How old the list of instruments is. */
  readonly listAgeMs: number
}

export interface KiteImportOptions {
  /** Series of the configuration that are not Kite's: made complete in the same run. */
  readonly also?: Selection
  /** What the run is called among the others; `sync` unless given. */
  readonly command?: string
  /** Told before the first request. */
  readonly announce?: (plan: KitePlan) => void
}

/** An instrument the venue does not know, or has nothing to say of: listed in the report, and no failure of the run. */
const skipped: ReadonlySet<string> = new Set(['source.unknown-symbol', 'source.refused', 'source.not-served'])

/**
 * The import the `kite` block asks for: every instrument its filters choose, from the bootstrap date to the last final
 * bar, each kept as soon as it is there. One that fails holds up no other; a login that ends stops the rest, and the next
 * run goes on from there.
 *
 * @throws EverybarError `series.no-instruments` (abort) where no list was taken in, `series.no-match` (abort) where the
 *   filters choose nothing, and what opening a house throws.
 */
export async function importKite(ctx: AppContext, options: KiteImportOptions = {}): Promise<SyncReport> {
  const settings = ctx.config.kite!
  const chosen = wantedSeries(ctx, settings)
  const house = await openHouse({ ...ctx, access: 'write', command: 'sync', retry: kiteRetry(settings) })
  try {
    return await importChosen(house, chosen, ctx.signal, options)
  } finally {
    await house[Symbol.asyncDispose]()
  }
}

/** The same import in a house that is open, whose waits between tries then hold. Throws as `importKite`. */
export async function importKiteInto(
  house: OpenHouse,
  stop: AbortSignal,
  options: KiteImportOptions,
): Promise<SyncReport> {
  return importChosen(house, wantedSeries(house, house.config.kite!), stop, options)
}

/** How often a request of the import is tried, and the first wait. */
export const kiteRetry = ({ max_retries, retry_delay_seconds }: Settings): RetrySettings => ({
  attempts: max_retries + 1,
  baseMs: retry_delay_seconds * 1_000,
})

async function importChosen(
  house: OpenHouse,
  { wanted, from, listAgeMs }: ReturnType<typeof wantedSeries>,
  stop: AbortSignal,
  options: KiteImportOptions,
): Promise<SyncReport> {
  const settings = house.config.kite!
  options.announce?.({ ...(await planImport(house, wanted, from.ms, settings)), listAgeMs })
  const { also, command } = options
  const selection: Selection = {
    ...also,
    series: [...wanted, ...(also?.series ?? [])],
    perSeries: new Map<string, { readonly from?: When; readonly to?: When }>([
      ...(also?.perSeries ?? []),
      ...wanted.map((one) => [seriesId(one), { from }] as const),
    ]),
  }
  const own = new Set(wanted.map(seriesId))
  return syncAll(house, selection, stop, {
    ...(command !== undefined && { command }),
    seriesAtOnce: settings.parallel_workers,
    maySkip: ({ code }) => skipped.has(code),
    summary: (all) => summaryOf(all.filter(({ series }) => own.has(series))),
    onDone: batchProgress(house, settings.batch_size, selection.series.length),
  })
}

/**
 * What the import would do, from the ledger alone: no request, nothing written.
 *
 * @throws EverybarError as `importKite`.
 */
export async function planKite(ctx: AppContext): Promise<KitePlan> {
  const settings = ctx.config.kite!
  const { wanted, from, listAgeMs } = wantedSeries(ctx, settings)
  const house = await openHouse({ ...ctx, access: 'read', command: 'plan' })
  try {
    return { ...(await planImport(house, wanted, from.ms, settings)), listAgeMs }
  } finally {
    await house[Symbol.asyncDispose]()
  }
}

function wantedSeries(
  { config, clock = systemClock }: Pick<AppContext, 'config' | 'clock'>,
  settings: Settings,
) {
  const nowMs = clock.nowMs()
  const from = { kind: 'at', ms: istMidnight(settings.bootstrap_from_date) } as const
  if (from.ms >= nowMs) throw inTheFuture(settings)
  const { entries, listAgeMs } = chosenInstruments(config, settings, nowMs)
  const timeframe = kiteIntervals[settings.candle_interval]
  const wanted = entries.map((entry) =>
    seriesOf({ venue: 'kite', market: entry.exchange.toLowerCase(), symbol: entry.seriesSymbol }, timeframe),
  )
  return { wanted, from, listAgeMs }
}

/** The instruments the filters choose, those that are listed now. */
export function chosenInstruments(
  { root }: Pick<Config, 'root'>,
  settings: Settings,
  nowMs: EpochMs,
): { readonly entries: readonly InstrumentEntry[]; readonly listAgeMs: number } {
  const book = openInstrumentBook({ path: instrumentBookPath(root), readOnly: true })
  try {
    const listedMs = book.lastSeenMs('kite')
    if (listedMs === undefined) throw noInstruments()
    const entries = book.list({
      venue: 'kite',
      types: settings.instrument_types,
      exchanges: settings.exchanges,
      segments: settings.segments,
      symbols: settings.symbols,
      ...(settings.expiry_from !== undefined && { expiryFrom: settings.expiry_from }),
      ...(settings.expiry_to !== undefined && { expiryTo: settings.expiry_to }),
    })
    if (entries.length === 0) throw noMatch(settings)
    return { entries, listAgeMs: Math.max(0, nowMs - listedMs) }
  } finally {
    book[Symbol.dispose]()
  }
}

/** Requests by what the ledger lacks now. The machine's clock serves: a bar more or less is no request more. */
async function planImport(house: OpenHouse, wanted: readonly Series[], fromMs: EpochMs, settings: Settings) {
  const venueNowMs = house.clock.nowMs()
  const range = { startMs: fromMs, endMs: Math.max(fromMs + 1, venueNowMs + DAY_MS) }
  let requests = 0
  let complete = 0
  for (const series of wanted) {
    const { count } = await planSeries(house, jobOf(house, series), { range, venueNowMs })
    requests += count
    if (count === 0) complete++
  }
  const requestsPerSecond = settings.rate_limit
  return {
    instruments: wanted.length,
    complete,
    requests,
    requestsPerSecond,
    etaMs: Math.ceil((requests / requestsPerSecond) * 1_000),
  }
}

/** Says after every batch how far things are. */
export function batchProgress({ onEvent, fetcher, clock }: OpenHouse, batchSize: number, total: number) {
  const startedAt = clock.monotonicMs()
  let failed = 0
  let bars = 0
  return (one: SeriesReport, done: number): void => {
    bars += one.bars.inserted + one.bars.revised
    if (one.problems.length > 0) failed++
    const fields = { series: one.series, inserted: one.bars.inserted, updated: one.bars.revised }
    onEvent({ event: 'instrument_done', ...fields, problems: one.problems.map(({ code }) => code) })
    if (done % batchSize !== 0 && done !== total) return
    const elapsedMs = clock.monotonicMs() - startedAt
    onEvent({
      event: 'batch_done',
      ...{
        batch: Math.ceil(done / batchSize),
        batches: Math.ceil(total / batchSize),
        done,
        total,
        failed,
        bars,
      },
      requests: fetcher.stats().requests,
      eta_ms: Math.round((elapsedMs / done) * (total - done)),
    })
  }
}

function summaryOf(reports: readonly SeriesReport[]): KiteSummary {
  const sum = (value: (one: SeriesReport) => number) => reports.reduce((total, one) => total + value(one), 0)
  const failed = reports.filter(({ complete }) => !complete)
  const isSkipped = ({ problems }: SeriesReport) =>
    problems.length > 0 && problems.every(({ code }) => skipped.has(code))
  return {
    instruments: reports.length,
    upToDate: reports.filter(({ complete, slices }) => complete && slices.fetched === 0).length,
    fetched: reports.filter(({ slices }) => slices.fetched > 0).length,
    failed: failed.filter((one) => !isSkipped(one)).length,
    skipped: failed.filter(isSkipped).map(({ series, problems }) => ({
      series,
      code: problems[0]!.code,
      message: problems[0]!.message,
    })),
    inserted: sum(({ bars }) => bars.inserted),
    updated: sum(({ bars }) => bars.revised),
    allFailed: reports.length > 0 && failed.length === reports.length,
  }
}

const noInstruments = (): EverybarError =>
  new EverybarError('series.no-instruments', 'no list of Kite instruments was taken in yet', {
    recovery: 'abort',
    hint: 'Run "everybar kite login", then "everybar instruments sync kite".',
  })

const inTheFuture = ({ bootstrap_from_date }: Settings): EverybarError =>
  new EverybarError('time.bad-range', `kite.bootstrap_from_date ${bootstrap_from_date} lies in the future`, {
    recovery: 'abort',
    hint: 'Name the day history should begin on: 1995-01-01.',
    path: 'kite.bootstrap_from_date',
  })

const filters = ['instrument_types', 'exchanges', 'segments', 'symbols', 'expiry_from', 'expiry_to'] as const

function noMatch(settings: Settings): EverybarError {
  const used = filters.filter((name) => (settings[name]?.length ?? 0) > 0)
  const all = used.map((name) => `kite.${name} ${[settings[name]].flat().join(', ')}`)
  return new EverybarError('series.no-match', `no instrument matches all of ${all.join('; ')}`, {
    recovery: 'abort',
    hint: 'See what there is, filter by filter: everybar instruments list kite --limit 20. Case counts.',
  })
}
