import type { Finding } from '../model/finding.ts'
import { DAY_MS, type EpochMs, HOUR_MS } from '../model/time.ts'

/** How long after it was first seen an absent bar is asked for again, before its absence counts as settled. */
export const REASK_AFTER_MS: readonly number[] = [HOUR_MS, DAY_MS, 7 * DAY_MS, 30 * DAY_MS]

/**
 * Whether an absence should be asked about again: a step of the schedule has passed since the first time, and nobody
 * has asked since that step. A missed step is not made up for: the latest one that has passed is what counts.
 *
 * @param askedAtMs the venue's clock each time, ascending; empty means nothing is known, and it is due.
 */
export function reaskDue(askedAtMs: readonly EpochMs[], nowMs: EpochMs): boolean {
  const first = askedAtMs[0]
  if (first === undefined) return true
  const passed = REASK_AFTER_MS.filter((afterMs) => nowMs >= first + afterMs).at(-1)
  return passed !== undefined && askedAtMs.at(-1)! < first + passed
}

/** Whether an absence was asked about after the last step of the schedule: it is the venue's last word. */
export function absenceSettled(askedAtMs: readonly EpochMs[]): boolean {
  const first = askedAtMs[0]
  return first !== undefined && askedAtMs.at(-1)! >= first + REASK_AFTER_MS.at(-1)!
}

/** The times an answer's absent bars were asked for; `undefined` when nothing is missing. */
export const askedTimes = (findings: readonly Finding[]): readonly EpochMs[] | undefined => {
  const missing = findings.find(({ kind }) => kind === 'missing')
  return missing && (missing.askedAtMs ?? [])
}
