import type { EpochMs } from '../../model/time.ts'
import { compareDecimals, readDecimal, shareOf, sumDecimals, writeDecimal } from './decimal.ts'
import type { KlineRow } from './rows.ts'

/** One aggregate trade of a bar. */
export interface BarTrade {
  readonly price: string
  readonly quantity: string
  readonly timeMs: EpochMs
  /** How many trades it stands for. */
  readonly trades: number
  readonly buyerIsMaker: boolean
}

/**
 * Trades that make exactly this bar: its first at the open, its last at the close, high and low between, quantities
 * that add up to the volume. At most four; none for a bar without volume.
 */
export function tradesOfBar(row: KlineRow): BarTrade[] {
  const volume = readDecimal(row[5])
  if (volume.units <= 0n) return []
  const rises = compareDecimals(row[4], row[1]) >= 0
  const path = (rises ? [row[1], row[3], row[2], row[4]] : [row[1], row[2], row[3], row[4]]).filter(
    (price, i, all) => i === 0 || price !== all[i - 1],
  )
  const count = BigInt(path.length)
  const each = volume.units / count
  const widthMs = row[6] + 1 - row[0]
  const tradesEach = Math.floor(Math.max(row[8], path.length) / path.length)
  return path.map((price, i) => {
    const last = i === path.length - 1
    const units = last ? volume.units - each * (count - 1n) : each
    return {
      price,
      quantity: writeDecimal({ units, places: volume.places }),
      timeMs: row[0] + Math.floor((widthMs * (2 * i + 1)) / (2 * path.length)),
      trades: last ? Math.max(row[8], path.length) - tradesEach * (path.length - 1) : tradesEach,
      buyerIsMaker: i % 2 === 1,
    }
  })
}

/**
 * A bar as it stands at `nowMs`, before its close: made of the trades so far. Before the first it is flat at its open,
 * without volume. The close time is that of the whole bar, as the venue sends it.
 */
export function formingRow(row: KlineRow, nowMs: EpochMs): KlineRow {
  const soFar = tradesOfBar(row).filter((trade) => trade.timeMs <= nowMs)
  const zero = shareOf(row[5], 0n, 1n)
  const volume = soFar.length === 0 ? zero : sumDecimals(soFar.map((trade) => trade.quantity))
  const part = readDecimal(volume).units
  const whole = readDecimal(row[5]).units
  const prices = soFar.map((trade) => trade.price).sort(compareDecimals)
  return [
    row[0],
    row[1],
    prices.at(-1) ?? row[1],
    prices[0] ?? row[1],
    soFar.at(-1)?.price ?? row[1],
    volume,
    row[6],
    shareOf(row[7], part, whole),
    soFar.reduce((sum, trade) => sum + trade.trades, 0),
    shareOf(row[9], part, whole),
    shareOf(row[10], part, whole),
    row[11],
  ]
}
