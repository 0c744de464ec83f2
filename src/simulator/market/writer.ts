const ZERO = 0x30
const powers = [1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8]

/** The four digits of 0 to 9,999, one after the other. */
const digits = new Uint8Array(40_000)
for (let i = 0; i < 10_000; i++) {
  digits[4 * i] = ZERO + Math.floor(i / 1000)
  digits[4 * i + 1] = ZERO + (Math.floor(i / 100) % 10)
  digits[4 * i + 2] = ZERO + (Math.floor(i / 10) % 10)
  digits[4 * i + 3] = ZERO + (i % 10)
}

/** Writes numbers as JSON text straight into bytes: several times faster than strings, and nothing to collect. */
export class RowWriter {
  readonly bytes: Uint8Array
  at = 0

  constructor(size: number) {
    this.bytes = Buffer.allocUnsafe(size)
  }

  byte(code: number): void {
    this.bytes[this.at++] = code
  }

  /** A whole number, 0 to 2^53. */
  whole(value: number): void {
    if (value >= 1e8) {
      const higher = Math.floor(value / 1e8)
      this.whole(higher)
      this.#eight((value - higher * 1e8) | 0)
      return
    }
    const small = value | 0
    const high = (small / 10_000) | 0
    if (high > 0) {
      this.#leading(high)
      this.#four(small - high * 10_000)
    } else this.#leading(small)
  }

  /**
   * `,"123.45600000"`: `value` counts units of `10^-scale` (scale up to 8), shown with `decimals` places, of which there
   * have to be at least as many as the scale, and at most 8.
   */
  decimalText(value: number, scale: number, decimals: number): void {
    this.bytes[this.at++] = 0x2c
    this.bytes[this.at++] = 0x22
    const power = powers[scale]!
    const whole = Math.floor(value / power)
    this.whole(whole)
    if (decimals > 0) {
      this.bytes[this.at++] = 0x2e
      const start = this.at
      this.#eight(((value - whole * power) * powers[8 - scale]!) | 0)
      this.at = start + decimals // what was written beyond it is written over
    }
    this.bytes[this.at++] = 0x22
  }

  #eight(value: number): void {
    const high = (value / 10_000) | 0
    this.#four(high)
    this.#four(value - high * 10_000)
  }

  #four(value: number): void {
    const { bytes } = this
    const from = 4 * value
    const at = this.at
    bytes[at] = digits[from]!
    bytes[at + 1] = digits[from + 1]!
    bytes[at + 2] = digits[from + 2]!
    bytes[at + 3] = digits[from + 3]!
    this.at = at + 4
  }

  /** 0 to 9,999 without zeros in front. */
  #leading(value: number): void {
    const skip = value >= 1000 ? 0 : value >= 100 ? 1 : value >= 10 ? 2 : 3
    for (let i = 4 * value + skip; i < 4 * value + 4; i++) this.bytes[this.at++] = digits[i]!
  }
}
