import { type Bar, type BarBatch, barsOf, batchFromBars, concatBatches } from '../model/bar.ts'
import type { Series } from '../model/series.ts'
import type { TimeRange } from '../model/time.ts'
import type { Store } from '../store/store.ts'

export const MINUTE = 60_000
export const start = Date.UTC(2024, 0, 31, 23, 0)
export const everything: TimeRange = { startMs: 0, endMs: Date.UTC(2100, 0, 1) }

/** Bars of minutes `from` up to `to` after 2024-01-31 23:00: minute 60 is the first of the next month. */
export function minuteBars(
  from: number,
  to: number,
  change: (minute: number) => Partial<Bar> = () => ({}),
): BarBatch {
  return batchFromBars(
    Array.from({ length: to - from }, (_, i) => {
      const price = 100 + ((from + i) % 17) / 10
      const bar = { openTimeMs: start + (from + i) * MINUTE, open: price, high: price + 1, low: price - 1 }
      return { ...bar, close: price, volume: from + i, ...change(from + i) }
    }),
  )
}

export const minutes = (from: number, to: number): TimeRange => ({
  startMs: start + from * MINUTE,
  endMs: start + to * MINUTE,
})

export async function contentOf(store: Store, series: Series, range = everything): Promise<BarBatch> {
  const runs: BarBatch[] = []
  for await (const run of store.scan(series, range)) runs.push(run)
  return concatBatches(runs)
}

export const rows = (batch: BarBatch) => barsOf(batch).map(plain)
/** A bar without native fields that say nothing: absent and unknown are the same. */
function plain({ native = {}, ...bar }: Bar): Bar {
  return {
    ...bar,
    native: Object.fromEntries(Object.entries(native).filter(([, value]) => !Number.isNaN(value))),
  }
}

/** Ids of series that differ by case, market, price kind or odd characters only. */
export const oddSeries = (venue: string): string[] =>
  [
    'BTCUSDT:1m',
    'btcusdt:1m',
    'BTCUSDT:1M',
    'BTC/USDT:1m',
    'BTC-USDT:1m',
    'BTC-2fUSDT:1m',
    'BTC/USDT:USDT:1m',
    "O'HARA:1m",
    '"Q";DROP TABLE bars;--:1m',
    '１２３４５６:1m',
    '../../etc/passwd:1m',
    'a%b_c*[d]?:1m',
    'x\\y:1m',
  ].flatMap((rest) => [`${venue}:spot:${rest}`, `${venue}:um:${rest}`, `${venue}:spot:${rest}@mark`])
