import { runChunks } from '../chunking/run-chunks.ts'
import type { SliceRecord } from '../ledger/ledger.ts'
import { EverybarError, isEverybarError, messageOf } from '../model/errors.ts'
import type { Finding, FindingKind } from '../model/finding.ts'
import type { Slice } from '../model/slice.ts'
import { type EpochMs, iso } from '../model/time.ts'
import { shiftBars } from '../model/timeframe.ts'
import { noteAsking } from './asked-again.ts'
import type { House, SeriesJob } from './house.ts'
import { dueEnd, type SeriesTodo } from './plan-series.ts'
import { acquire } from './run-slice.ts'
import { type Settled, Settler } from './settle.ts'
import { SilenceJudge } from './silence.ts'
import type { Acquired } from './slice-answers.ts'
import type { VenueClock } from './venue-clock.ts'

export interface FetchContext {
  readonly clock: VenueClock
  readonly anchorMs: EpochMs | undefined
  /** Once aborted no further request is planned; those under way are finished. */
  readonly stop: AbortSignal
  /** Once aborted those under way are given up too. */
  readonly hardStop: AbortSignal
  /** Once aborted no further one is planned either, but for the first few: whoever gives way gets somewhere first. */
  readonly asked?: AbortSignal
}

export interface Fetched extends Settled {
  readonly fetched: number
  readonly failed: number
  /** Of the fetched ones. */
  readonly partial: number
  readonly quarantined: number
  /** Bars or rows each kind of finding speaks of. */
  readonly findings: FindingCounts
  /** One for each kind of failure. */
  readonly failures: readonly EverybarError[]
}

export type FindingCounts = { readonly [kind in FindingKind]?: number }

/** So many slices in a row may fail before the rest is left for the next run. */
const FAILURES_MAX = 4
/** Answered chunks that may wait for a slow one before them, for each request under way. */
const AHEAD = 4

/** What history is full of, and `gaps` tells: worth a line in the log, not a word to a person. */
const usual: ReadonlySet<FindingKind> = new Set(['missing', 'short-bar', 'not-closed', 'revised'])

/** Asks for every slice that is missing, several at once, and settles the answers in order while more are on their way. */
export async function fetchMissing(
  house: House,
  job: SeriesJob,
  todo: SeriesTodo,
  context: FetchContext,
): Promise<Fetched> {
  await noteAsking(house, job, todo.again)
  const settler = new Settler(house, job)
  const tally = new Tally(house, job, todo)
  const givesWay = (taken: number) => context.asked?.aborted === true && taken >= house.concurrency
  const slices = untilStopped(
    todo.slices(),
    (taken) => context.stop.aborted || tally.gaveUp || givesWay(taken),
  )
  const silence = new SilenceJudge(house, job)
  const run = runChunks(slices, (slice) => ask(house, job, slice, { ...context, silence }), {
    concurrency: house.concurrency,
    ahead: house.concurrency * AHEAD,
    onError: 'continue',
  })
  for await (const { plan, result, error } of run) {
    if (result) {
      tally.took(result)
      await settler.add(result)
    } else if (!context.hardStop.aborted) {
      const failure = asError(error)
      tally.lost(plan, failure)
      const known = await house.ledger.get(job.ref, plan.id)
      // An older answer is worth more than the news of a failure.
      if (known?.sha256 == null) await settler.note(failedRecord(plan, failure, house.clock.nowMs()))
    }
  }
  const settled = await settler.finish()
  await noteAsking(house, job, [])
  return { ...tally.sums(), ...settled }
}

async function ask(
  house: House,
  job: SeriesJob,
  slice: Slice,
  context: FetchContext & { readonly silence: SilenceJudge },
): Promise<Acquired> {
  const { clock, anchorMs, silence, hardStop: signal } = context
  const before = await house.ledger.get(job.ref, slice.id)
  const venueTimeMs = clock.nowMs()
  const dueMs = dueEnd(job, { range: slice.range, firstMs: anchorMs, venueNowMs: venueTimeMs })
  const startMs = startOf(job, slice, before, venueTimeMs)
  const window = { startMs, endMs: Math.max(dueMs, startMs + 1) }
  const answeredBefore = before?.sha256 != null
  const anchor = anchorMs === undefined ? {} : { anchorMs }
  return acquire(house, job, slice, { window, venueTimeMs, answeredBefore, silence, signal, ...anchor })
}

/** Where a request for a slice begins: the bar after the last known one of an open slice, where the endpoint wants that. */
function startOf(
  { source, series }: SeriesJob,
  { range }: Slice,
  before: SliceRecord | undefined,
  venueTimeMs: EpochMs,
): EpochMs {
  const closed = venueTimeMs >= range.endMs + source.spec.settleMs
  const known = source.spec.openSlices === 'tail' && !closed && before?.status === 'partial'
  return known && before.lastMs !== null ? shiftBars(series.timeframe, before.lastMs, 1) : range.startMs
}

function* untilStopped<T>(items: Iterable<T>, stopped: (taken: number) => boolean): Generator<T> {
  let taken = 0
  for (const item of items) {
    if (stopped(taken++)) return
    yield item
  }
}

/** Counts, says how far things are, and gives up when nothing works any more. */
class Tally {
  readonly #house: House
  readonly #job: SeriesJob
  readonly #total: number
  readonly #counts = { fetched: 0, failed: 0, partial: 0, quarantined: 0 }
  readonly #findings: { [kind in FindingKind]?: number } = {}
  readonly #failures: EverybarError[] = []
  #failedInARow = 0
  #bars = 0
  #fatal = false

  constructor(house: House, job: SeriesJob, todo: SeriesTodo) {
    this.#house = house
    this.#job = job
    this.#total = todo.count
  }

  /** The venue refuses what is asked, or has stopped answering: further requests would only do harm. */
  get gaveUp(): boolean {
    return this.#fatal || this.#failedInARow >= FAILURES_MAX
  }

  took({ record, bars }: Acquired): void {
    this.#failedInARow = 0
    this.#bars += bars.length
    this.#counts.fetched++
    if (record.status === 'partial' || record.status === 'quarantined') this.#counts[record.status]++
    for (const { kind, count = 1 } of record.findings)
      this.#findings[kind] = (this.#findings[kind] ?? 0) + count
    this.#house.onEvent({
      event: 'history_page_done',
      series: this.#job.id,
      slice: record.key,
      status: record.status,
      rows: bars.length,
      cursor_ms: record.range.endMs,
    })
    if (record.findings.length > 0) {
      const { key, status, findings } = record
      const level = findings.every(({ kind }) => usual.has(kind)) ? 'info' : 'warn'
      const fields = {
        series: this.#job.id,
        slice: key,
        status,
        findings: findings.slice(0, 10).map(describe),
      }
      this.#house.onEvent({ event: 'slice_findings', level, ...fields })
    }
    this.#progress()
  }

  lost(slice: Slice, failure: EverybarError): void {
    this.#counts.failed++
    this.#failedInARow++
    this.#fatal ||= failure.recovery === 'abort'
    const { code, message } = failure
    const known = this.#failures.some((earlier) => earlier.code === code)
    if (!known) this.#failures.push(failure)
    this.#house.onEvent({
      event: 'slice_failed',
      // The first of a kind is told; its like fill the log only.
      level: known ? 'info' : 'error',
      series: this.#job.id,
      slice: slice.key,
      code,
      message,
    })
    this.#progress()
  }

  sums() {
    return { ...this.#counts, findings: this.#findings, failures: this.#failures }
  }

  #progress(): void {
    const bucket = this.#house.fetcher.usage().find((usage) => usage.bucket === this.#job.source.spec.bucket)
    this.#house.onEvent({
      event: 'progress',
      level: 'debug',
      phase: 'fetch',
      series: this.#job.id,
      done: this.#counts.fetched + this.#counts.failed,
      total: this.#total,
      bars: this.#bars,
      weightUsed: bucket?.used ?? 0,
      weightCapacity: bucket?.capacity ?? 0,
    })
  }
}

function describe({ kind, openTimeMs, count, detail }: Finding): string {
  const bars = count === undefined ? '' : ` of ${count}`
  const where = openTimeMs === undefined ? '' : ` from ${iso(openTimeMs)}`
  return `${kind}${bars}${where}: ${detail}`
}

const failedRecord = (slice: Slice, { code, message }: EverybarError, nowMs: EpochMs): SliceRecord => ({
  sliceId: slice.id,
  key: slice.key,
  range: slice.range,
  limit: slice.limit,
  status: 'failed',
  httpStatus: null,
  items: 0,
  firstMs: null,
  lastMs: null,
  requestedAtMs: null,
  completedAtMs: nowMs,
  error: `${code}: ${message}`,
  sha256: null,
  venueTimeMs: null,
  findings: [],
})

/** Anything thrown, as an error with a code; what we did not foresee ends the series, with its cause kept. */
export function asError(error: unknown): EverybarError {
  if (isEverybarError(error)) return error
  return new EverybarError('app.unexpected', messageOf(error), {
    recovery: 'abort',
    hint: 'This is a fault in everybar. Run again with -vv and report what it prints.',
    cause: error,
  })
}
