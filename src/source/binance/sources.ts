import type { SyncSource } from '../source.ts'
import { klines } from './klines.ts'
import { umKlines } from './um-klines.ts'

export interface BinanceOptions {
  /**
   * Where `/api/v3` is; `https://api.binance.com` unless given. `https://data-api.binance.vision` serves the same
   * market data without the trading API. May have a path.
   */
  readonly baseUrl?: string
  /** Where `/fapi/v1` is; `baseUrl` where that is given, else `https://fapi.binance.com`. */
  readonly futuresBaseUrl?: string
}

/** The venue's bar endpoints: `binance.klines` and `binance.um-klines`. */
export function binanceSources(options: BinanceOptions = {}): readonly SyncSource[] {
  const { spot, futures } = binanceHosts(options)
  return [klines(spot), umKlines(futures)]
}

export function binanceHosts({ baseUrl, futuresBaseUrl }: BinanceOptions): { spot: string; futures: string } {
  return {
    spot: baseUrl ?? 'https://api.binance.com',
    futures: futuresBaseUrl ?? baseUrl ?? 'https://fapi.binance.com',
  }
}
