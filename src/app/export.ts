import type { ExportSettings, ExportSurroundings, Manifest } from '../loader/index.ts'
import { EverybarError } from '../model/errors.ts'
import type { OnEvent } from '../model/events.ts'
import type { RangeSet } from '../model/range-set.ts'
import type { Series } from '../model/series.ts'
import { type TimeRange, timeRange } from '../model/time.ts'
import { gridOf, jobOf, type SeriesJob } from '../pipeline/house.ts'
import { dueEnd } from '../pipeline/plan-series.ts'
import type { Selection } from './api.ts'
import type { AppContext } from './commands.ts'
import { type OpenHouse, openHouse } from './house.ts'
import { offlineGaps, offlineRange } from './inspect.ts'

/** What is to be exported: series and range as for the other commands, the rest as the loader takes it. */
export interface ExportRequest {
  readonly selection: Selection
  readonly settings: Omit<ExportSettings, 'series' | 'range'>
  readonly out: string
}

/** Writes training data from the lake; why bars are missing is asked of the ledger. Changes nothing under the root. */
export async function exportData(
  ctx: AppContext,
  { selection, settings, out }: ExportRequest,
): Promise<Manifest> {
  return inHouse(ctx, async (house) => {
    const range = await commonRange(house, selection)
    const { exportDataset } = await import('../loader/index.ts')
    return exportDataset({ ...surroundings(house, ctx, out), ...settings, series: selection.series, range })
  })
}

/** Makes the data set of a `dataset.json` again, byte by byte, or says what has changed. */
export async function exportAgain(ctx: AppContext, lock: string, out: string): Promise<Manifest> {
  return inHouse(ctx, async (house) => {
    const { exportLocked } = await import('../loader/index.ts')
    return exportLocked({ ...surroundings(house, ctx, out), lock })
  })
}

function surroundings(house: OpenHouse, ctx: AppContext, out: string): ExportSurroundings {
  return {
    root: house.root,
    out,
    asOfMs: house.clock.nowMs(),
    signal: ctx.signal,
    onEvent: withBars(ctx.onEvent),
    coverage: (series: Series, range: TimeRange) => offlineGaps(house, jobOf(house, series), range),
    sessions: (series: Series, range: TimeRange) => openSlots(jobOf(house, series), range),
    folded: (series: Series, range: TimeRange, folder: string) =>
      house.lake.foldedCopies(series, range, folder),
  }
}

/** The slots a bar can open in: all of them where the market never closes. */
function openSlots(job: SeriesJob, range: TimeRange): RangeSet {
  if (job.calendar) return job.calendar.openSlots(gridOf(job), range)
  const { venue, market } = job.series.instrument
  if (venue !== 'kite') return [range]
  throw new EverybarError('loader.bad-grid', `no session calendar is known for ${venue}:${market}`, {
    recovery: 'abort',
    hint: 'Use --grid calendar, which keeps closed hours as rows without values.',
  })
}

/** From the first start to the last end of the series; ends before bars that have not closed yet. */
async function commonRange(house: OpenHouse, selection: Selection): Promise<TimeRange> {
  let [startMs, endMs] = [Number.POSITIVE_INFINITY, 0]
  for (const series of selection.series) {
    const job = jobOf(house, series)
    const range = await offlineRange(house, job, selection)
    startMs = Math.min(startMs, range.startMs)
    endMs = Math.max(endMs, dueEnd(job, { range, venueNowMs: house.clock.nowMs() }))
  }
  return timeRange(startMs, endMs)
}

/** Progress in the words the command line shows. */
const withBars =
  (onEvent: OnEvent): OnEvent =>
  (event) =>
    onEvent(
      event.event === 'progress'
        ? { ...event, level: 'debug', bars: event.done, weightUsed: 0, weightCapacity: 0 }
        : event,
    )

async function inHouse<T>(ctx: AppContext, work: (house: OpenHouse) => Promise<T>): Promise<T> {
  const house = await openHouse({ ...ctx, access: 'read', command: 'export' })
  try {
    return await work(house)
  } finally {
    await house[Symbol.asyncDispose]()
  }
}
