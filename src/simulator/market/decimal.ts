/** A decimal number without loss: `units` of `10^-places`. */
export interface Decimal {
  readonly units: bigint
  readonly places: number
}

/** Reads `-12.340`; the places are those written. Exponents and anything else throw a SyntaxError. */
export function readDecimal(text: string): Decimal {
  const point = text.indexOf('.')
  if (point < 0) return { units: BigInt(text), places: 0 }
  return { units: BigInt(text.slice(0, point) + text.slice(point + 1)), places: text.length - point - 1 }
}

export function writeDecimal({ units, places }: Decimal): string {
  const sign = units < 0n ? '-' : ''
  const digits = String(units < 0n ? -units : units).padStart(places + 1, '0')
  return places === 0
    ? sign + digits
    : `${sign}${digits.slice(0, digits.length - places)}.${digits.slice(digits.length - places)}`
}

export const scaled = ({ units, places }: Decimal, to: number): bigint => units * 10n ** BigInt(to - places)

/** The exact sum of decimals that are not negative, with the most places any has. Whole parts up to 2^53 in sum. */
export function sumDecimals(texts: readonly string[]): string {
  let whole = 0
  const fractions: number[] = []
  for (const text of texts) {
    const point = text.indexOf('.')
    whole += Number(point < 0 ? text : text.slice(0, point))
    const places = point < 0 ? 0 : text.length - point - 1
    if (places > 0) fractions[places] = (fractions[places] ?? 0) + Number(text.slice(point + 1))
  }
  const places = Math.max(0, fractions.length - 1)
  let units = scaled({ units: BigInt(whole), places: 0 }, places)
  fractions.forEach((sum, at) => {
    units += scaled({ units: BigInt(sum), places: at }, places)
  })
  return writeDecimal({ units, places })
}

export function subtractDecimals(from: string, what: string): string {
  const [a, b] = [readDecimal(from), readDecimal(what)]
  const places = Math.max(a.places, b.places)
  return writeDecimal({ units: scaled(a, places) - scaled(b, places), places })
}

/** Negative, zero or positive, as `a` is below, at or above `b`. Exact: doubles decide only where they differ. */
export function compareDecimals(a: string, b: string): number {
  const difference = Number(a) - Number(b)
  if (difference !== 0 || a === b) return difference
  const [x, y] = [readDecimal(a), readDecimal(b)]
  const places = Math.max(x.places, y.places)
  const [left, right] = [scaled(x, places), scaled(y, places)]
  return left < right ? -1 : left > right ? 1 : 0
}

/** `text × numerator / denominator`, rounded down, in as many places. */
export function shareOf(text: string, numerator: bigint, denominator: bigint): string {
  const { units, places } = readDecimal(text)
  return writeDecimal({ units: denominator === 0n ? 0n : (units * numerator) / denominator, places })
}
