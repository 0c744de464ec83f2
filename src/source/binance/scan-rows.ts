import { allocateBatch, type BarBatch, pickBars, sliceBatch } from '../../model/bar.ts'
import { klineNative } from './columns.ts'

const QUOTE = 0x22
const COMMA = 0x2c
const MINUS = 0x2d
const DOT = 0x2e
const ZERO = 0x30
const OPEN = 0x5b
const CLOSE = 0x5d

const powersOfTen = Float64Array.from({ length: 23 }, (_, i) => Number(`1e${i}`))

/**
 * Reads a page straight from its bytes where every row is exactly as documented, without white space: `[1502942400000,
 * "4261.48000000", …]`. Four times as fast as JSON. `undefined` at the first thing that is otherwise, a value it could
 * not read exactly included: the caller then reads the whole page the careful way.
 *
 * @param rowsMax rows at most; a longer page is not read here.
 */
export function scanKlineRows(body: Uint8Array, rowsMax: number): BarBatch | undefined {
  const scan = new Scanner(body)
  if (!scan.take(OPEN)) return undefined
  const batch = allocateBatch(rowsMax, klineNative)
  let rows = 0
  do {
    if (rows === rowsMax || !readRow(scan, batch, rows)) return undefined
    rows++
  } while (scan.take(COMMA))
  if (!scan.take(CLOSE) || !scan.ended) return undefined
  const page = sliceBatch(batch, 0, rows)
  // A page far shorter than asked for would keep the memory of a full one.
  return rows * 2 < rowsMax
    ? pickBars(
        page,
        Uint32Array.from({ length: rows }, (_, i) => i),
      )
    : page
}

function readRow(scan: Scanner, batch: BarBatch, i: number): boolean {
  const { closeTimeMs, quoteVolume, trades, takerBuyBaseVolume, takerBuyQuoteVolume } = batch.native
  if (!scan.take(OPEN)) return false
  batch.openTimeMs[i] = scan.time()
  batch.open[i] = scan.text()
  batch.high[i] = scan.text()
  batch.low[i] = scan.text()
  batch.close[i] = scan.text()
  batch.volume[i] = scan.text()
  scan.comma()
  closeTimeMs![i] = scan.time()
  quoteVolume![i] = scan.text()
  scan.comma()
  trades![i] = scan.digits()
  takerBuyBaseVolume![i] = scan.text()
  takerBuyQuoteVolume![i] = scan.text()
  scan.text()
  return scan.take(CLOSE) && !scan.failed
}

/** A place in the bytes. The first thing that is not as it should be sets `failed` for good. */
class Scanner {
  failed = false
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get ended(): boolean {
    return this.#at === this.#bytes.length
  }

  /** Steps over `byte` if it is next. */
  take(byte: number): boolean {
    if (this.#bytes[this.#at] !== byte) return false
    this.#at++
    return true
  }

  comma(): void {
    if (this.#bytes[this.#at++] !== COMMA) this.failed = true
  }

  /** Thirteen digits: milliseconds from 2001 to 2286. */
  time(): number {
    const from = this.#at
    const value = this.digits()
    if (this.#at - from !== 13) this.failed = true
    return value
  }

  /** Digits without a leading zero, 15 at most, so that the sum is exact. */
  digits(): number {
    const bytes = this.#bytes
    const from = this.#at
    let at = from
    let value = 0
    for (let digit = bytes[at]! - ZERO; digit >= 0 && digit <= 9; digit = bytes[++at]! - ZERO) {
      value = value * 10 + digit
    }
    const length = at - from
    if (length === 0 || length > 15 || (length > 1 && bytes[from] === ZERO)) this.failed = true
    this.#at = at
    return value
  }

  /**
   * `,"-12.3400"`. A whole number below 2^53 divided by a power of ten up to 10^22 is rounded once, so it is the double
   * nearest to the decimal, as JSON gives it; anything longer fails.
   */
  text(): number {
    const bytes = this.#bytes
    let at = this.#at
    if (bytes[at] !== COMMA || bytes[at + 1] !== QUOTE) this.failed = true
    at += 2
    const negative = bytes[at] === MINUS
    if (negative) at++
    const from = at
    let value = 0
    let point = -1
    for (let byte = bytes[at]!; ; byte = bytes[++at]!) {
      const digit = byte - ZERO
      if (digit >= 0 && digit <= 9) value = value * 10 + digit
      else if (byte === DOT && point < 0 && at > from) point = at
      else break
    }
    const decimals = point < 0 ? 0 : at - point - 1
    const wrong = at === from || value > Number.MAX_SAFE_INTEGER || decimals > 22
    if (wrong || bytes[at] !== QUOTE) this.failed = true
    this.#at = at + 1
    const magnitude = decimals === 0 ? value : value / powersOfTen[decimals]!
    return negative ? -magnitude : magnitude
  }
}
