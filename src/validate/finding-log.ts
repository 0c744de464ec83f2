import type { Finding, FindingKind } from '../model/finding.ts'
import type { EpochMs } from '../model/time.ts'

/** Findings of one kind that are told one by one; the rest are counted. */
const TOLD_PER_KIND = 20

/** Worst first: what loses a bar, then what changes one, then what is only worth knowing. */
const byWeight: readonly FindingKind[] = [
  'unreadable',
  'bad-number',
  'bad-ohlc',
  'negative',
  'conflicting-duplicate',
  'revised',
  'missing',
  'out-of-range',
  'off-grid',
  'out-of-order',
  'duplicate',
  'not-closed',
  'short-bar',
  'empty-answer',
]

/** Collects findings, a bounded number of each kind, and gives them worst first. The counts of a kind sum to its total. */
export class FindingLog {
  private readonly told = new Map<FindingKind, Finding[]>()
  private readonly untold = new Map<FindingKind, number>()

  /** `detail` is made only for findings that are told. */
  add(kind: FindingKind, openTimeMs: EpochMs | undefined, detail: () => string, count = 1): void {
    const list = this.told.get(kind)
    if (list && list.length >= TOLD_PER_KIND) {
      this.untold.set(kind, (this.untold.get(kind) ?? 0) + count)
      return
    }
    const time = openTimeMs === undefined ? {} : { openTimeMs }
    const finding = { kind, ...time, ...(count === 1 ? {} : { count }), detail: detail() }
    if (list) list.push(finding)
    else this.told.set(kind, [finding])
  }

  findings(): readonly Finding[] {
    const out: Finding[] = []
    for (const kind of byWeight) {
      out.push(...(this.told.get(kind) ?? []))
      const count = this.untold.get(kind)
      if (count !== undefined) out.push({ kind, count, detail: `and ${count} more` })
    }
    return out
  }
}
