import { type EpochMs, MINUTE_MS, type TimeRange } from '../../model/time.ts'
import { parseTimeframe } from '../../model/timeframe.ts'
import { aggregatedSeries } from './aggregate.ts'
import { BlockCache } from './cache.ts'
import type { Feed, Market } from './feed.ts'
import { applyRestatements, RestatementBook } from './restate.ts'
import type { BarSeries } from './rows.ts'
import { secondSeries } from './seconds.ts'
import { formingRow } from './trades.ts'
import { BLOCK_MS, type Walk, walkBlock, walkOf } from './walk.ts'

/** A made-up symbol. Everything left out is chosen from the seed. */
export interface SyntheticSymbol {
  readonly symbol: string
  /** Both markets when left out. */
  readonly market?: Market
  /** When its first bar opens; rounded up to a minute. */
  readonly listedMs?: EpochMs
  /** No bar opens at or after it. */
  readonly delistedMs?: EpochMs
  /** The price the walk wanders around. */
  readonly price?: number
  /** Share of minutes without a trade, 0 to 1: 0.02. They are sent as zero-volume bars. */
  readonly quietShare?: number
  /** Trading suspended: no bar opens in these. Added to the venue's outages. */
  readonly outages?: readonly TimeRange[]
  /** `TRADING`, or `BREAK` where it has a delisting time. */
  readonly status?: string
}

export interface SyntheticOptions {
  readonly symbols: readonly (string | SyntheticSymbol)[]
  readonly seed: number
  /** Listing time of symbols that name none. */
  readonly listedMs: EpochMs
  readonly outages: readonly TimeRange[]
  readonly cacheBytesMax: number
}

const minute = parseTimeframe('1m')

/**
 * A seeded random walk per symbol and market. Any bar can be made without those before it, and the same seed, symbol
 * and market give the same bars, whatever was asked before.
 */
export function syntheticFeed(options: SyntheticOptions): Feed {
  const cache = new BlockCache(options.cacheBytesMax)
  const walks = new Map<string, Walk>()
  for (const given of options.symbols) {
    const symbol = typeof given === 'string' ? { symbol: given } : given
    for (const market of symbol.market ? [symbol.market] : (['spot', 'um'] as const))
      walks.set(`${market}:${symbol.symbol}`, walkOf(symbol, market, options))
  }
  const book = new RestatementBook()
  const minutes = (key: string, { listing }: Walk): BarSeries => ({
    interval: minute,
    startMs: Math.ceil(listing.onboardMs / MINUTE_MS) * MINUTE_MS,
    endMs: listing.delistedMs ?? Number.POSITIVE_INFINITY,
    block: (ms) => {
      const index = Math.floor(ms / BLOCK_MS)
      return cache.get(`${key}:1m:${index}`, () =>
        applyRestatements(walkBlock(walks.get(key)!, index), book.of(key)),
      )
    },
    forming: formingRow,
  })
  return {
    listings: [...walks.values()].map((walk) => walk.listing),
    series: (market, symbol, interval) => {
      const key = `${market}:${symbol}`
      const walk = walks.get(key)
      if (!walk) return undefined
      const base = minutes(key, walk)
      if (interval === '1s') return secondSeries(base, cache, `${key}:1s`)
      return interval === minute ? base : aggregatedSeries(base, interval, cache, `${key}:${interval}`)
    },
    restate: (change) => {
      const key = `${change.market ?? 'spot'}:${change.symbol}`
      book.add(key, change)
      cache.forget(`${key}:`)
    },
  }
}
