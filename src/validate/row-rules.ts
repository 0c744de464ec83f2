import { type BarBatch, fieldsOf, type NativeField, type PriceField, priceFields } from '../model/bar.ts'

/** Why a row is rejected. */
export interface RowFault {
  readonly kind: 'bad-number' | 'bad-ohlc' | 'negative'
  readonly detail: string
}

/** Native fields that are whole numbers; the others are volumes. */
const wholeFields: ReadonlySet<NativeField> = new Set(['closeTimeMs', 'trades'])

/**
 * A test of one row after another, by position: `undefined` for a row that makes sense. Prices and volumes are finite
 * and not negative, low ≤ open, close ≤ high, times and counts are whole. A native value may be unknown (NaN).
 */
export function rowRules(rows: BarBatch): (i: number) => RowFault | undefined {
  const { open, high, low, close, volume } = rows
  const natives = fieldsOf(rows).map((field) => ({
    column: rows.native[field]!,
    whole: wholeFields.has(field),
  }))
  return (i) => {
    const top = high[i]!
    const bottom = low[i]!
    const first = open[i]!
    const last = close[i]!
    const traded = volume[i]!
    // Written so that a NaN anywhere makes it false: every comparison with NaN is.
    let sound =
      first <= top &&
      last <= top &&
      first >= bottom &&
      last >= bottom &&
      bottom >= 0 &&
      top < Number.POSITIVE_INFINITY
    sound &&= traded >= 0 && traded < Number.POSITIVE_INFINITY
    for (let n = 0; sound && n < natives.length; n++) {
      const { column, whole } = natives[n]!
      const value = column[i]!
      if (!Number.isNaN(value))
        sound = value >= 0 && value < Number.POSITIVE_INFINITY && (!whole || value % 1 === 0)
    }
    return sound ? undefined : faultOf(rows, i)
  }
}

/** What is wrong with a row known to be unsound. */
function faultOf(rows: BarBatch, i: number): RowFault {
  for (const field of priceFields) {
    const value = rows[field][i]!
    if (!Number.isFinite(value)) return { kind: 'bad-number', detail: `${field} is ${value}` }
  }
  for (const field of fieldsOf(rows)) {
    const value = rows.native[field]![i]!
    const fraction = wholeFields.has(field) && value % 1 !== 0
    if (!Number.isNaN(value) && (!Number.isFinite(value) || fraction)) {
      return { kind: 'bad-number', detail: `${field} is ${value}` }
    }
    if (value < 0) return { kind: 'negative', detail: `${field} ${value}` }
  }
  for (const field of priceFields) {
    if (rows[field][i]! < 0) return { kind: 'negative', detail: `${field} ${rows[field][i]}` }
  }
  return { kind: 'bad-ohlc', detail: ohlcDetail(rows, i) }
}

function ohlcDetail(rows: BarBatch, i: number): string {
  const high = rows.high[i]!
  const low = rows.low[i]!
  if (high < low) return `high ${high} < low ${low}`
  const outside: PriceField = rows.open[i]! > high || rows.open[i]! < low ? 'open' : 'close'
  const value = rows[outside][i]!
  return value > high ? `${outside} ${value} > high ${high}` : `${outside} ${value} < low ${low}`
}
