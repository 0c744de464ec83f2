import { DAY_MS, type EpochMs, MINUTE_MS } from '../../model/time.ts'

export interface LimitOptions {
  /** Weight a window holds; `Infinity` for no limit. */
  readonly capacity: number
  readonly windowMs: number
  /**
   * How long after the first refusal of a window others are refused rather than banned for: requests that were
   * under way when it was sent, and its own way back.
   */
  readonly graceMs: number
  /** The venue's clock. */
  readonly now: () => EpochMs
}

/** What the venue says to one more request. `used` is the weight of the window with it. */
export type Verdict =
  | { readonly kind: 'served'; readonly used: number }
  | { readonly kind: 'refused'; readonly used: number; readonly retryAfterS: number }
  | {
      readonly kind: 'banned'
      readonly used: number
      readonly retryAfterS: number
      readonly untilMs: EpochMs
    }

/** Requests refused within the grace time that end it early: no client has so many under way. */
const REFUSALS_MAX = 200

/**
 * Weight in fixed windows that start on whole multiples of their length, as Binance's start on the minute. A request that
 * goes over is refused and counts all the same. A client that still asks after the grace time is banned: for two
 * windows the first time (two minutes of a minute's window), twice as long each time after, up to 4,320 windows
 * (three days). A refusal ends with its window.
 */
export class WeightWindow {
  readonly #options: LimitOptions
  #window = -1
  #used = 0
  #refusedSince: EpochMs | undefined
  #refusals = 0
  #closed = false
  #bans = 0
  #bannedUntil = 0

  constructor(options: LimitOptions) {
    this.#options = options
  }

  /** Weight of the present window. */
  get used(): number {
    this.#roll(this.#options.now())
    return this.#used
  }

  charge(weight: number): Verdict {
    const now = this.#options.now()
    this.#roll(now)
    if (now < this.#bannedUntil) return this.#banned(now)
    this.#used += weight
    if (!this.#closed && this.#used <= this.#options.capacity) return { kind: 'served', used: this.#used }
    this.#refusedSince ??= now
    this.#refusals++
    if (now - this.#refusedSince > this.#options.graceMs || this.#refusals > REFUSALS_MAX) return this.ban()
    return { kind: 'refused', used: this.#used, retryAfterS: seconds(this.#windowEnd(now) - now) }
  }

  /** Somebody else behind the same address used so much. */
  add(weight: number): void {
    this.#roll(this.#options.now())
    this.#used += weight
  }

  /** Refuses this request and everything else until the window ends. */
  refuse(): Verdict {
    this.#roll(this.#options.now())
    this.#closed = true
    return this.charge(0)
  }

  /** Bans at once. */
  ban(): Verdict {
    const now = this.#options.now()
    const { windowMs } = this.#options
    const longest = (3 * DAY_MS * windowMs) / MINUTE_MS
    this.#bannedUntil = now + Math.min(longest, 2 * windowMs * 2 ** this.#bans++)
    return this.#banned(now)
  }

  #banned(now: EpochMs): Verdict {
    const untilMs = Math.ceil(this.#bannedUntil)
    return { kind: 'banned', used: this.#used, retryAfterS: seconds(untilMs - now), untilMs }
  }

  #windowEnd(now: EpochMs): EpochMs {
    return (Math.floor(now / this.#options.windowMs) + 1) * this.#options.windowMs
  }

  #roll(now: EpochMs): void {
    const window = Math.floor(now / this.#options.windowMs)
    if (window === this.#window) return
    this.#window = window
    this.#used = 0
    this.#refusedSince = undefined
    this.#refusals = 0
    this.#closed = false
  }
}

/** Whole seconds, never so few that a client which waits them is early. */
const seconds = (ms: number): number => Math.max(1, Math.ceil(ms / 1000))

/** A window as `exchangeInfo` names it: `{ interval: 'MINUTE', intervalNum: 1 }`. */
export function intervalOf(windowMs: number): { readonly interval: string; readonly intervalNum: number } {
  for (const [interval, ms] of units) if (windowMs % ms === 0) return { interval, intervalNum: windowMs / ms }
  return { interval: 'SECOND', intervalNum: windowMs / 1000 }
}

const units = [
  ['DAY', DAY_MS],
  ['HOUR', 3_600_000],
  ['MINUTE', MINUTE_MS],
  ['SECOND', 1000],
] as const
