import type { DuckDBVector } from '@duckdb/node-api'

/** What a vector of fixed width holds. Not in its public type; the one fast way out, asserted below. */
interface RawVector {
  readonly items: Float64Array
  /** One bit a row, 0 for null; `null` when every row is there. */
  readonly validity: { readonly data: BigUint64Array | null; readonly offset: number }
}

/**
 * Copies a DOUBLE column into `out` from position `at`; null becomes NaN.
 *
 * @throws TypeError where the column is of another type, or DuckDB has changed its insides.
 */
export function copyDoubles(
  vector: DuckDBVector,
  from: number,
  count: number,
  out: Float64Array,
  at: number,
): void {
  const { items, validity } = vector as unknown as RawVector
  if (!(items instanceof Float64Array) || validity?.data === undefined) {
    throw new TypeError(`a column came as ${vector.constructor.name}, not as DOUBLE`)
  }
  out.set(from === 0 && count === items.length ? items : items.subarray(from, from + count), at)
  if (validity.data) blankNulls(validity.data, validity.offset + from, count, out, at)
}

function blankNulls(bits: BigUint64Array, from: number, count: number, out: Float64Array, at: number): void {
  const words = new Uint32Array(bits.buffer, bits.byteOffset, bits.length * 2)
  for (let i = 0; i < count; i++) {
    const bit = from + i
    if (((words[bit >>> 5]! >>> (bit & 31)) & 1) === 0) out[at + i] = Number.NaN
  }
}
