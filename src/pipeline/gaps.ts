import { type CoverageFacts, classifyGaps, type GapRun, type SliceNote } from '../coverage/classify.ts'
import type { EpochMs, TimeRange } from '../model/time.ts'
import { describeEdge, knownEdge } from './edges.ts'
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
  const first = await knownEdge(house, job, 'first-bar')
  const last = await knownEdge(house, job, 'last-bar')
  const notes: SliceNote[] = []
  for await (const record of house.ledger.notable(job.ref, range)) notes.push(record)
  const facts: CoverageFacts = {
    grid: gridOf(job, first?.openTimeMs ?? undefined),
    range,
    answered: await house.ledger.covered(job.ref, range),
    notes,
    settleMs: job.source.spec.settleMs,
    quietBars: job.source.spec.quietBars,
    ...(first &&
      first.openTimeMs !== null && { first: edgeFact(first.openTimeMs, describeEdge('first-bar', first)) }),
    ...(last &&
      last.openTimeMs !== null && { last: edgeFact(last.openTimeMs, describeEdge('last-bar', last)) }),
    ...(dueEndMs !== undefined && { dueEndMs }),
  }
  return withOutages(house, job, classifyGaps(facts))
}

const edgeFact = (openTimeMs: EpochMs, evidence: string) => ({ openTimeMs, evidence })
