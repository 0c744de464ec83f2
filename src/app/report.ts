import type { GapRun } from '../coverage/classify.ts'
import { expectedBars } from '../coverage/expected.ts'
import { type GapClass, openClasses } from '../coverage/gap-class.ts'
import type { EverybarError } from '../model/errors.ts'
import { seriesId } from '../model/series.ts'
import type { TimeRange } from '../model/time.ts'
import { gridOf, type SeriesJob } from '../pipeline/house.ts'
import type { SeriesOutcome } from '../pipeline/sync.ts'
import type { Gap, Problem, SeriesReport } from './api.ts'

/** Missing bars by class, classes without any left out. */
export function missingByClass(gaps: readonly GapRun[]): { readonly [name in GapClass]?: number } {
  const missing: { [name in GapClass]?: number } = {}
  for (const gap of gaps) missing[gap.class] = (missing[gap.class] ?? 0) + gap.bars
  return missing
}

export const gapReport = (id: string, gap: GapRun): Gap => ({ series: id, ...gap })

export const problemOf = ({ code, message, hint, path, recovery }: EverybarError): Problem => ({
  code,
  message,
  hint,
  recovery,
  ...(path !== undefined && { path }),
})

export function seriesReport(outcome: SeriesOutcome): SeriesReport {
  return {
    series: seriesId(outcome.series),
    range: outcome.range ?? null,
    slices: outcome.slices,
    bars: outcome.bars,
    missing: missingByClass(outcome.gaps),
    findings: outcome.findings,
    complete: outcome.complete,
    problems: outcome.errors.map(problemOf),
  }
}

/** Share of the expected bars that are stored or whose absence is settled, 0 to 1. */
export function coverageOf(
  job: SeriesJob,
  range: TimeRange,
  gaps: readonly GapRun[],
  anchorMs?: number,
): number {
  const expected = expectedBars(gridOf(job, anchorMs), range)
  const open = gaps.filter((gap) => openClasses.has(gap.class)).reduce((sum, gap) => sum + gap.bars, 0)
  return expected === 0 ? 1 : 1 - open / expected
}
