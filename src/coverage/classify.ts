import type { Finding, FindingKind } from '../model/finding.ts'
import { intersect, type RangeSet, subtract, toRangeSet } from '../model/range-set.ts'
import { type EpochMs, iso, type TimeRange } from '../model/time.ts'
import { ceilToBar, nextOpen, shiftBars, type Timeframe } from '../model/timeframe.ts'
import { closedSlots, type SessionCalendar } from './calendar.ts'
import { type BarGrid, expectedBars, finalEnd } from './expected.ts'
import type { GapClass } from './gap-class.ts'
import { absenceSettled, askedTimes } from './reask.ts'

/** A run of missing bars of one class. */
export interface GapRun {
  readonly class: GapClass
  /** From the first missing open time to the one after the last. */
  readonly range: TimeRange
  readonly bars: number
  /** What shows it, in a few words. */
  readonly evidence: string
}

/** What the ledger says of a slice that has more to say than "answered, nothing missing". */
export interface SliceNote {
  readonly range: TimeRange
  readonly status: 'pending' | 'ok' | 'partial' | 'empty' | 'failed' | 'quarantined'
  readonly findings: readonly Finding[]
  readonly error: string | null
  /** The venue's clock when it answered. */
  readonly venueTimeMs: EpochMs | null
  readonly completedAtMs: EpochMs | null
}

export interface CoverageFacts {
  readonly grid: BarGrid
  /** What is asked about. */
  readonly range: TimeRange
  /** Where slices were answered after their window had closed. */
  readonly answered: RangeSet
  /** The slices that are not, and the answered ones with something missing; ascending. */
  readonly notes: readonly SliceNote[]
  /** First bar the venue has, and how that is known. */
  readonly first?: {
    readonly openTimeMs: EpochMs
    readonly evidence: string
    /** What bars before it are; `before_listing` unless the venue had some once and gives them no more. */
    readonly before?: 'before_listing' | 'never_fetched' | 'source_absent'
  }
  /** Last bar the venue has of an instrument that stopped trading, when it said so, and how that is known. */
  readonly last?: { readonly openTimeMs: EpochMs; readonly toldAtMs: EpochMs; readonly evidence: string }
  /** End of the last bar that can be final by now: later bars are not due yet. No bound when absent. */
  readonly dueEndMs?: EpochMs
  readonly settleMs: number
  /** Bars without a trade: sent as rows, or left out. */
  readonly quietBars: 'emitted' | 'omitted'
}

interface Claim {
  readonly class: GapClass
  readonly ranges: RangeSet
  readonly evidence: string
}

/**
 * Every expected bar of `range` that is not stored, in runs of one class, ascending. A bar belongs to the first that
 * claims it: listing, delisting, then what its slice says, and last `never_fetched`. The end of trading speaks of the time
 * up to the moment it was told, and of no answer that could not be read. Where a market's calendar says that
 * it was closed, that is the reason; such bars are no expected ones, and are told apart only for the record. Linear in
 * the notes.
 */
export function classifyGaps(facts: CoverageFacts): GapRun[] {
  const { range, first, last, notes, answered } = facts
  let open: RangeSet = [range]
  const runs: GapRun[] = []
  const take = (claim: Claim, within: RangeSet) => {
    for (const [own, parts] of bySession(claim, intersect(within, claim.ranges), facts)) {
      for (const part of parts) {
        const run = runOf(own, part, facts.grid)
        if (run) runs.push(run)
      }
    }
  }
  if (first) {
    const ranges = toRangeSet([{ startMs: range.startMs, endMs: first.openTimeMs }])
    take({ class: first.before ?? 'before_listing', ranges, evidence: first.evidence }, open)
    open = subtract(open, ranges)
  }
  if (last) {
    const startMs = nextOpen(facts.grid.timeframe, last.openTimeMs)
    const told = toRangeSet([{ startMs, endMs: Math.min(range.endMs, last.toldAtMs) }])
    const unread = notes.filter(({ status }) => status === 'quarantined')
    const ranges = subtract(told, toRangeSet(unread.map((note) => note.range)))
    take({ class: 'after_delisting', ranges, evidence: last.evidence }, open)
    open = subtract(open, ranges)
  }
  for (const note of notes) {
    let here = intersect([note.range], open)
    for (const claim of claimsOf(note, facts)) {
      take(claim, here)
      here = subtract(here, claim.ranges)
    }
  }
  const known = toRangeSet([...answered, ...notes.map((note) => note.range)])
  const unknown = subtract([range], known)
  const due = toRangeSet([{ startMs: 0, endMs: facts.dueEndMs ?? range.endMs }])
  take({ class: 'never_fetched', ranges: intersect(unknown, due), evidence: 'never asked for' }, open)
  const later = { class: 'not_yet_final', evidence: "not closed by the venue's clock" } as const
  take({ ...later, ranges: subtract(unknown, due) }, open)
  return joinNeighbours(runs.sort((a, b) => a.range.startMs - b.range.startMs))
}

/** What a calendar can explain: no answer was needed, or an answer held nothing. */
const closable: ReadonlySet<GapClass> = new Set([
  ...(['no_trade', 'source_absent', 'never_fetched', 'fetch_failed', 'not_yet_final'] as const),
])

/** Splits a claim by the market's calendar: the slots in which it was closed need no other reason. */
function bySession(claim: Claim, parts: RangeSet, { grid, range }: CoverageFacts): [Claim, RangeSet][] {
  const { calendar } = grid
  if (!calendar || parts.length === 0 || !closable.has(claim.class)) return [[claim, parts]]
  const closed = intersect(parts, closedSlots(calendar, grid, range))
  return [
    [claim, subtract(parts, closed)],
    [{ class: 'closed_session', ranges: closed, evidence: closedEvidence(calendar) }, closed],
  ]
}

const closedEvidence = ({ name }: SessionCalendar): string => `the market was closed: ${name}`

/** Bars here are slots of the grid, those of closed sessions too: a claim counts what it claims. */
function runOf(claim: Claim, part: TimeRange, { calendar: _, ...grid }: BarGrid): GapRun | undefined {
  const bars = expectedBars(grid, part)
  if (bars === 0) return undefined
  const startMs = ceilToBar(grid.timeframe, part.startMs, grid.anchorMs)
  const endMs = ceilToBar(grid.timeframe, part.endMs, grid.anchorMs)
  return { class: claim.class, range: { startMs, endMs }, bars, evidence: claim.evidence }
}

function* claimsOf(note: SliceNote, facts: CoverageFacts): Generator<Claim> {
  const { grid, settleMs, quietBars } = facts
  const when = note.completedAtMs === null ? '' : `, asked ${iso(note.completedAtMs)}`
  if (note.status === 'pending') {
    yield { class: 'never_fetched', ranges: [note.range], evidence: 'the request was never answered' }
    return
  }
  if (note.status === 'failed') {
    yield { class: 'fetch_failed', ranges: [note.range], evidence: `${note.error ?? 'failed'}${when}` }
    return
  }
  if (note.status === 'quarantined') {
    const slots = toRangeSet(runsNamed('unreadable', note.findings, grid.timeframe))
    const ranges = slots.length > 0 ? slots : [note.range]
    yield { class: 'quarantined', ranges, evidence: `${note.error ?? 'rows could not be used'}${when}` }
  }
  // Before what the answer does not hold: that a day is not there says nothing while its evening session is to come.
  if (note.venueTimeMs !== null) {
    const startMs = Math.max(finalEnd(grid, note.venueTimeMs, settleMs), note.range.startMs)
    const ranges = toRangeSet([{ startMs, endMs: note.range.endMs }])
    yield { class: 'not_yet_final', ranges, evidence: `not closed at the last answer${when}` }
  }
  const absent = toRangeSet(runsNamed('missing', note.findings, grid.timeframe))
  const asked = askedTimes(note.findings) ?? []
  const evidence = `the venue's answer does not hold it${askedText(asked)}`
  yield { class: quietBars === 'omitted' ? 'no_trade' : 'source_absent', ranges: absent, evidence }
}

function askedText(asked: readonly EpochMs[]): string {
  if (asked.length === 0) return ''
  const last = iso(asked.at(-1)!)
  const times = asked.length === 1 ? `asked once, ${last}` : `asked ${asked.length} times, last ${last}`
  return `, ${times}${absenceSettled(asked) ? ', settled' : ''}`
}

/** The runs of bars that findings of one kind name. */
export function* runsNamed(
  kind: FindingKind,
  findings: readonly Finding[],
  timeframe: Timeframe,
): Generator<TimeRange> {
  for (const finding of findings) {
    if (finding.kind !== kind || finding.openTimeMs === undefined) continue
    yield { startMs: finding.openTimeMs, endMs: shiftBars(timeframe, finding.openTimeMs, finding.count ?? 1) }
  }
}

/** Runs of one class that touch become one, with the evidence of the first. */
function joinNeighbours(runs: readonly GapRun[]): GapRun[] {
  const out: GapRun[] = []
  for (const run of runs) {
    const last = out.at(-1)
    if (last?.class === run.class && last.range.endMs === run.range.startMs) {
      const range = { startMs: last.range.startMs, endMs: run.range.endMs }
      out[out.length - 1] = { ...last, range, bars: last.bars + run.bars }
    } else out.push(run)
  }
  return out
}
