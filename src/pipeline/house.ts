import type { Archive, ArchiveFolder } from '../archive/archive.ts'
import { cheapestPageSize } from '../chunking/page-size.ts'
import type { BarGrid } from '../coverage/expected.ts'
import type { Fetcher } from '../fetch/fetcher.ts'
import type { Ledger, LedgerSeries } from '../ledger/ledger.ts'
import { EverybarError } from '../model/errors.ts'
import type { Clock, OnEvent } from '../model/events.ts'
import { type Series, seriesId } from '../model/series.ts'
import type { SliceGrid } from '../model/slice.ts'
import type { EpochMs } from '../model/time.ts'
import type { Source } from '../source/source.ts'
import type { Store } from '../store/store.ts'

/** The rooms a bar passes through, opened by `app` and handed to everything in the corridor. */
export interface House {
  readonly sources: readonly Source[]
  readonly fetcher: Fetcher
  readonly archive: Archive
  readonly ledger: Ledger
  /** At least one. The first is the one reports count bars by. */
  readonly stores: readonly Store[]
  readonly clock: Clock
  readonly onEvent: OnEvent
  /** Requests under way at once. */
  readonly concurrency: number
}

/** A series with everything that follows from which endpoint serves it. */
export interface SeriesJob {
  readonly series: Series
  readonly id: string
  readonly source: Source
  readonly ref: LedgerSeries
  readonly folder: ArchiveFolder
  readonly slices: SliceGrid
}

/**
 * @throws EverybarError `source.unknown-venue`, `source.unknown-timeframe` (abort) when no endpoint serves the series.
 */
export function jobOf(house: Pick<House, 'sources'>, series: Series): SeriesJob {
  const { instrument, timeframe } = series
  const ofVenue = house.sources.filter(({ spec }) => spec.venue === instrument.venue)
  const source = ofVenue.find(({ spec }) => spec.markets.includes(instrument.market))
  if (!source) throw unknownVenue(series, house.sources)
  const { spec } = source
  if (!spec.timeframes.includes(timeframe)) {
    throw new EverybarError('source.unknown-timeframe', `${spec.id} has no ${timeframe} bars`, {
      recovery: 'abort',
      hint: `It has ${spec.timeframes.join(', ')}.`,
    })
  }
  const policy = typeof spec.chunkPolicy === 'function' ? spec.chunkPolicy({ timeframe }) : spec.chunkPolicy
  const limit = cheapestPageSize(policy, spec.weightPolicy)
  const days = spec.sliceDays?.(timeframe)
  return {
    series,
    id: seriesId(series),
    source,
    ref: { seriesId: seriesId(series), endpoint: spec.id },
    folder: { venue: spec.venue, directory: spec.directory, symbol: instrument.symbol, timeframe },
    slices: { timeframe, limit, ...(days && { days }) },
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

/** The grid bars of a job are expected on; `anchorMs` is an open time the venue has shown. */
export const gridOf = (job: SeriesJob, anchorMs?: EpochMs): BarGrid => ({
  timeframe: job.series.timeframe,
  ...(anchorMs !== undefined && { anchorMs }),
})
