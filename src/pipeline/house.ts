import type { Archive, ArchiveFolder } from '../archive/archive.ts'
import { cheapestPageSize } from '../chunking/page-size.ts'
import type { SessionCalendar } from '../coverage/calendar.ts'
import type { BarGrid } from '../coverage/expected.ts'
import type { Fetcher } from '../fetch/fetcher.ts'
import type { Ledger, LedgerSeries } from '../ledger/ledger.ts'
import { EverybarError } from '../model/errors.ts'
import type { Clock, OnEvent } from '../model/events.ts'
import { type Instrument, type Series, seriesId } from '../model/series.ts'
import type { SliceGrid } from '../model/slice.ts'
import type { EpochMs } from '../model/time.ts'
import { anchorOf } from '../model/timeframe.ts'
import type { Source } from '../source/source.ts'
import type { Store } from '../store/store.ts'
import type { LakeFiles } from './lost-months.ts'
import type { SeriesTurns } from './turns.ts'

/** The rooms a bar passes through, opened by `app` and handed to everything in the corridor. */
export interface House {
  readonly sources: readonly Source[]
  readonly fetcher: Fetcher
  readonly archive: Archive
  readonly ledger: Ledger
  /** Since when this keeper has the ledger, where another had it before; 0, or absent, for always. */
  readonly keeperSinceMs?: EpochMs
  /** At least one. The first is the one reports count bars by. */
  readonly stores: readonly Store[]
  readonly clock: Clock
  readonly onEvent: OnEvent
  /** Requests under way at once. */
  readonly concurrency: number
  /** When the market of an instrument is open; absent, or `undefined`, for those that never close. */
  readonly calendarOf?: (instrument: Instrument) => SessionCalendar | undefined
  /** Where several pieces of work share the house: whose turn it is at a series. */
  readonly turns?: SeriesTurns
  /** Where the lake is one of the stores: what files it has. */
  readonly lakeFiles?: LakeFiles
}

/** A series with everything that follows from which endpoint serves it. */
export interface SeriesJob {
  readonly series: Series
  readonly id: string
  readonly source: Source
  /** The venue's other endpoints. */
  readonly others: readonly Source[]
  readonly ref: LedgerSeries
  readonly folder: ArchiveFolder
  readonly slices: SliceGrid
  readonly calendar?: SessionCalendar
}

/**
 * @throws EverybarError `source.unknown-venue`, `source.unknown-timeframe` (abort) when no endpoint serves the series.
 */
export function jobOf(house: Pick<House, 'sources' | 'calendarOf'>, series: Series): SeriesJob {
  const { instrument, timeframe } = series
  const ofMarket = house.sources.filter(
    ({ spec }) => spec.venue === instrument.venue && spec.markets.includes(instrument.market),
  )
  if (ofMarket.length === 0) throw unknownVenue(series, house.sources)
  const source = ofMarket.find(({ spec }) => spec.timeframes.includes(timeframe))
  if (!source) {
    const known = ofMarket.flatMap(({ spec }) => spec.timeframes)
    throw new EverybarError('source.unknown-timeframe', `${ofMarket[0]!.spec.id} has no ${timeframe} bars`, {
      recovery: 'abort',
      hint: `It has ${known.join(', ')}.`,
    })
  }
  const { spec } = source
  const policy = typeof spec.chunkPolicy === 'function' ? spec.chunkPolicy({ timeframe }) : spec.chunkPolicy
  const limit = cheapestPageSize(policy, spec.weightPolicy)
  const days = spec.sliceDays?.(timeframe)
  const calendar = house.calendarOf?.(instrument)
  return {
    series,
    id: seriesId(series),
    source,
    others: house.sources.filter((one) => one !== source && one.spec.venue === spec.venue),
    ref: { seriesId: seriesId(series), endpoint: spec.id },
    folder: { venue: spec.venue, directory: spec.directory, symbol: instrument.symbol, timeframe },
    slices: { timeframe, limit, ...(days && { days }) },
    ...(calendar && { calendar }),
  }
}

function unknownVenue({ instrument }: Series, sources: readonly Source[]): EverybarError {
  const served = [...new Set(sources.flatMap(({ spec }) => spec.markets.map((m) => `${spec.venue}:${m}`)))]
  return new EverybarError(
    'source.unknown-venue',
    `no source serves ${instrument.venue}:${instrument.market}`,
    { recovery: 'abort', hint: `Known are ${served.join(', ')}.` },
  )
}

/**
 * The grid bars of a job are expected on. `anchorMs`, an open time the venue has shown, counts only where no grid is
 * documented: a first bar off the grid must not take all others off it.
 */
export function gridOf({ series, source, calendar }: SeriesJob, anchorMs?: EpochMs): BarGrid {
  const { timeframe } = series
  const anchor =
    source.spec.anchorMs?.(timeframe) ?? (anchorOf(timeframe) === undefined ? anchorMs : undefined)
  return { timeframe, ...(anchor !== undefined && { anchorMs: anchor }), ...(calendar && { calendar }) }
}
