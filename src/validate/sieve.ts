import type { BarBatch } from '../model/bar.ts'
import type { Finding } from '../model/finding.ts'
import type { Series } from '../model/series.ts'
import { type EpochMs, iso, type TimeRange } from '../model/time.ts'
import { anchorOf, fixedWidthMs, floorToBar, nextOpen, type Timeframe } from '../model/timeframe.ts'
import type { FindingLog } from './finding-log.ts'
import { type RowFault, rowRules } from './row-rules.ts'

export interface SieveOptions {
  readonly series: Series
  readonly range: TimeRange
  readonly asOfMs: EpochMs
  readonly settleMs: number
  readonly anchorMs?: EpochMs
}

/** Takes the rows of one page one by one and keeps, holds, drops or rejects each. */
export class Sieve {
  /** Rows of bars that were not final, and the first such bar. */
  held = 0
  firstHeldMs: EpochMs | undefined
  /** Open times of rejected rows inside the range. */
  readonly rejectedMs: EpochMs[] = []
  /** Whether a row without a readable time was met. */
  untimed = false
  /** A point of the grid: given, documented, or the first good row. */
  anchorMs: EpochMs | undefined

  private readonly positions: Uint32Array
  private count = 0
  private readonly times: Float64Array
  private readonly closes: Float64Array | undefined
  private readonly range: TimeRange
  private readonly timeframe: Timeframe
  private readonly width: number | undefined
  /** A bar that closes later than this was not final. */
  private readonly finalMs: EpochMs
  private readonly faultAt: (i: number) => RowFault | undefined
  private readonly log: FindingLog

  constructor(rows: BarBatch, options: SieveOptions, log: FindingLog) {
    this.positions = new Uint32Array(rows.length)
    this.times = rows.openTimeMs
    this.closes = rows.native.closeTimeMs
    this.range = options.range
    this.timeframe = options.series.timeframe
    this.width = fixedWidthMs(this.timeframe)
    this.anchorMs = options.anchorMs ?? anchorOf(this.timeframe)
    this.finalMs = options.asOfMs - options.settleMs
    this.faultAt = rowRules(rows)
    this.log = log
  }

  /** Positions of the good rows, in answer order. */
  kept(): Uint32Array {
    return this.positions.subarray(0, this.count)
  }

  take(i: number): void {
    const ms = this.times[i]!
    if (!(ms >= this.range.startMs && ms < this.range.endMs)) {
      this.dropOutside(ms)
      return
    }
    const closesMs = this.closeOf(ms)
    if (closesMs > this.finalMs) {
      this.hold(ms)
      return
    }
    // The remainder of a double costs twenty times as much.
    if (Math.floor(ms) !== ms) {
      this.reject('bad-number', Math.floor(ms), `open time is ${ms}`)
      return
    }
    const fault = this.faultAt(i)
    if (fault) {
      this.reject(fault.kind, ms, fault.detail)
      return
    }
    this.positions[this.count++] = i
    this.remark(ms, closesMs, this.closes?.[i] ?? Number.NaN)
  }

  /** A row the source could not read; its finding says what it could. */
  takeUnread({ kind, openTimeMs: ms, detail }: Finding): void {
    if (ms === undefined || !Number.isFinite(ms)) {
      this.log.add(kind, undefined, () => detail)
      this.untimed = true
    } else if (!(ms >= this.range.startMs && ms < this.range.endMs)) {
      this.dropOutside(ms)
    } else if (this.closeOf(ms) > this.finalMs) {
      this.hold(ms)
    } else {
      this.reject(kind, Math.floor(ms), detail)
    }
  }

  private closeOf(ms: EpochMs): EpochMs {
    return this.width === undefined ? nextOpen(this.timeframe, ms) : ms + this.width
  }

  private dropOutside(ms: number): void {
    if (Number.isFinite(ms)) {
      this.log.add('out-of-range', ms, () => `opens at ${timeText(ms)}`)
    } else {
      this.log.add('bad-number', undefined, () => `open time is ${ms}`)
      this.untimed = true
    }
  }

  private hold(ms: EpochMs): void {
    this.held++
    if (this.firstHeldMs === undefined || ms < this.firstHeldMs) this.firstHeldMs = ms
  }

  private reject(kind: Finding['kind'], ms: EpochMs, detail: string): void {
    this.log.add(kind, ms, () => detail)
    this.rejectedMs.push(ms)
  }

  /** What is odd about a good row, without keeping it from being stored. */
  private remark(ms: EpochMs, closesMs: EpochMs, saidToCloseMs: number): void {
    this.anchorMs ??= ms
    const { width, timeframe } = this
    const widths = width === undefined ? 0 : (ms - this.anchorMs) / width
    const onGrid = width === undefined ? floorToBar(timeframe, ms) === ms : Math.floor(widths) === widths
    if (!onGrid) {
      this.log.add('off-grid', ms, () => `opens at ${timeText(ms)}, between two ${timeframe} bars`)
    }
    if (saidToCloseMs !== closesMs - 1 && !Number.isNaN(saidToCloseMs)) {
      this.log.add(
        'short-bar',
        ms,
        () => `closes at ${timeText(saidToCloseMs)}, not ${timeText(closesMs - 1)}`,
      )
    }
  }
}

/** A time for a person; also for numbers that are no time at all. */
const timeText = (ms: number): string => (Math.abs(ms) <= 8.64e15 ? iso(ms) : String(ms))
