import type { EpochMs } from '../../model/time.ts'
import type { Timeframe } from '../../model/timeframe.ts'
import type { BarSeries } from './rows.ts'

/** Binance's markets the simulator knows: spot, and USD-M futures. */
export type Market = 'spot' | 'um'

/** What a venue says of one symbol. */
export interface Listing {
  readonly market: Market
  readonly symbol: string
  readonly status: string
  /** When its first bar opened. */
  readonly onboardMs: EpochMs
  /** When it was or will be taken off, if ever. */
  readonly delistedMs?: EpochMs
  readonly priceDecimals: number
  readonly quantityDecimals: number
}

/** One bar the venue has corrected: what its row says from now on, by field. */
export interface Restatement {
  /** `spot` when left out. */
  readonly market?: Market
  readonly symbol: string
  /** Open time of a `1m` bar; wider bars made of it change with it. */
  readonly openTimeMs: EpochMs
  readonly open?: string
  readonly high?: string
  readonly low?: string
  readonly close?: string
  readonly volume?: string
}

/** Where a simulated venue's bars come from. */
export interface Feed {
  readonly listings: readonly Listing[]
  /** Bars of a listed symbol; `undefined` where the feed can neither read nor make that interval. */
  readonly series: (market: Market, symbol: string, interval: Timeframe) => BarSeries | undefined
  /** Changes one bar, for every answer from now on. A bar that is not there stays absent. */
  readonly restate: (change: Restatement) => void
}
