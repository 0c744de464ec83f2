/** Bars to remember: a fortnight of minutes of five series, or a day of seventy. */
const BARS_MAX = 100_000

/** What is known of a bar by name. */
export interface KnownBar {
  /** The id of the values it has; `undefined` for a bar known to be absent. */
  readonly content: string | undefined
  /** The id it was last sent under. */
  readonly sent: string | undefined
}

/** What a process knows of the bars it streamed or looked up, the oldest forgotten first. */
export class KnownBars {
  readonly #bars = new Map<string, KnownBar>()

  get(name: string): KnownBar | undefined {
    return this.#bars.get(name)
  }

  set(name: string, bar: KnownBar): void {
    this.#bars.delete(name)
    this.#bars.set(name, bar)
    if (this.#bars.size > BARS_MAX) this.#bars.delete(this.#bars.keys().next().value!)
  }
}
