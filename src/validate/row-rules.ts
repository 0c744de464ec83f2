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
  // A column that is sound throughout, as most are, need not be looked at row by row.
  const natives = fieldsOf(rows)
    .map((field) => ({ column: rows.native[field]!, whole: wholeFields.has(field) }))
    .filter(({ column, whole }) => !isSound(column, whole))
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
      sound = isSoundNative(column[i]!, whole)
    }
    return sound ? undefined : faultOf(rows, i)
  }
}

function isSound(column: Float64Array, whole: boolean): boolean {
  for (let i = 0; i < column.length; i++) {
    if (!isSoundNative(column[i]!, whole)) return false
  }
  return true
}

/** Unknown (NaN), or finite, not negative, and without a fraction where it has to be whole. */
const isSoundNative = (value: number, whole: boolean): boolean =>
  Number.isNaN(value) ||
  (value >= 0 && value < Number.POSITIVE_INFINITY && (!whole || Math.floor(value) === value))

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
