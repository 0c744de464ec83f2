import { DAY_MS, type EpochMs, HOUR_MS, MINUTE_MS } from '../../model/time.ts'
import { fixedWidthMs, floorToBar, nextOpen, shiftBars, type Timeframe } from '../../model/timeframe.ts'
import type { BlockCache } from './cache.ts'
import { compareDecimals, sumDecimals } from './decimal.ts'
import { type BarSeries, type Block, blockOfRows, type KlineRow, rowsOfPage, selectRows } from './rows.ts'

/** 2017-08-17, the day spot trading began. The venue documents no anchor for `3d`; this one fits its spot bars. */
const THREE_DAY_ANCHOR_MS = Date.UTC(2017, 7, 17)

const grid = (interval: Timeframe, ms: EpochMs): EpochMs =>
  floorToBar(interval, ms, interval === '3d' ? THREE_DAY_ANCHOR_MS : undefined)

/** Bars of one block: enough to serve a page of short bars from few blocks, few enough that a year needs no minute. */
function barsPerBlock(interval: Timeframe): number {
  const width = fixedWidthMs(interval) ?? 31 * DAY_MS
  if (width <= 15 * MINUTE_MS) return 500
  if (width <= HOUR_MS) return 240
  return width < DAY_MS ? 60 : 1
}

/**
 * Wider bars made of the bars of `base`: first open, last close, highest high, lowest low, exact sums. A bar none of
 * whose minutes has a row is absent. `undefined` for an interval narrower than the base.
 */
export function aggregatedSeries(
  base: BarSeries,
  interval: Timeframe,
  cache: BlockCache,
  key: string,
): BarSeries | undefined {
  const width = fixedWidthMs(interval)
  if (width !== undefined && width <= (fixedWidthMs(base.interval) ?? 0)) return undefined
  const startMs = grid(interval, base.startMs)
  const bars = barsPerBlock(interval)
  const blockStart = (ms: EpochMs): EpochMs => {
    if (bars === 1 || width === undefined) return grid(interval, ms)
    return Math.max(startMs, Math.floor(ms / (width * bars)) * width * bars)
  }
  const endMs = Number.isFinite(base.endMs)
    ? nextOpen(interval, grid(interval, base.endMs - 1))
    : Number.POSITIVE_INFINITY
  const range = { fromMs: 0, limit: Number.POSITIVE_INFINITY, keep: 'oldest' } as const
  return {
    interval,
    startMs,
    endMs,
    block: (ms) => {
      const from = blockStart(ms)
      const to =
        bars === 1 || width === undefined
          ? shiftBars(interval, from, 1)
          : (Math.floor(from / (width * bars)) + 1) * width * bars
      return cache.get(`${key}:${from}`, async () => aggregateBlock(base, interval, from, to))
    },
    forming: async (row, nowMs) => {
      const page = await selectRows(base, { ...range, fromMs: row[0], toMs: Math.min(row[6], nowMs) })
      const parts = rowsOfPage(page)
      const last = parts.at(-1)
      if (last && last[6] >= nowMs) parts[parts.length - 1] = await base.forming(last, nowMs)
      return parts.length === 0 ? row : aggregateRows(parts, row[0], row[6])
    },
  }
}

async function aggregateBlock(
  base: BarSeries,
  interval: Timeframe,
  fromMs: EpochMs,
  toMs: EpochMs,
): Promise<Block> {
  const page = await selectRows(base, {
    fromMs,
    toMs: toMs - 1,
    limit: Number.POSITIVE_INFINITY,
    keep: 'oldest',
  })
  const rows: KlineRow[] = []
  let parts: KlineRow[] = []
  let openMs = -1
  const flush = () => {
    if (parts.length > 0) rows.push(aggregateRows(parts, openMs, nextOpen(interval, openMs) - 1))
    parts = []
  }
  for (const row of rowsOfPage(page)) {
    const bar = grid(interval, row[0])
    if (bar !== openMs) flush()
    openMs = bar
    parts.push(row)
  }
  flush()
  return blockOfRows(rows, fromMs, toMs)
}

function aggregateRows(parts: readonly KlineRow[], openMs: EpochMs, closeMs: EpochMs): KlineRow {
  const best = (column: 2 | 3, sign: 1 | -1): string =>
    parts.reduce(
      (kept, row) => (compareDecimals(row[column], kept) * sign > 0 ? row[column] : kept),
      parts[0]![column],
    )
  const sum = (column: 5 | 7 | 9 | 10): string => sumDecimals(parts.map((row) => row[column]))
  return [
    openMs,
    parts[0]![1],
    best(2, 1),
    best(3, -1),
    parts.at(-1)![4],
    sum(5),
    closeMs,
    sum(7),
    parts.reduce((count, row) => count + row[8], 0),
    sum(9),
    sum(10),
    '0',
  ]
}
