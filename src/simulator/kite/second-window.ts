/** Requests a second, counted in seconds that end now; remembers how many came in the busiest one. */
export class SecondWindow {
  readonly #perSecond: number
  readonly #ticks: () => number
  readonly #windowMs: number
  #taken: number[] = []
  #peak = 0

  /** `ticks` counts milliseconds; a window shorter than a second makes a venue whose time runs faster. */
  constructor(perSecond: number, ticks: () => number, windowMs = 1_000) {
    this.#perSecond = perSecond
    this.#ticks = ticks
    this.#windowMs = windowMs
  }

  /** Counts one more request; false when it is one too many. Refused ones count as well. */
  take(): boolean {
    const now = this.#ticks()
    this.#taken = this.#taken.filter((at) => now - at < this.#windowMs)
    this.#taken.push(now)
    this.#peak = Math.max(this.#peak, this.#taken.length)
    return this.#taken.length <= this.#perSecond
  }

  get peak(): number {
    return this.#peak
  }

  reset(): void {
    this.#peak = 0
  }
}
