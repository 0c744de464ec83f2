import { EverybarError } from '../../model/errors.ts'
import type { Clock } from '../../model/events.ts'
import type { BucketLimit, BucketUsage } from '../fetcher.ts'
import type { Counter } from './counters.ts'
import { WindowMeter } from './window-meter.ts'

export interface BucketOptions {
  readonly clock: Clock
  /** Requests in flight at most. */
  readonly connections: number
  /** The part of the venue's limits to use, above 0, 1 at most. */
  readonly share: number
  /** A block longer than this is an error at once. */
  readonly maxWaitMs: number
}

/** Leave to send one request, held until it is over. */
export interface Permit {
  readonly departedMs: number
  readonly waitedMs: number
  /** Whether the request may still leave: to be asked in the same turn in which it does. */
  readonly mayDepart: () => boolean
  /** The request left and was answered, or failed on the way; with the counters its answer carried, if there was one. */
  readonly settle: (counters: readonly Counter[] | undefined) => void
  /** The request is over. If it was never settled it never left, and its weight is free again. */
  readonly release: () => void
}

export interface Ticket {
  readonly weight: number
  /** Kept by a request through all its tries, so that one sent back to wait keeps its place. */
  readonly order: number
}

interface Waiter extends Ticket {
  readonly sinceMs: number
  readonly grant: (permit: Permit) => void
  readonly fail: (error: unknown) => void
}

/** What a process before this one spent, by this one's monotonic clock: below zero, as a rule. */
export interface PastSpend {
  readonly atMs: number
  readonly weight: number
  readonly requests: number
}

export interface Block {
  readonly untilMs: number
  readonly kind: 'rate-limited' | 'banned'
}

/**
 * Who may send to one venue, and when: first come, first served, weight reserved before a request leaves. Until the
 * first answer, and again after a block, one request goes ahead alone: its answer carries the venue's counter, which
 * is all that is known of what an earlier process, or another, has spent.
 */
export class Bucket {
  readonly name: string
  readonly #options: BucketOptions
  #meters: readonly WindowMeter[] = []
  #waiters: Waiter[] = []
  /** Requests not over yet, and of those not answered yet the number and the weight. */
  #open = 0
  #inFlight = 0
  #inFlightWeight = 0
  #cold = true
  #recalled: readonly PastSpend[] = []
  #block: Block = { untilMs: Number.NEGATIVE_INFINITY, kind: 'rate-limited' }
  #alarm: { readonly atMs: number; readonly off: AbortController } | undefined

  constructor(name: string, options: BucketOptions) {
    this.name = name
    this.#options = options
  }

  /** Replaces the limits. What is spent and in flight stays counted. */
  setLimits(limits: readonly BucketLimit[]): void {
    const before = this.#meters
    this.#meters = limits.map((limit) => {
      const sameKind = before.filter((meter) => meter.countsRequests === (limit.counts === 'requests'))
      const previous = sameKind.find((meter) => meter.limit.windowMs === limit.windowMs) ?? sameKind[0]
      const same = previous?.limit.windowMs === limit.windowMs && previous.limit.capacity === limit.capacity
      if (previous && same) return previous
      // What the venue told was told of other limits: one request asks again before the rest follow.
      this.#cold = true
      const inFlight = limit.counts === 'requests' ? this.#inFlight : this.#inFlightWeight
      const meter = new WindowMeter(limit, { share: this.#options.share, inFlight, previous })
      if (!previous) recall(meter, this.#recalled)
      return meter
    })
    this.#pump()
  }

  /** Counts what earlier processes spent as spent; monotonic times. */
  recall(spends: readonly PastSpend[]): void {
    this.#recalled = [...this.#recalled, ...spends]
    for (const meter of this.#meters) recall(meter, spends)
  }

  /**
   * Resolves when the request may leave.
   *
   * @throws EverybarError `fetch.banned`, `fetch.rate-limited` (retry) for a block longer than may be waited for,
   *   `fetch.weight-too-large` (abort); the abort reason when `signal` aborts.
   */
  acquire(ticket: Ticket, signal?: AbortSignal): Promise<Permit> {
    return new Promise<Permit>((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const abort = (): void => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter)
        reject(signal?.reason)
        this.#pump()
      }
      const waiter: Waiter = {
        ...ticket,
        sinceMs: this.#now(),
        grant: (permit) => {
          signal?.removeEventListener('abort', abort)
          resolve(permit)
        },
        fail: (error) => {
          signal?.removeEventListener('abort', abort)
          reject(error)
        },
      }
      signal?.addEventListener('abort', abort, { once: true })
      const after = this.#waiters.findLastIndex((other) => other.order <= ticket.order)
      this.#waiters.splice(after + 1, 0, waiter)
      this.#pump()
    })
  }

  /** Stops every request that has not left, until `untilMs` (monotonic) or a later time named before. */
  block(block: Block): void {
    if (block.untilMs <= this.#block.untilMs) return
    this.#block = block
    this.#cold = true
    this.#pump()
  }

  get blockedUntilMs(): number {
    return this.#block.untilMs
  }

  /** Fails everyone who waits. */
  close(error: unknown): void {
    this.#alarm?.off.abort()
    this.#alarm = undefined
    for (const waiter of this.#waiters.splice(0)) waiter.fail(error)
  }

  usage(): BucketUsage[] {
    const now = this.#now()
    const blockedUntilMs = Number.isFinite(this.#block.untilMs)
      ? Math.round(this.#options.clock.nowMs() + this.#block.untilMs - now)
      : 0
    return this.#meters.map((meter) => ({
      bucket: this.name,
      used: meter.used(now),
      capacity: meter.limit.capacity,
      windowMs: meter.limit.windowMs,
      blockedUntilMs,
    }))
  }

  #now(): number {
    return this.#options.clock.monotonicMs()
  }

  /** Gives leave to everyone at the head of the queue who may go now, and sets the alarm for the next. */
  #pump(): void {
    for (let head = this.#waiters[0]; head; head = this.#waiters[0]) {
      const now = this.#now()
      const fault = this.#refusal(head, now)
      if (fault) {
        this.#waiters.shift()
        head.fail(fault)
        continue
      }
      const freeAtMs = this.#freeAtMs(head.weight, now)
      if (freeAtMs > now) {
        this.#wakeAt(freeAtMs)
        return
      }
      this.#waiters.shift()
      head.grant(this.#permit(head, now))
    }
  }

  /** When a request of `weight` may leave; Infinity where only an answer can tell. */
  #freeAtMs(weight: number, now: number): number {
    if (this.#open >= this.#options.connections) return Number.POSITIVE_INFINITY
    if (this.#block.untilMs > now) return this.#block.untilMs
    if (this.#cold && this.#inFlight > 0 && this.#meters.length > 0) return Number.POSITIVE_INFINITY
    return this.#meters.reduce((max, meter) => Math.max(max, meter.freeAtMs(meter.costOf(weight), now)), now)
  }

  #refusal(waiter: Waiter, now: number): EverybarError | undefined {
    const waitMs = this.#block.untilMs - now
    if (waitMs > this.#options.maxWaitMs) return blockedError(this.name, this.#block.kind, waitMs)
    const small = this.#meters.find((meter) => meter.costOf(waiter.weight) > meter.capacity)
    if (!small) return undefined
    return new EverybarError(
      'fetch.weight-too-large',
      `a request of weight ${waiter.weight} never fits ${this.name}: ${small.capacity} in ${small.limit.windowMs} ms`,
      { recovery: 'abort', hint: 'Raise the share of the venue limit this process may use.' },
    )
  }

  #permit({ weight, sinceMs }: Waiter, now: number): Permit {
    for (const meter of this.#meters) meter.depart(meter.costOf(weight))
    this.#open++
    this.#inFlight++
    this.#inFlightWeight += weight
    let settled = false
    let released = false
    const settle = (change: (meter: WindowMeter) => void): void => {
      settled = true
      this.#inFlight--
      this.#inFlightWeight -= weight
      for (const meter of this.#meters) change(meter)
    }
    return {
      departedMs: now,
      waitedMs: now - sinceMs,
      mayDepart: () => this.#block.untilMs <= this.#now(),
      settle: (counters) => {
        if (settled) return
        if (counters) this.#cold = this.#block.untilMs > this.#now()
        settle((meter) => this.#settle(meter, weight, now, counters ?? []))
        this.#pump()
      },
      release: () => {
        if (released) return
        released = true
        this.#open--
        if (!settled) settle((meter) => meter.cancel(meter.costOf(weight)))
        this.#pump()
      },
    }
  }

  #settle(meter: WindowMeter, weight: number, departedMs: number, counters: readonly Counter[]): void {
    const now = this.#now()
    meter.settle(meter.costOf(weight), now)
    if (meter.countsRequests) return
    const named = counters.find((counter) => counter.windowMs === meter.limit.windowMs)
    if (named) meter.report(named.used, departedMs, now, true)
    const weightMeters = this.#meters.filter((other) => !other.countsRequests).length
    // One counter and one limit belong together, even where the counter is named for another window.
    if (!named && counters.length === 1 && weightMeters === 1) {
      meter.report(counters[0]!.used, departedMs, now, false)
    }
  }

  #wakeAt(atMs: number): void {
    if (!Number.isFinite(atMs) || (this.#alarm && this.#alarm.atMs <= atMs)) return
    this.#alarm?.off.abort()
    const off = new AbortController()
    const alarm = { atMs, off }
    this.#alarm = alarm
    const ring = (): void => {
      if (this.#alarm !== alarm) return
      this.#alarm = undefined
      this.#pump()
    }
    this.#options.clock.sleep(Math.max(1, Math.ceil(atMs - this.#now())), off.signal).then(ring, () => {})
  }
}

function recall(meter: WindowMeter, spends: readonly PastSpend[]): void {
  const costOf = ({ weight, requests }: PastSpend): number => (meter.countsRequests ? requests : weight)
  meter.recall(spends.map((spend) => ({ atMs: spend.atMs, cost: costOf(spend) })))
}

/** The error for a block of `waitMs` more. */
export function blockedError(bucket: string, kind: Block['kind'], waitMs: number): EverybarError {
  const seconds = Math.ceil(waitMs / 1_000)
  const what = kind === 'banned' ? 'this address is banned' : 'the rate limit was exceeded'
  return new EverybarError(`fetch.${kind}`, `${bucket}: ${what} for ${seconds} s more`, {
    recovery: 'retry',
    retryAfterMs: Math.ceil(waitMs),
    hint: `Wait ${seconds} s. Another process may share this address; stop it, or lower the share of the limit.`,
  })
}
