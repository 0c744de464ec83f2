import type { EpochMs } from '../model/time.ts'

/** The venue's time: from where it was set, it runs on as fast as real time, unless it is held. */
export class VenueClock {
  readonly #ticks: () => number
  #setTo: EpochMs
  #setAt: number
  #held = false

  /** `ticks` is any steady count of milliseconds. */
  constructor(startMs: EpochMs, ticks: () => number = () => performance.now()) {
    this.#ticks = ticks
    this.#setTo = startMs
    this.#setAt = ticks()
  }

  /** Whole milliseconds. */
  readonly now = (): EpochMs =>
    this.#held ? this.#setTo : Math.floor(this.#setTo + this.#ticks() - this.#setAt)

  set(ms: EpochMs, held = false): void {
    this.#setTo = ms
    this.#setAt = this.#ticks()
    this.#held = held
  }
}
