const ZERO = 0x30
const powers = [1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8]

/** Writes numbers as JSON text straight into bytes: several times faster than strings, and nothing to collect. */
export class RowWriter {
  readonly bytes: Uint8Array
  at = 0
  readonly #digits = new Uint8Array(20)

  constructor(size: number) {
    this.bytes = Buffer.allocUnsafe(size)
  }

  byte(code: number): void {
    this.bytes[this.at++] = code
  }

  /** A whole number, 0 to 2^53. */
  whole(value: number): void {
    let count = 0
    let rest = value
    while (rest >= 1e9) {
      const higher = Math.floor(rest / 1e8)
      let low = (rest - higher * 1e8) | 0
      for (let i = 0; i < 8; i++) {
        const next = (low / 10) | 0
        this.#digits[count++] = low - next * 10
        low = next
      }
      rest = higher
    }
    let small = rest | 0
    do {
      const next = (small / 10) | 0
      this.#digits[count++] = small - next * 10
      small = next
    } while (small > 0)
    while (count > 0) this.bytes[this.at++] = ZERO + this.#digits[--count]!
  }

  /**
   * `,"123.45600000"`: `value` counts units of `10^-scale` (scale up to 8), shown with `decimals` places.
   * `decimals` has to be at least `scale`.
   */
  decimalText(value: number, scale: number, decimals: number): void {
    this.bytes[this.at++] = 0x2c
    this.bytes[this.at++] = 0x22
    const power = powers[scale]!
    const whole = Math.floor(value / power)
    this.whole(whole)
    if (decimals > 0) {
      this.bytes[this.at++] = 0x2e
      let fraction = (value - whole * power) | 0
      for (let i = this.at + scale - 1; i >= this.at; i--) {
        const next = (fraction / 10) | 0
        this.bytes[i] = ZERO + fraction - next * 10
        fraction = next
      }
      this.at += scale
      for (let i = scale; i < decimals; i++) this.bytes[this.at++] = ZERO
    }
    this.bytes[this.at++] = 0x22
  }
}
