import type { DuckDBType, DuckDBValue, DuckDBValueConverter } from '@duckdb/node-api'
import type { Cell } from '../query.ts'

/** A number past which not every whole number has a float64 of its own. */
const SAFE = BigInt(Number.MAX_SAFE_INTEGER)

/**
 * DuckDB's value as a `Cell`. Told apart by shape, not by class, so that this file loads without DuckDB.
 */
export const toCell: DuckDBValueConverter<Cell> = (value, type) => cellOf(value, type)

function cellOf(value: DuckDBValue, type: DuckDBType): Cell {
  if (
    value === null ||
    typeof value === 'boolean' ||
    typeof value === 'number' ||
    typeof value === 'string'
  ) {
    return value
  }
  if (typeof value === 'bigint') return value <= SAFE && value >= -SAFE ? Number(value) : value
  if ('micros' in value && !('days' in value))
    return isTimeOfDay(type) ? String(value) : isoOf(value.micros, value)
  if ('millis' in value) return isoOf(value.millis * 1_000n, value)
  if ('seconds' in value && typeof value.seconds === 'bigint') return isoOf(value.seconds * 1_000_000n, value)
  if ('scale' in value && 'width' in value) return decimalOf(String(value))
  return nestedOf(value, type)
}

/** Lists, structs, maps and unions, by the types DuckDB gives their parts. */
function nestedOf(value: object, type: DuckDBType): Cell {
  const types = type as {
    readonly valueType?: DuckDBType
    readonly keyType?: DuckDBType
    entryTypes?: readonly DuckDBType[]
  }
  if ('items' in value && Array.isArray(value.items)) {
    return value.items.map((item) => cellOf(item, types.valueType!))
  }
  if ('entries' in value && Array.isArray(value.entries)) {
    const pairs = value.entries as readonly { readonly key: DuckDBValue; readonly value: DuckDBValue }[]
    return pairs.map((pair) => ({
      key: cellOf(pair.key, types.keyType!),
      value: cellOf(pair.value, types.valueType!),
    }))
  }
  if ('entries' in value && typeof value.entries === 'object' && value.entries !== null) {
    const fields = Object.entries(value.entries as Record<string, DuckDBValue>)
    return Object.fromEntries(fields.map(([name, part], i) => [name, cellOf(part, types.entryTypes![i]!)]))
  }
  return String(value)
}

const isTimeOfDay = (type: DuckDBType): boolean =>
  String(type).startsWith('TIME') && !String(type).startsWith('TIMESTAMP')

/** `2024-03-05T00:00:00Z`, with as many decimals as there are; DuckDB's own text for infinity and far years. */
function isoOf(micros: bigint, value: object): string {
  const rest = ((micros % 1_000_000n) + 1_000_000n) % 1_000_000n
  const seconds = Number((micros - rest) / 1_000_000n)
  if (Math.abs(seconds) > 8.64e12) return String(value)
  const decimals = rest === 0n ? '' : `.${String(rest).padStart(6, '0').replace(/000$/, '')}`
  return `${new Date(seconds * 1_000).toISOString().slice(0, -5)}${decimals}Z`
}

/** A number where that is exact: up to fifteen digits. */
const decimalOf = (text: string): Cell => (text.replace(/[-.]/g, '').length <= 15 ? Number(text) : text)
