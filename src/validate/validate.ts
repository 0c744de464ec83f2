import { type BarBatch, lowerBound } from '../model/bar.ts'
import type { Finding } from '../model/finding.ts'
import { intersect, type RangeSet, toRangeSet } from '../model/range-set.ts'
import type { Series } from '../model/series.ts'
import type { EpochMs, TimeRange } from '../model/time.ts'
import { floorToBar, nextOpen } from '../model/timeframe.ts'
import { FindingLog } from './finding-log.ts'
import { inOrder } from './order.ts'
import { Sieve } from './sieve.ts'

/** A page as a source decodes it: rows in answer order, and one finding for each row that could not be read. */
export interface Page {
  readonly rows: BarBatch
  readonly badRows: readonly Finding[]
}

/** What a page was asked for, and when it was answered. */
export interface Judgement {
  readonly series: Series
  /** The slice: bars that open outside it are dropped. */
  readonly range: TimeRange
  /** The venue's clock when it answered. Bars that were not final by then are held out. */
  readonly asOfMs: EpochMs
  /** How long after its close a bar may still change. */
  readonly settleMs: number
  /** Any known open time, for timeframes without a documented grid (`3d`). Without it the first row shows the grid. */
  readonly anchorMs?: EpochMs
  /** The order the endpoint answers in; `ascending` unless said. Another order is a finding. */
  readonly order?: 'ascending' | 'descending'
}

export interface Validated {
  /** Final bars inside the range, ascending, one a time. Shares memory with the page where nothing was wrong. */
  readonly accepted: BarBatch
  /** Worst first. A bounded number of each kind is told; the last one of a larger kind counts the rest. */
  readonly findings: readonly Finding[]
  /** Slots inside the range whose rows were all rejected: they keep the range from being complete. */
  readonly quarantined: RangeSet
  /** Rows held out because their bars were not final. */
  readonly held: number
  /**
   * A row could not even be read as far as its time: any slot of this page without a bar may be the one it stood for,
   * so the page must not be taken as proof that a bar does not exist.
   */
  readonly untrusted: boolean
}

/**
 * Judges a page: which rows are stored, and what a person should know about the others. Pure, never throws. One pass
 * over the columns when the page is clean and in order.
 *
 * Each row is, in this order: dropped when it opens outside the range; held when its bar was not final; rejected when
 * it is nonsense (its slot is quarantined); else kept. Off-grid and short bars are kept as they came. Of several good
 * rows of one open time the last one sent is kept; a good row also settles a slot that a rejected row claimed.
 */
export function validate(page: Page, judgement: Judgement): Validated {
  const log = new FindingLog()
  const sieve = new Sieve(page.rows, judgement, log)
  for (let i = 0; i < page.rows.length; i++) sieve.take(i)
  for (const bad of page.badRows) sieve.takeUnread(bad)
  const accepted = inOrder(page.rows, sieve.kept(), judgement.order ?? 'ascending', log)
  if (sieve.held > 0) log.add('not-closed', sieve.firstHeldMs, () => 'not final yet', sieve.held)
  return {
    accepted,
    findings: log.findings(),
    quarantined: slotsWithoutBar(sieve.rejectedMs, accepted, sieve.anchorMs, judgement),
    held: sieve.held,
    untrusted: sieve.untimed,
  }
}

/** The slots of rejected rows, inside the range, but those whose very open time has a good row too. */
function slotsWithoutBar(
  rejectedMs: readonly EpochMs[],
  accepted: BarBatch,
  anchorMs: EpochMs | undefined,
  { series: { timeframe }, range }: Judgement,
): RangeSet {
  const slots: TimeRange[] = []
  for (const ms of rejectedMs) {
    if (accepted.openTimeMs[lowerBound(accepted.openTimeMs, ms)] === ms) continue
    const startMs = floorToBar(timeframe, ms, anchorMs ?? ms)
    slots.push({ startMs, endMs: nextOpen(timeframe, startMs) })
  }
  return intersect(toRangeSet(slots), [range])
}
