import { type CoverageFacts, classifyGaps, type GapRun, type SliceNote } from '../coverage/classify.ts'
import { type EpochMs, iso, type TimeRange } from '../model/time.ts'
import { describeEdge, type Edge, type EdgeName, isContradicted, knownEdge } from './edges.ts'
import { gridOf, type House, type SeriesJob } from './house.ts'
import { withOutages } from './outages.ts'

/**
 * Every missing bar of a series in `range`, classed, from the ledger alone: no request, no bar read. Cost and memory
 * grow with the gaps, not with the history.
 *
 * @param dueEndMs end of the last bar that can be final by now.
 */
export async function gapsOf(
  house: Pick<House, 'ledger' | 'sources'>,
  job: SeriesJob,
  range: TimeRange,
  dueEndMs?: EpochMs,
): Promise<GapRun[]> {
  const known = await knownEdge(house, job, 'first-bar')
  const told = known && !(await isContradicted(house, job, known)) ? known : undefined
  const first = told ? withinReach(job, toldFact('first-bar', told)) : await observedFirst(house, job, range)
  const ended = await knownEdge(house, job, 'last-bar')
  const end = ended && toldFact('last-bar', ended)
  // Who has left a list that is taken again and again is gone until it stands there once more.
  const toldAtMs = ended?.evidence === undefined ? (ended?.askedAtMs ?? 0) : Number.POSITIVE_INFINITY
  const last = end && { ...end, toldAtMs }
  const notes: SliceNote[] = []
  for await (const record of house.ledger.notable(job.ref, range)) notes.push(record)
  const facts: CoverageFacts = {
    grid: gridOf(job, known?.openTimeMs ?? undefined),
    range,
    answered: await house.ledger.covered(job.ref, range),
    notes,
    settleMs: job.source.spec.settleMs,
    quietBars: job.source.spec.quietBars,
    ...(first && { first }),
    ...(last && { last }),
    ...(dueEndMs !== undefined && { dueEndMs }),
  }
  return withOutages(house, job, classifyGaps(facts))
}

type EdgeFact = NonNullable<CoverageFacts['first']>

const toldFact = (name: EdgeName, edge: Edge): EdgeFact | undefined =>
  edge.openTimeMs === null ? undefined : { openTimeMs: edge.openTimeMs, evidence: describeEdge(name, edge) }

/** Of an endpoint that keeps its latest bars only, the first bar tells nothing of listing. */
function withinReach({ source: { spec } }: SeriesJob, first: EdgeFact | undefined): EdgeFact | undefined {
  if (!first || !spec.reach) return first
  const { bars, beyond } = spec.reach
  const evidence = `${spec.id} gives its latest ${bars} bars only; ${first.evidence}`
  return { ...first, before: beyond, evidence }
}

/**
 * For endpoints that cannot be asked for their first bar: the first of an unbroken run of answers. What lies before it was
 * asked for, and is not there.
 */
async function observedFirst(
  house: Pick<House, 'ledger'>,
  job: SeriesJob,
  range: TimeRange,
): Promise<EdgeFact | undefined> {
  if (job.source.firstBar || job.source.searchFirstBar) return undefined
  let askedFrom: EpochMs | undefined
  let endMs = range.startMs
  for await (const record of house.ledger.slices(job.ref, range)) {
    if (record.range.startMs > endMs || record.venueTimeMs === null || record.status === 'quarantined') break
    askedFrom ??= record.range.startMs
    endMs = record.range.endMs
    if (record.firstMs === null) continue
    const evidence = `no earlier bar in any answer from ${iso(askedFrom)} on`
    return { openTimeMs: record.firstMs, evidence }
  }
  return undefined
}
