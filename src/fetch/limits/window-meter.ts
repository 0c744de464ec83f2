import type { BucketLimit } from '../fetcher.ts'

/**
 * Keeps one limit of a venue, `capacity` in every `windowMs`, without knowing how the venue counts.
 *
 * What is not known: when, between a request's departure `d` and its answer `r`, the venue counted it; whether its
 * windows are fixed (and where they begin), sliding, or a bucket that drains; what others at this address spend.
 *
 * 1. Own requests. One departs at `now` only if it and every request that is in flight or was answered after
 *    `now - windowMs` (less a margin for clocks) fit into the capacity. Then no window of `windowMs`, wherever it
 *    begins, holds more. Proof: of the requests counted in a window, let k be the last to depart, counted at
 *    a ≥ d. Any other, i, departed earlier and was counted no more than a window before a request that came after
 *    d, so its answer came later than d − windowMs: it was in the sum when k departed. Fixed windows are among those
 *    windows; a draining bucket takes capacity × (1 + T / windowMs) in any time T, and so many windows hold no less.
 *    The price is one answer time per window: capacity in every windowMs + rtt + margin, 98 % at 100 ms in 6 s.
 *
 * 2. The venue's counter, sent with each answer. It says what was spent, by anyone, in the venue's own window. The
 *    highest of the newest answers and all that is in flight have to leave room; that holds until the window the
 *    counter speaks of has surely ended, `windowMs` after the first answer in which it was seen running.
 *
 * 3. Others. What the counter shows beyond everything of our own that could be in it was spent by others. It counts
 *    as spent now; and a tenth of it, or a fiftieth of the capacity, is left free for ten windows, for what they spend
 *    before the next answer tells.
 *
 * Times are monotonic milliseconds, handed in.
 */
export class WindowMeter {
  readonly limit: BucketLimit
  /** What own requests may use; others may use the rest. */
  readonly #own: number
  readonly #marginMs: number
  readonly #grainMs: number
  #inFlight = 0
  /** Answered requests, by time of the answer; those of one grain are one entry, dated by the latest. */
  #spent: { readonly sinceMs: number; atMs: number; cost: number }[] = []
  /** Entries before this one are out of the window. */
  #head = 0
  #spentSum = 0
  #reports: Report[] = []
  #runningSinceMs = Number.NEGATIVE_INFINITY
  /** Until then the address counts as shared with others. */
  #sharedUntilMs = Number.NEGATIVE_INFINITY
  #trusted = true

  constructor(limit: BucketLimit, start: MeterStart = {}) {
    this.limit = limit
    this.#own = Math.max(1, Math.floor(limit.capacity * (start.share ?? 1)))
    this.#marginMs = 10 + limit.windowMs / 1_000
    this.#grainMs = limit.windowMs / 2_000
    this.#inFlight = start.inFlight ?? 0
    if (start.previous) this.recall(start.previous.#spent)
  }

  get countsRequests(): boolean {
    return this.limit.counts === 'requests'
  }

  /** What own requests may use of the limit. */
  get capacity(): number {
    return this.#own
  }

  /** A request's cost here: its weight, or 1 where requests are counted. */
  costOf(weight: number): number {
    return this.countsRequests ? 1 : weight
  }

  /** Spent in the last window as far as known, own and others'. */
  used(nowMs: number): number {
    this.#expire(nowMs)
    return Math.max(this.#ownUsed() + this.#foreign(nowMs), this.#counter(nowMs))
  }

  fits(cost: number, nowMs: number): boolean {
    this.#expire(nowMs)
    const own = this.#ownUsed() + cost
    if (own > this.#own) return false
    const shared = nowMs < this.#sharedUntilMs
    // What others have spent meanwhile is not known any more: one request goes ahead and asks.
    if (shared && this.#inFlight > 0 && this.#runningSinceMs + this.#keepMs() <= nowMs) return false
    const foreign = this.#foreign(nowMs)
    const reserve = shared ? Math.ceil(Math.max(foreign / 10, this.limit.capacity / 50)) : 0
    if (own + foreign + reserve > this.limit.capacity) return false
    const counter = this.#counter(nowMs)
    return counter === 0 || counter + this.#inFlight + cost + reserve <= this.limit.capacity
  }

  /**
   * When `cost` may fit if nothing else happens; later than that only if it is spent elsewhere. Infinity where only an
   * answer can make room.
   */
  freeAtMs(cost: number, nowMs: number): number {
    if (this.fits(cost, nowMs)) return nowMs
    // The next change of any part is early enough: whoever waits asks again then.
    const times = this.#reports.map((report) => report.receivedMs + this.#keepMs())
    times.push(this.#runningSinceMs + this.#keepMs())
    const oldest = this.#spent[this.#head]
    if (oldest) times.push(oldest.atMs + this.#keepMs())
    const later = times.filter((time) => time > nowMs)
    return later.length === 0 ? Number.POSITIVE_INFINITY : Math.min(...later)
  }

  /** Takes in what was spent before this meter was there. Times may lie before its window, not after now. */
  recall(spent: readonly { readonly atMs: number; readonly cost: number }[]): void {
    const entries = spent.map(({ atMs, cost }) => ({ sinceMs: atMs, atMs, cost }))
    this.#spent = [...entries, ...this.#spent].sort((a, b) => a.atMs - b.atMs)
    this.#head = 0
    this.#spentSum = this.#spent.reduce((sum, { cost }) => sum + cost, 0)
  }

  depart(cost: number): void {
    this.#inFlight += cost
  }

  /** A request that never left. */
  cancel(cost: number): void {
    this.#inFlight -= cost
  }

  /** A request that left and is over, by an answer or by a failure: the venue may have counted it until now. */
  settle(cost: number, nowMs: number): void {
    this.#inFlight -= cost
    this.#spentSum += cost
    const last = this.#spent.at(-1)
    if (last && this.#head < this.#spent.length && nowMs - last.sinceMs < this.#grainMs) {
      last.cost += cost
      last.atMs = nowMs
    } else {
      this.#spent.push({ sinceMs: nowMs, atMs: nowMs, cost })
    }
    this.#expire(nowMs)
  }

  /**
   * The venue's counter as an answer carried it; to be called after `settle` of that request.
   *
   * @param certain false when the counter was not named for this window; it is then no longer believed once it
   *   exceeds the capacity in an answer that was not refused.
   */
  report(used: number, departedMs: number, nowMs: number, certain: boolean): void {
    if (!certain && used > this.limit.capacity) this.#trusted = false
    if (!(certain || this.#trusted)) {
      this.#reports = []
      return
    }
    const foreign = Math.max(0, used - this.#ownSince(departedMs - this.limit.windowMs))
    if (foreign > 0) this.#sharedUntilMs = nowMs + 10 * this.limit.windowMs
    const before = this.#counter(nowMs)
    const newest = this.#reports.reduce((max, report) => Math.max(max, report.departedMs), departedMs)
    this.#reports.push({ departedMs, receivedMs: nowMs, used, foreign })
    // Answers that came before the newest request left say nothing that its answer does not say better.
    this.#reports = this.#reports.filter((report) => report.receivedMs >= newest)
    const highest = this.#reports.reduce((max, report) => Math.max(max, report.used), 0)
    const rolled = departedMs >= this.#runningSinceMs + this.limit.windowMs
    if (rolled || highest < before || before === 0) this.#runningSinceMs = this.#reports[0]!.receivedMs
  }

  #ownUsed(): number {
    return this.#inFlight + this.#spentSum
  }

  #keepMs(): number {
    return this.limit.windowMs + this.#marginMs
  }

  // Every "has it passed" is written `then + keep <= now`, as the alarms are: other roundings could wait for ever.
  #expire(nowMs: number): void {
    const { length } = this.#spent
    while (this.#head < length && this.#spent[this.#head]!.atMs + this.#keepMs() <= nowMs) {
      this.#spentSum -= this.#spent[this.#head]!.cost
      this.#head++
    }
    // Entries out of the window are kept a while for `#ownSince`.
    if (this.#head > 4_096 && this.#head > length / 2) {
      this.#spent = this.#spent.slice(this.#head - 1_024)
      this.#head = 1_024
    }
  }

  /** All own cost in flight or answered after `sinceMs`: no less than the venue can have counted since. */
  #ownSince(sinceMs: number): number {
    let sum = this.#ownUsed()
    for (let i = this.#head - 1; i >= 0 && this.#spent[i]!.atMs > sinceMs; i--) sum += this.#spent[i]!.cost
    return sum
  }

  #counter(nowMs: number): number {
    if (this.#runningSinceMs + this.#keepMs() <= nowMs) return 0
    return this.#reports.reduce((max, report) => Math.max(max, report.used), 0)
  }

  #foreign(nowMs: number): number {
    let max = 0
    for (const report of this.#reports) {
      if (report.receivedMs + this.#keepMs() > nowMs) max = Math.max(max, report.foreign)
    }
    return max
  }
}

export interface MeterStart {
  /** The part of the capacity own requests may use; all of it unless said. */
  readonly share?: number
  /** Cost of what is in flight already. */
  readonly inFlight?: number
  /** The meter this one replaces: what it knows as spent is taken over. */
  readonly previous?: WindowMeter | undefined
}

interface Report {
  readonly departedMs: number
  readonly receivedMs: number
  readonly used: number
  readonly foreign: number
}
