import { EverybarError, isEverybarError } from '../model/errors.ts'
import { exitCodeOf, exitCodes } from '../model/exit-code.ts'
import { type Series, seriesId } from '../model/series.ts'
import type { EpochMs } from '../model/time.ts'
import { asError } from './fetch-missing.ts'
import type { LiveSeriesState } from './live-state.ts'
import type { Tail } from './live-tail.ts'
import type { Wish } from './range.ts'
import type { VenueClock } from './venue-clock.ts'

/** The wait after a failure doubles from the first to the second. */
const WAIT_MIN_MS = 1_000
const WAIT_MAX_MS = 60_000

/**
 * One series that is followed live.
 *
 * - `behind`: to be brought level the ordinary way;
 * - `levelling`: that is under way;
 * - `live`: only its newest bars are asked for.
 */
export class LiveSeries {
  wish: Wish
  phase: 'behind' | 'levelling' | 'live' = 'behind'
  tail: Tail | undefined
  /** A slice has come to its end and is to be asked for once more, whole. */
  closing = false
  /** Monotonic: nothing is tried before. */
  notBeforeMs = 0
  /** What the ledger was told is wanted of it ends here. */
  wantedToMs: EpochMs | undefined
  #id: string
  #failures = 0
  /** Times in a row that the venue did not show the bar that was due. */
  #late = 0
  #lastError: EverybarError | undefined
  #doneMs: EpochMs | null = null

  constructor(wish: Wish) {
    this.wish = wish
    this.#id = seriesId(wish.series)
  }

  /** In the venue's own spelling once that is known. */
  get id(): string {
    return this.#id
  }

  /** Whether it was never reached, for a fault of what was asked for: what it is called, or its timeframe. */
  get isMistake(): boolean {
    const { code, recovery } = this.#lastError ?? {}
    const neverReached = this.tail === undefined && this.#doneMs === null
    return neverReached && recovery === 'abort' && exitCodeOf(code!, recovery) === exitCodes.usage
  }

  /** The venue's own spelling is known. */
  introduced(series: Series): void {
    this.wish = { ...this.wish, series }
    this.#id = seriesId(series)
  }

  /** Everything due is answered and stored. */
  succeeded(): void {
    this.#failures = 0
    this.#late = 0
    this.#lastError = undefined
    this.notBeforeMs = 0
    this.#doneMs = this.tail?.doneMs ?? this.#doneMs
  }

  /** @returns what became of it, as an error with a code. */
  failed(error: unknown, nowMs: number): EverybarError {
    this.#failures++
    this.#lastError = isEverybarError(error) ? error : asError(error)
    this.#waits(nowMs, this.#failures)
    return this.#lastError
  }

  /** The venue does not show the bar yet; a market may be silent for long. Tried again when the next bar is due at last. */
  late(nowMs: number, untilNextMs: number): void {
    this.#waits(nowMs, this.#late++)
    this.notBeforeMs = Math.min(this.notBeforeMs, nowMs + untilNextMs)
  }

  /** Waits before the next try, twice as long each time. */
  #waits(nowMs: number, times: number): void {
    this.notBeforeMs = nowMs + Math.min(WAIT_MAX_MS, WAIT_MIN_MS * 2 ** Math.min(times, 10))
  }

  /** How it stands. @param clock of its venue; `undefined` while that was not read. @param behind stores that lack bars. */
  state(clock: VenueClock | undefined, behind: readonly string[]): LiveSeriesState {
    const { tail, id: series } = this
    const doneMs = tail?.doneMs ?? this.#doneMs
    const dueMs = tail && clock ? tail.dueMs(clock) : null
    const late = tail && clock ? tail.behind(clock) > 0 : false
    return {
      series,
      doneMs,
      dueMs,
      lagMs: doneMs === null ? null : late && dueMs !== null ? dueMs - doneMs : 0,
      behind,
      failures: this.#failures,
      ...(this.#lastError && { lastError: { code: this.#lastError.code, message: this.#lastError.message } }),
    }
  }
}

/** Series named in a message. */
const NAMED_MAX = 5

/** Every series is a mistake: what ends it all. */
export function noneToFollow(series: readonly LiveSeriesState[]): EverybarError {
  const named = series.slice(0, NAMED_MAX).map((one) => `${one.series} (${one.lastError?.code})`)
  const more = series.length > NAMED_MAX ? ` and ${series.length - NAMED_MAX} more` : ''
  const what = `no series can be followed: ${named.join(', ')}${more}`
  const hint = 'The venue, market, symbol or timeframe of each is wrong; the log says of each what to do.'
  return new EverybarError('series.none-to-follow', what, { recovery: 'abort', hint })
}
