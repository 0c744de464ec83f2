import { weightOf } from '../chunking/definitions.ts'
import { EverybarError, isEverybarError } from '../model/errors.ts'
import type { Series } from '../model/series.ts'
import type { EpochMs } from '../model/time.ts'
import { widthMsMax } from '../model/timeframe.ts'
import { type House, jobOf } from './house.ts'
import { askAloud } from './live-ask.ts'
import { LiveClocks } from './live-clocks.ts'
import { behindTheGate } from './live-gate.ts'
import { LiveSeries, noneToFollow } from './live-series.ts'
import { LiveSettler } from './live-settle.ts'
import type { LiveState } from './live-state.ts'
import { BEHIND_MAX, Tail, type TailAnswer } from './live-tail.ts'
import { firstWish, resumeFrom, startOf } from './live-wish.ts'
import type { Wish } from './range.ts'
import { replay } from './replay.ts'
import { forgetPassedEnd } from './silence.ts'
import { type SeriesOutcome, type Signals, syncSeries } from './sync.ts'
import type { SeriesTurns } from './turns.ts'

export interface LiveOptions {
  readonly signals: Signals
  readonly turns: SeriesTurns
  /** Between two cycles; at every timeframe boundary unless given. */
  readonly intervalMs?: number | undefined
  /** The series in the venue's own spelling, with a source that serves it. */
  readonly introduce: (series: Series, signal: AbortSignal) => Promise<Series>
  /** Told of what the ordinary way has done for a series. */
  readonly onLevel?: (outcome: SeriesOutcome) => void
}

/** Series brought level at once, beside the newest bars. */
const LEVEL_AT_ONCE = 4
/** Whatever happens, so long is between two cycles at least. */
const SLEEP_MIN_MS = 250
/** Clocks step and machines sleep: never longer without a look. */
const SLEEP_MAX_MS = 30_000
/** The ledger is told how far a series is wanted after so much time of it at the latest. */
const WANT_EVERY_MS = 600_000
/** A store that lacks bars is tried again so often. */
const REPLAY_EVERY_MS = 15_000

/**
 * Keeps series complete until it is stopped: brings each level, then asks for the bar that has closed and the one that
 * forms whenever a bar is final by the venue's clock. What a cycle misses the next one asks for; what is too far behind,
 * or does not fit, goes the ordinary way again. What happens to one series holds back no other; only the ledger's own
 * failures end it.
 */
export class Live {
  readonly #house: House
  readonly #options: LiveOptions
  #series: readonly LiveSeries[]
  readonly #clocks: LiveClocks
  readonly #settler: LiveSettler
  /** The house of everything that may wait. */
  readonly #patient: House
  readonly #startedAtMs: EpochMs
  #cycles = 0
  #lastCycleAtMs: EpochMs | null = null
  #asking = false
  #nextReplay = 0
  #fatal: { readonly error: unknown } | undefined
  #woken = Promise.withResolvers<void>()
  /** Bars the ordinary way has added. */
  #levelled = 0

  constructor(house: House, wishes: readonly Wish[], options: LiveOptions) {
    this.#house = house
    this.#options = options
    this.#series = wishes.map((wish) => new LiveSeries(wish))
    this.#clocks = new LiveClocks(house)
    this.#settler = new LiveSettler(house)
    this.#startedAtMs = house.clock.nowMs()
    this.#patient = behindTheGate(house, {
      clock: house.clock,
      busy: () => this.#asking,
      reserveOf: (bucket, windowMs) => this.#weightOf(bucket, windowMs),
    })
  }

  state(): LiveState {
    return {
      startedAtMs: this.#startedAtMs,
      cycles: this.#cycles,
      lastCycleAtMs: this.#lastCycleAtMs,
      series: this.#series.map((one) =>
        one.state(one.tail && this.#clocks.known(one.tail.job), this.#settler.storesBehind(one.id)),
      ),
    }
  }

  /** Final bars that were new. */
  get inserted(): number {
    return this.#settler.inserted + this.#levelled
  }

  /** Resolves once it was stopped and all that was under way is recorded. @throws what the ledger throws. */
  async run(): Promise<void> {
    const levellers = Array.from({ length: LEVEL_AT_ONCE }, () => this.#levelOnAndOn())
    const cycles = this.#cycleOnAndOn()
    await Promise.all([...levellers, cycles])
    for (const one of this.#series) await this.#want(one, 0)
    if (this.#fatal) throw this.#fatal.error
  }

  get #stopped(): boolean {
    return this.#options.signals.stop.aborted || this.#fatal !== undefined
  }

  async #cycleOnAndOn(): Promise<void> {
    while (!this.#stopped) {
      try {
        const due = this.#due()
        if (due.length > 0) await this.#cycle(due)
        await this.#replayStores()
        await this.#renewClocks()
      } catch (error) {
        this.#ends(error)
      }
      await this.#sleep(this.#waitMs())
    }
  }

  /** Series whose next bar is final, the one furthest behind first. */
  #due(): LiveSeries[] {
    const now = this.#house.clock.monotonicMs()
    const lag = (one: LiveSeries) => one.tail!.dueMs(this.#clocks.known(one.tail!.job)!) - one.tail!.doneMs
    return this.#series
      .filter((one) => one.phase === 'live' && one.notBeforeMs <= now && this.#behind(one) > 0)
      .sort((a, b) => lag(b) - lag(a))
  }

  #behind({ tail }: LiveSeries): number {
    const clock = tail && this.#clocks.known(tail.job)
    return tail && clock ? tail.behind(clock) : 0
  }

  async #cycle(due: readonly LiveSeries[]): Promise<void> {
    const { clock, onEvent, concurrency } = this.#house
    const startedAt = clock.monotonicMs()
    onEvent({ event: 'loop_tick', level: 'debug', due: due.length, series: this.#series.length })
    const before = this.#settler.inserted
    let failed = 0
    this.#asking = true
    try {
      const waiting = [...due]
      const take = async () => {
        for (let one = waiting.shift(); one && !this.#stopped; one = waiting.shift())
          if (!(await this.#catchUp(one))) failed++
      }
      await Promise.all(Array.from({ length: Math.min(concurrency, due.length) }, take))
    } finally {
      this.#asking = false
    }
    this.#cycles++
    this.#lastCycleAtMs = clock.nowMs()
    onEvent({
      event: 'live_cycle_complete',
      due: due.length,
      failed,
      rows: this.#settler.inserted - before,
      lag_ms: Math.max(0, ...this.state().series.map(({ lagMs }) => lagMs ?? 0)),
      duration_ms: Math.round(clock.monotonicMs() - startedAt),
    })
  }

  /** @returns whether the series is where it is due, or on its way there. */
  async #catchUp(one: LiveSeries): Promise<boolean> {
    try {
      return await this.#options.turns.run(one.id, async () => {
        const { job } = one.tail!
        const clock = this.#clocks.known(job)!
        if (await one.tail!.isStale())
          one.tail = await Tail.open(this.#house, job, clock, await startOf(this.#house, job))
        if (!one.tail || one.tail.behind(clock) > BEHIND_MAX) return this.#fallsBehind(one)
        // A slice that ends gives way to the next one.
        while (one.tail.behind(clock) > 0 && !this.#stopped) {
          const answer = await askAloud(this.#house, one.tail, clock, this.#options.signals.hardStop)
          if (answer.kind === 'unfit') return this.#fallsBehind(one, answer.reason)
          if (answer.kind === 'not-yet') {
            one.late(this.#house.clock.monotonicMs(), one.tail.nextDueMs(clock) - clock.nowMs())
            return false
          }
          if (answer.kind === 'bars') await this.#settle(one.tail, answer)
          one.closing ||= answer.closed
          one.succeeded()
          await this.#want(one, WANT_EVERY_MS)
          if (answer.kind === 'nothing' && !answer.closed) break
        }
        return true
      })
    } catch (error) {
      this.#failed(one, error)
      return false
    }
  }

  async #settle(tail: Tail, answer: TailAnswer & { kind: 'bars' }): Promise<void> {
    await this.#settler.add({ tail, ...answer })
    // What looked like the end of the series was a pause.
    if (answer.fresh.length > 0)
      await forgetPassedEnd(this.#house, tail.job, { startMs: 0, endMs: tail.doneMs })
  }

  /** Leaves a series to the ordinary way. */
  #fallsBehind(one: LiveSeries, reason?: string): boolean {
    if (reason !== undefined) {
      const hint = 'It is asked for again, whole.'
      this.#failed(one, new EverybarError('live.unfit-answer', reason, { recovery: 'retry', hint }))
    }
    one.phase = 'behind'
    this.#wake()
    return reason === undefined
  }

  /** Brings series level one after another, those that never were before those whose slice has ended. */
  async #levelOnAndOn(): Promise<void> {
    while (!this.#stopped) {
      const one = this.#nextToLevel()
      if (!one) {
        await this.#sleep(SLEEP_MAX_MS / 30)
        continue
      }
      const closing = one.phase === 'live'
      if (!closing) one.phase = 'levelling'
      one.closing = false
      try {
        await this.#level(one, closing)
      } catch (error) {
        this.#failed(one, error)
        if (closing) one.closing = true
        else one.phase = 'behind'
      }
      this.#wake()
    }
  }

  #nextToLevel(): LiveSeries | undefined {
    const now = this.#house.clock.monotonicMs()
    const ready = this.#series.filter((one) => one.notBeforeMs <= now)
    return (
      ready.find(({ phase }) => phase === 'behind') ??
      ready.find((one) => one.phase === 'live' && one.closing)
    )
  }

  async #level(one: LiveSeries, closing: boolean): Promise<void> {
    const { introduce, signals, turns, onLevel } = this.#options
    const series = await introduce(one.wish.series, signals.stop)
    one.introduced(series)
    if (this.#isTwice(one)) return
    const job = jobOf(this.#house, series)
    const clock = await this.#clocks.clockOf(job, signals.stop)
    const first = one.tail === undefined && one.wantedToMs === undefined
    const wish = first
      ? await firstWish(this.#house, { ...one.wish, series }, job, clock)
      : { series, from: await resumeFrom(this.#house, job, one.tail?.doneMs ?? one.wantedToMs ?? 0) }
    await turns.run(one.id, async (asked) => {
      const outcome = await syncSeries(this.#patient, this.#clocks, wish, {
        stop: AbortSignal.any([signals.stop, asked]),
        hardStop: signals.hardStop,
      })
      this.#levelled += outcome.bars.inserted
      onLevel?.(outcome)
      if (outcome.range) one.wantedToMs = Math.max(one.wantedToMs ?? 0, outcome.range.endMs)
      const [error] = outcome.errors
      if (error?.code.startsWith('ledger.')) throw error
      if (closing && error) throw error
      await this.#settler.look(job)
      one.tail = await Tail.open(this.#house, job, clock, outcome.range?.startMs ?? 0)
      if (one.tail) {
        one.phase = 'live'
        if (error) this.#failed(one, error)
        else one.succeeded()
      } else {
        one.phase = 'behind'
        if (error) throw error
        // Interrupted, or a bar has closed meanwhile: it goes on at once.
        if (!asked.aborted) one.late(this.#house.clock.monotonicMs(), Number.POSITIVE_INFINITY)
      }
    })
  }

  /** Tells the ledger how far the series is wanted, once it has got further by `everyMs`. */
  async #want(one: LiveSeries, everyMs: number): Promise<void> {
    const { tail, wantedToMs } = one
    if (!tail || wantedToMs === undefined || tail.doneMs - wantedToMs <= everyMs) return
    await this.#house.ledger.want(tail.job.ref, { startMs: wantedToMs, endMs: tail.doneMs })
    one.wantedToMs = tail.doneMs
  }

  /** Gives stores the bars they could not take. */
  async #replayStores(): Promise<void> {
    const now = this.#house.clock.monotonicMs()
    if (now < this.#nextReplay) return
    this.#nextReplay = now + REPLAY_EVERY_MS
    for (const store of this.#house.stores) {
      const behind = this.#settler.behind.get(store.name)!
      for (const one of this.#series) {
        if (this.#stopped || !behind.has(one.id) || !one.tail) continue
        const { job } = one.tail
        const { errors } = await this.#options.turns.run(one.id, async () => {
          const replayed = await replay(this.#patient, job, store, { signal: this.#options.signals.stop })
          if (replayed.errors.length === 0) behind.delete(one.id)
          return replayed
        })
        // A store that is down is not asked once for every series.
        if (errors.some(({ recovery }) => recovery === 'retry')) break
      }
    }
  }

  async #renewClocks(): Promise<void> {
    const venues = new Map(
      this.#series.flatMap(({ tail }) => (tail ? [[tail.job.source.spec.bucket, tail.job]] : [])),
    )
    for (const job of venues.values()) await this.#clocks.clockOf(job, this.#options.signals.stop)
  }

  /** Weight the newest bars take of a bucket in one window of its limit. */
  #weightOf(bucket: string, windowMs: number): number {
    let weight = 0
    for (const { phase, tail } of this.#series) {
      if (phase !== 'live' || !tail || tail.job.source.spec.bucket !== bucket) continue
      const { series, source } = tail.job
      const perBar = Math.max(1, windowMs / widthMsMax(series.timeframe))
      weight += weightOf(source.spec.weightPolicy, 2) * Math.min(perBar, windowMs / 1_000)
    }
    return weight
  }

  /** Until the next bar is due; a fixed time where one was set. */
  #waitMs(): number {
    const { intervalMs } = this.#options
    if (intervalMs !== undefined) return intervalMs
    const now = this.#house.clock.monotonicMs()
    let waitMs = SLEEP_MAX_MS
    for (const { phase, tail, notBeforeMs } of this.#series) {
      const clock = tail && this.#clocks.known(tail.job)
      if (phase !== 'live' || !tail || !clock) continue
      const dueIn = tail.behind(clock) > 0 ? 0 : tail.nextDueMs(clock) - clock.nowMs()
      waitMs = Math.min(waitMs, Math.max(dueIn, notBeforeMs - now))
    }
    return waitMs
  }

  async #sleep(ms: number): Promise<void> {
    if (this.#stopped) return
    const over = new AbortController()
    const signal = AbortSignal.any([this.#options.signals.stop, over.signal])
    const asleep = this.#house.clock.sleep(Math.max(SLEEP_MIN_MS, ms), signal).catch(() => {})
    await Promise.race([asleep, this.#woken.promise])
    over.abort()
  }

  #wake(): void {
    this.#woken.resolve()
    this.#woken = Promise.withResolvers<void>()
  }

  /** A series that goes by two names is followed once. */
  #isTwice(one: LiveSeries): boolean {
    if (!this.#series.some((other) => other !== one && other.id === one.id)) return false
    this.#series = this.#series.filter((other) => other !== one)
    this.#house.onEvent({ event: 'series_named_twice', level: 'warn', series: one.id })
    return true
  }

  #failed(one: LiveSeries, error: unknown): void {
    if (this.#isStop(error)) return
    const { code, message, hint, recovery } = one.failed(error, this.#house.clock.monotonicMs())
    if (code.startsWith('ledger.')) this.#ends(error)
    const level = recovery === 'abort' ? 'error' : 'warn'
    this.#house.onEvent({ event: 'live_error', level, series: one.id, code, message, hint })
    if (this.#series.every(({ isMistake }) => isMistake)) this.#ends(noneToFollow(this.state().series))
  }

  /** Whether an error only says that it was stopped. */
  #isStop(error: unknown): boolean {
    const { stop } = this.#options.signals
    if (!isEverybarError(error)) return this.#stopped
    return stop.aborted && isEverybarError(stop.reason, error.code)
  }

  #ends(error: unknown): void {
    if (this.#options.signals.stop.aborted && (!isEverybarError(error) || this.#isStop(error))) return
    this.#fatal ??= { error }
    this.#wake()
  }
}
