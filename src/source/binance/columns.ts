import type { NativeField } from '../../model/bar.ts'

/** The 12 columns of a kline row, in order, as the venue documents them. The last is unused and its value not kept. */
export const klineColumns = [
  'open time',
  'open',
  'high',
  'low',
  'close',
  'volume',
  'close time',
  'quote volume',
  'trades',
  'taker buy base volume',
  'taker buy quote volume',
  'unused',
] as const

/** What of it goes beyond OHLCV. */
export const klineNative: readonly NativeField[] = [
  'closeTimeMs',
  'quoteVolume',
  'trades',
  'takerBuyBaseVolume',
  'takerBuyQuoteVolume',
]
