import type { FindingKind } from '../model/finding.ts'
import { type Series, seriesId } from '../model/series.ts'
import type { FindingCounts } from './fetch-missing.ts'
import type { House } from './house.ts'
import type { SeriesOutcome, Signals } from './sync.ts'

/**
 * Does the work of a series in as many turns as it takes, where others wait for the series too: what is long gives way
 * to who asks, and goes on behind them; it asks nobody to give way itself. Where nobody shares the house it is one piece.
 *
 * @param work does what is left; it ends early when `asked` aborts.
 */
export async function inTurns(
  { turns }: Pick<House, 'turns'>,
  series: Series,
  signals: Signals,
  work: (signals: Signals) => Promise<SeriesOutcome>,
): Promise<SeriesOutcome> {
  if (!turns) return work(signals)
  let all: SeriesOutcome | undefined
  for (;;) {
    let gaveWay = false
    const turn = async (asked: AbortSignal) => {
      const part = await work({ ...signals, asked })
      gaveWay = asked.aborted
      return part
    }
    const outcome = await turns.run(seriesId(series), turn, 'patient')
    all = all ? joined(all, outcome) : outcome
    const over = outcome.complete || outcome.errors.length > 0 || signals.stop.aborted
    if (over || !gaveWay) return all
  }
}

/** What two turns did, and how things stand after the later one. */
function joined(before: SeriesOutcome, after: SeriesOutcome): SeriesOutcome {
  const { slices, bars } = after
  const done = before.slices
  return {
    ...after,
    slices: {
      planned: done.fetched + done.failed + slices.planned,
      fetched: done.fetched + slices.fetched,
      replayed: done.replayed + slices.replayed,
      failed: done.failed + slices.failed,
      quarantined: done.quarantined + slices.quarantined,
      partial: done.partial + slices.partial,
    },
    bars: {
      inserted: before.bars.inserted + bars.inserted,
      revised: before.bars.revised + bars.revised,
      unchanged: before.bars.unchanged + bars.unchanged,
    },
    findings: summed(before.findings, after.findings),
  }
}

function summed(before: FindingCounts, after: FindingCounts): FindingCounts {
  const all: { [kind in FindingKind]?: number } = { ...before }
  for (const [kind, count] of Object.entries(after) as [FindingKind, number][])
    all[kind] = (all[kind] ?? 0) + count
  return all
}
