import type { InstrumentEntry } from '../model/instrument-line.ts'
import { parseSeries } from '../model/series.ts'
import { DAY_MS, type EpochMs } from '../model/time.ts'
import { floorToBar, nextOpen } from '../model/timeframe.ts'
import { type Edge, knownEdge } from '../pipeline/edges.ts'
import { gridOf, jobOf, type SeriesJob } from '../pipeline/house.ts'
import { planSeries } from '../pipeline/plan-series.ts'
import { istDay, istMidnight } from '../source/kite/intervals.ts'
import type { OpenHouse } from './house.ts'

/**
 * Notes, with the evidence, where series end whose instruments left the list. Asked of all that ever left, since a process
 * may be killed after it took a list in and before it noted what that ends.
 */
export async function noteEnds(house: OpenHouse, gone: readonly InstrumentEntry[]): Promise<void> {
  if (gone.length === 0) return
  const byName = new Map(gone.map((one) => [`${one.exchange.toLowerCase()}:${one.seriesSymbol}`, one]))
  for (const ref of await house.ledger.series()) {
    const series = parseSeries(ref.seriesId)
    const { venue, market, symbol } = series.instrument
    const entry = venue === 'kite' ? byName.get(`${market}:${symbol}`) : undefined
    if (!entry) continue
    const job = jobOf(house, series)
    const known = await knownEdge(house, job, 'last-bar')
    if (known?.evidence !== undefined && known.askedAtMs >= (entry.goneMs ?? 0)) continue
    const openTimeMs = await endOf(house, job, entry)
    if (openTimeMs === undefined) continue
    const askedAtMs = house.clock.nowMs()
    const answer = `not in the list of ${istDay(askedAtMs)}`
    const evidence = `${answer}: ${entry.expiry === lastDayOf(entry) ? 'expired' : 'listed last on'} ${lastDayOf(entry)}`
    const edge: Edge = { openTimeMs, askedAtMs, url: '/instruments', answer, evidence }
    await house.ledger.putFact(ref, 'last-bar', { ...edge })
  }
}

/**
 * The last known bar, where nothing after it up to the instrument's last day is left to ask for. Else the last bar that day
 * could have: what was not fetched before the instrument left is not there, and no end of trading says so. `undefined`
 * for a series without a bar.
 */
async function endOf(house: OpenHouse, job: SeriesJob, entry: InstrumentEntry): Promise<EpochMs | undefined> {
  let lastMs: EpochMs | null = null
  for await (const record of house.ledger.slices(job.ref)) lastMs = record.lastMs ?? lastMs
  if (lastMs === null) return undefined
  const { timeframe } = job.series
  const range = {
    startMs: nextOpen(timeframe, lastMs),
    endMs: istMidnight(lastDayOf(entry)) + DAY_MS,
  }
  if (range.startMs >= range.endMs) return lastMs
  const { missing } = await planSeries(house, job, { range })
  return missing.length === 0 ? lastMs : floorToBar(timeframe, range.endMs - 1, gridOf(job).anchorMs)
}

/** The day of its expiry; that of the last list it stood in where it has none, or left before. */
function lastDayOf({ expiry, lastSeenMs, goneMs }: InstrumentEntry): string {
  const seen = istDay(lastSeenMs)
  return expiry !== null && expiry <= istDay(goneMs ?? lastSeenMs) ? expiry : seen
}
