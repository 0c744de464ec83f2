import { hash, unit } from '../market/noise.ts'

/** An instrument of a simulated Kite. Days are Indian ones, `2024-03-05`. */
export interface SimulatedInstrument {
  readonly token: number
  readonly symbol: string
  /** `NSE` unless given. */
  readonly exchange?: string
  /** `EQ` unless given. */
  readonly type?: string
  /** The exchange unless given. */
  readonly segment?: string
  readonly name?: string
  readonly expiry?: string
  readonly lotSize?: number
  /** First day it is traded on. */
  readonly listed?: string
  /** Days it is not traded on: from, to, both included. */
  readonly suspended?: readonly (readonly [from: string, to: string])[]
  /** Share of minutes without a trade: 0.02 unless given. */
  readonly quietShare?: number
}

/** `count` shares, named as no real one is: `EVB0001` … Every tenth is listed on BSE. */
export function madeUpInstruments(count: number, seed: number): SimulatedInstrument[] {
  return Array.from({ length: count }, (_, i) => ({
    token: 1_000_001 + i * 256,
    symbol: `EVB${String(i + 1).padStart(4, '0')}`,
    exchange: i % 10 === 9 ? 'BSE' : 'NSE',
    name: `MADE UP, NO ${i + 1}`,
    listed: `${1996 + Math.floor(unit(hash(seed, i)) * 24)}-07-01`,
  }))
}

const header =
  'instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,segment,exchange'

/** The daily list as the venue sends it, one exchange or all. */
export function instrumentCsv(instruments: readonly SimulatedInstrument[], exchange?: string): string {
  const lines = instruments
    .filter((one) => exchange === undefined || (one.exchange ?? 'NSE') === exchange)
    .map((one) => {
      const { token, symbol, type = 'EQ', expiry = '', lotSize = 1, name = symbol } = one
      const of = one.exchange ?? 'NSE'
      const quoted = name.includes(',') ? `"${name}"` : name
      return `${token},${Math.floor(token / 256)},${symbol},${quoted},0.0,${expiry},0.0,0.05,${lotSize},${type},${one.segment ?? of},${of}`
    })
  return `${[header, ...lines].join('\n')}\n`
}
