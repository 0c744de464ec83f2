import { seriesId } from '../model/series.ts'
import type { TimeRange } from '../model/time.ts'
import { firstBar } from '../pipeline/edges.ts'
import { asError } from '../pipeline/fetch-missing.ts'
import { type House, jobOf, type SeriesJob } from '../pipeline/house.ts'
import { costOf, planSeries } from '../pipeline/plan-series.ts'
import { resolveRange } from '../pipeline/range.ts'
import { Venues } from '../pipeline/venue-clock.ts'
import { endsFor, type PlanReport, type Problem, type Selection, type SeriesPlan } from './api.ts'
import type { OpenHouse } from './house.ts'
import { problemOf } from './report.ts'

/** Bytes of one archived minute bar, measured on real answers: for the estimate only. */
const BYTES_PER_BAR = 170

/** What `sync` would do. Asks the venue for its clock and first bars where they are not known; writes nothing. */
export async function planAll(
  house: House & Pick<OpenHouse, 'venues'>,
  selection: Selection,
  stop: AbortSignal,
): Promise<PlanReport> {
  const venues = new Venues(house)
  const series: SeriesPlan[] = []
  const problems: Problem[] = []
  let archiveBytes = 0
  for (const one of selection.series) {
    try {
      const known = await house.venues.introduce(one, { ...house, signal: stop })
      const job = jobOf(house, known)
      const wish = { series: known, ...endsFor(selection, seriesId(one)) }
      const { range, clock: read } = await resolveRange(house, venues, job, wish, stop)
      const clock = read ?? (await venues.clockOf(job, stop))
      const firstMs = await firstBar(house, job, stop)
      const todo = await planSeries(house, job, { range, firstMs, venueNowMs: clock.nowMs() })
      series.push({
        series: job.id,
        endpoint: job.ref.endpoint,
        range,
        slices: costOf(job, [range]).count,
        toFetch: todo.count,
        toReplay: await countUnstored(house, job, range),
        requests: todo.count,
        weight: todo.weight,
      })
      archiveBytes += todo.count * job.slices.limit * BYTES_PER_BAR
    } catch (error) {
      problems.push(problemOf(asError(error)))
    }
  }
  const weight = series.reduce((sum, plan) => sum + plan.weight, 0)
  const requests = series.reduce((sum, plan) => sum + plan.requests, 0)
  return { series, requests, weight, etaMs: etaMs(house, series), archiveBytes, problems }
}

async function countUnstored({ ledger, stores }: House, job: SeriesJob, range: TimeRange): Promise<number> {
  let count = 0
  for (const { name } of stores) for await (const _ of ledger.unstored(job.ref, name, range)) count++
  return count
}

/** Each bucket's weight over its tightest limit; buckets run side by side. */
function etaMs(house: House, plans: readonly SeriesPlan[]): number {
  const weights = new Map<string, number>()
  for (const { endpoint, weight } of plans) {
    const bucket = house.sources.find(({ spec }) => spec.id === endpoint)?.spec.bucket ?? endpoint
    weights.set(bucket, (weights.get(bucket) ?? 0) + weight)
  }
  const slowest = house.fetcher
    .usage()
    .map(({ bucket, capacity, windowMs }) => ((weights.get(bucket) ?? 0) / capacity) * windowMs)
  return Math.ceil(Math.max(0, ...slowest))
}
