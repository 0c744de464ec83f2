import { type GapRun, runsNamed } from '../coverage/classify.ts'
import { expectedBars, finalEnd } from '../coverage/expected.ts'
import { emptySet, hull, intersect, type RangeSet, subtract, toRangeSet, union } from '../model/range-set.ts'
import { parseSeries, seriesId } from '../model/series.ts'
import type { TimeRange } from '../model/time.ts'
import { knownEdge } from './edges.ts'
import { gridOf, type House, jobOf, type SeriesJob } from './house.ts'

/** Other series that are looked at: enough to tell an outage from a quiet symbol, few enough to stay cheap. */
const WITNESSES_MAX = 32

type OutageHouse = Pick<House, 'ledger' | 'sources'>

/**
 * Gaps with those told apart that the whole venue has: where other series of the same market and timeframe were answered
 * too, and none of them has a bar, trading was suspended. Takes what the ledger knows; asks nobody.
 */
export async function withOutages(
  house: OutageHouse,
  job: SeriesJob,
  gaps: readonly GapRun[],
): Promise<GapRun[]> {
  const absent = toRangeSet(
    gaps.filter(({ class: name }) => name === 'source_absent').map(({ range }) => range),
  )
  const span = hull(absent)
  if (!span) return [...gaps]
  let answered: RangeSet = emptySet
  let traded: RangeSet = emptySet
  let witnesses = 0
  for (const other of await otherSeries(house, job)) {
    const { known, missing } = await wordOf(house, other, span)
    if (intersect(known, absent).length === 0) continue
    witnesses++
    answered = union(answered, known)
    traded = union(traded, subtract(known, missing))
  }
  const silent = subtract(intersect(absent, answered), traded)
  if (silent.length === 0) return [...gaps]
  const word = `; ${witnesses} other series of the venue ${witnesses === 1 ? 'lacks' : 'lack'} it too`
  return gaps.flatMap((gap) => (gap.class === 'source_absent' ? split(job, gap, silent, word) : [gap]))
}

async function otherSeries(
  { ledger, sources }: OutageHouse,
  { series, ref, id }: SeriesJob,
): Promise<SeriesJob[]> {
  const { venue, market } = series.instrument
  const others = (await ledger.series())
    .filter(({ endpoint, seriesId: other }) => endpoint === ref.endpoint && other !== id)
    .map(({ seriesId: other }) => parseSeries(other))
    .filter((other) => other.instrument.venue === venue && other.instrument.market === market)
    .filter((other) => other.timeframe === series.timeframe && other.price === series.price)
  return others
    .sort((a, b) => (seriesId(a) < seriesId(b) ? -1 : 1))
    .slice(0, WITNESSES_MAX)
    .map((other) => jobOf({ sources }, other))
}

/** Where another series was answered, from its first bar on, and which of its bars were not in the answers. */
async function wordOf({ ledger }: OutageHouse, job: SeriesJob, span: TimeRange) {
  const first = await knownEdge({ ledger }, job, 'first-bar')
  const firstMs = first?.openTimeMs ?? undefined
  const last = await knownEdge({ ledger }, job, 'last-bar')
  const grid = gridOf(job, firstMs)
  const known: TimeRange[] = [...(await ledger.covered(job.ref, span))]
  const missing: TimeRange[] = []
  for await (const { status, range, findings, venueTimeMs } of ledger.notable(job.ref, span)) {
    missing.push(...runsNamed('missing', findings, job.series.timeframe))
    if (status !== 'partial') continue
    const endMs = Math.min(range.endMs, finalEnd(grid, venueTimeMs ?? 0, job.source.spec.settleMs))
    known.push({ startMs: range.startMs, endMs })
  }
  const listed = toRangeSet([{ startMs: firstMs ?? span.startMs, endMs: last?.openTimeMs ?? span.endMs }])
  return { known: intersect(toRangeSet(known), listed), missing: toRangeSet(missing) }
}

function split(job: SeriesJob, gap: GapRun, silent: RangeSet, word: string): GapRun[] {
  const grid = gridOf(job, gap.range.startMs)
  const piece = (name: 'venue_outage' | 'source_absent', evidence: string) => (range: TimeRange) => ({
    class: name,
    range,
    bars: expectedBars(grid, range),
    evidence,
  })
  const outage = intersect([gap.range], silent).map(piece('venue_outage', gap.evidence + word))
  const rest = subtract([gap.range], silent).map(piece('source_absent', gap.evidence))
  return [...outage, ...rest].sort((a, b) => a.range.startMs - b.range.startMs)
}
