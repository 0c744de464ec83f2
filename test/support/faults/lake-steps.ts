import type { BarBatch } from '../../../src/model/bar.ts'
import { parseSeries, type Series } from '../../../src/model/series.ts'
import { minuteBars } from '../../../src/testing/store-samples.ts'

export const liveSeries = ['BTCUSDT', 'ETH/USDT'].map((symbol) => parseSeries(`test:spot:${symbol}:1m`))
const [btc, eth] = liveSeries as [Series, Series]

/** Minute 60 is the first of a month. BTC has a history, ETH has none. */
export const history: BarBatch = minuteBars(40, 57)
const revised = (from: number, to: number) => minuteBars(from, to, () => ({ volume: 5 }))

/** The appends before the compaction and after it. */
export const steps: readonly (readonly (readonly [Series, BarBatch])[])[] = [
  [
    [btc, minuteBars(57, 58)],
    [eth, minuteBars(57, 58)],
  ],
  [
    [btc, minuteBars(57, 59)],
    [eth, minuteBars(58, 61)],
  ],
  [[btc, revised(58, 62)]],
  [
    [btc, minuteBars(62, 63)],
    [eth, minuteBars(61, 62)],
  ],
]
