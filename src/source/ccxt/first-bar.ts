import type { RawResponse } from '../../model/http.ts'
import type { Series } from '../../model/series.ts'
import type { EpochMs, TimeRange } from '../../model/time.ts'
import { fixedWidthMs, floorToBar, parseTimeframe, shiftBars } from '../../model/timeframe.ts'
import { unreadable } from '../answer.ts'
import type { AskVenue, BarWindow, DecodedPage, Source } from '../source.ts'

/** What the search needs of an endpoint. */
export interface Searchable {
  readonly spec: Source['spec']
  readonly rowsMax: number
  readonly request: Source['request']
  readonly decode: (body: Uint8Array, window: BarWindow) => Promise<DecodedPage>
  /** Absent where the venue cannot be asked for its clock. */
  readonly clock?: {
    readonly request: () => ReturnType<Source['request']>
    readonly decode: (body: Uint8Array) => Promise<EpochMs>
  }
}

/** No venue of today is older. */
const OLDEST_MS = Date.UTC(2010, 0, 1)
const DAY_MS = 86_400_000
const coarseTimeframe = parseTimeframe('1d')

/**
 * The first bar of a series at a venue that cannot be asked for it: pages of days, halved until the first that holds a
 * bar is found, then the pages of the series' own timeframe inside that first day. About five requests, and one for each
 * page of a day. A venue that no longer has the fine bars of that day gives the day's own open: what lies between is
 * asked for and found absent, page by page.
 *
 * Sound where a venue has a bar in every page of days since its first: a pause of most of a year would deceive it.
 */
export async function findFirstBar(
  endpoint: Searchable,
  series: Series,
  { ask, nowMs }: AskVenue,
): Promise<EpochMs | undefined> {
  const { clock, spec } = endpoint
  const endMs = clock ? await clock.decode((await ask(await clock.request())).body) : nowMs
  const width = fixedWidthMs(series.timeframe)
  const finer = width !== undefined && width < DAY_MS && spec.timeframes.includes(coarseTimeframe)
  const coarse = finer ? { ...series, timeframe: coarseTimeframe } : series
  const pages = [...pagesOf(endpoint, coarse, { startMs: OLDEST_MS, endMs })]
  const first = await firstOfPages(pages, (page) => earliestIn(endpoint, page, ask))
  if (first === undefined || !finer) return first
  for (const page of pagesOf(endpoint, series, { startMs: first, endMs: first + DAY_MS })) {
    const found = await earliestIn(endpoint, page, ask)
    if (found !== undefined) return found
  }
  return first
}

/** Windows of a full page each that together cover a range, ascending. */
function* pagesOf(
  { rowsMax }: Searchable,
  series: Series,
  { startMs, endMs }: TimeRange,
): Generator<BarWindow> {
  let at = floorToBar(series.timeframe, startMs)
  while (at < endMs) {
    const next = shiftBars(series.timeframe, at, rowsMax)
    yield { series, range: { startMs: at, endMs: next }, limit: rowsMax }
    at = next
  }
}

/** Halves the pages: those before the first bar are empty, the others are not. */
async function firstOfPages(
  pages: readonly BarWindow[],
  earliest: (page: BarWindow) => Promise<EpochMs | undefined>,
): Promise<EpochMs | undefined> {
  let low = 0
  let high = pages.length
  let found: EpochMs | undefined
  while (low < high) {
    const middle = (low + high) >>> 1
    const first = await earliest(pages[middle]!)
    if (first === undefined) low = middle + 1
    else {
      found = first
      high = middle
    }
  }
  return found
}

async function earliestIn(
  endpoint: Searchable,
  window: BarWindow,
  ask: (request: Awaited<ReturnType<Source['request']>>) => Promise<RawResponse>,
): Promise<EpochMs | undefined> {
  const { body } = await ask(await endpoint.request(window))
  const { rows, badRows } = await endpoint.decode(body, window)
  // A row that cannot be read may be the very one that is looked for.
  if (badRows.length > 0) throw unreadable(badRows[0]!.detail)
  const { startMs, endMs } = window.range
  const inside = rows.openTimeMs.filter((ms) => ms >= startMs && ms < endMs)
  return inside.length === 0 ? undefined : Math.min(...inside)
}
