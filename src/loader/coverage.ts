import { iso, type TimeRange } from '../model/time.ts'
import { DataQualityError } from './errors.ts'

/** A run of bars that are not stored, and why: one of everybar's gap classes. */
export interface MissingRun {
  readonly class: string
  readonly range: TimeRange
  readonly bars: number
}

/** Who knows why bars are missing: the ledger, by way of the application. Runs of a range, ascending. */
export type Coverage<Of> = (
  of: Of,
  range: TimeRange,
) => Promise<readonly MissingRun[]> | readonly MissingRun[]

/** The class of a missing bar when nobody can say why it is. */
export const UNKNOWN_CLASS = 'unknown'

/** Classes of bars that may yet turn up. A range without any of them is complete, however many bars it lacks. */
const unsettled: ReadonlySet<string> = new Set([
  'not_yet_final',
  'never_fetched',
  'fetch_failed',
  'quarantined',
  UNKNOWN_CLASS,
])

export const isSettled = (run: MissingRun): boolean => !unsettled.has(run.class)

/** Missing bars by class. */
export function byClass(runs: readonly MissingRun[]): Record<string, number> {
  const sums: Record<string, number> = {}
  for (const run of runs) sums[run.class] = (sums[run.class] ?? 0) + run.bars
  return Object.fromEntries(Object.entries(sums).sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** @throws DataQualityError `loader.incomplete` naming how many bars of which classes are missing, and the first run. */
export function requireComplete(what: string, runs: readonly MissingRun[]): void {
  const open = runs.filter((run) => !isSettled(run))
  if (open.length === 0) return
  const counts = Object.entries(byClass(open)).map(([name, bars]) => `${bars} ${name}`)
  const first = open[0]!.range
  throw new DataQualityError(
    'loader.incomplete',
    `${what} is not complete: ${counts.join(', ')}; first from ${iso(first.startMs)} to ${iso(first.endMs)}`,
    {
      hint: 'Fetch what is missing (`everybar sync`, `everybar gaps`), or ask for what there is with require: "any" (--allow-incomplete).',
    },
  )
}
