import { type EpochMs, MINUTE_MS, SECOND_MS } from '../../model/time.ts'
import { parseTimeframe } from '../../model/timeframe.ts'
import type { BlockCache } from './cache.ts'
import { readDecimal, shareOf, subtractDecimals, sumDecimals } from './decimal.ts'
import { type BarSeries, blockOfRows, type KlineRow, lowerBound, rowAt } from './rows.ts'
import { formingRow, tradesOfBar } from './trades.ts'

const second = parseTimeframe('1s')

/** 960 seconds a block: about a page, in whole minutes. */
const BLOCK_MINUTES = 16

/**
 * The `1s` bars that make up made-up minutes exactly: a second with a trade of its minute, the others flat at the price
 * before them. A minute without a row has no seconds.
 */
export function secondSeries(base: BarSeries, cache: BlockCache, key: string): BarSeries {
  const width = BLOCK_MINUTES * MINUTE_MS
  return {
    interval: second,
    startMs: base.startMs,
    endMs: base.endMs,
    block: (ms) => {
      const startMs = Math.floor(ms / width) * width
      return cache.get(`${key}:${startMs}`, async () => {
        const rows: KlineRow[] = []
        for (let at = Math.max(startMs, base.startMs); at < startMs + width; at += MINUTE_MS) {
          const minute = at < base.endMs ? await minuteAt(base, at) : undefined
          if (minute) rows.push(...secondsOf(minute))
        }
        return blockOfRows(rows, startMs, startMs + width)
      })
    },
    forming: formingRow,
  }
}

async function minuteAt(base: BarSeries, ms: EpochMs): Promise<KlineRow | undefined> {
  const block = await base.block(ms)
  const index = lowerBound(block.times, ms)
  return block.times[index] === ms ? rowAt(block, index) : undefined
}

function secondsOf(minute: KlineRow): KlineRow[] {
  const trades = tradesOfBar(minute)
  const whole = readDecimal(minute[5]).units
  const zero = shareOf(minute[5], 0n, 1n)
  /** What was traded of a column up to so much of the volume; differences of these add up to the whole. */
  const upTo = (column: 7 | 9 | 10, volume: string) =>
    shareOf(minute[column], readDecimal(volume).units, whole)
  const rows: KlineRow[] = []
  let price = minute[1]
  let before = zero
  for (let openMs = minute[0]; openMs < minute[0] + MINUTE_MS; openMs += SECOND_MS) {
    const own = trades.filter((trade) => trade.timeMs >= openMs && trade.timeMs < openMs + SECOND_MS)
    const volume = sumDecimals([zero, ...own.map((trade) => trade.quantity)])
    const after = sumDecimals([before, volume])
    const part = (column: 7 | 9 | 10) => subtractDecimals(upTo(column, after), upTo(column, before))
    // No two trades of a minute share a second: there are four at most, evenly spread.
    price = own.at(-1)?.price ?? price
    const count = own.reduce((sum, trade) => sum + trade.trades, 0)
    const close = openMs + SECOND_MS - 1
    rows.push([
      openMs,
      price,
      price,
      price,
      price,
      volume,
      close,
      part(7),
      count,
      part(9),
      part(10),
      minute[11],
    ])
    before = after
  }
  return rows
}
