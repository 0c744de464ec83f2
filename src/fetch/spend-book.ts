import type { EpochMs } from '../model/time.ts'

/** Where requests leave for, and by which limits. */
export interface Address {
  readonly bucket: string
  /** `https://api.binance.com`: another address is not meant. */
  readonly origin: string
}

/** What an address may have counted. */
export interface Spend extends Address {
  /** When the last of it was over: it was counted no later. By this machine's clock, never later than now. */
  readonly atMs: EpochMs
  readonly weight: number
  readonly requests: number
}

/** Keeps what was spent beyond the process that spent it: one that is started next has the same windows to respect. */
export interface SpendBook {
  /** Of earlier processes, in no order. What was on its way when they ended counts as spent now. */
  readonly known: () => readonly Spend[]
  /** One request of `weight` is about to leave. Noted before it does, so that not even a kill loses it. Never throws. */
  readonly left: (address: Address, weight: number) => void
  /** It is over, answered or not. Never throws. */
  readonly over: (address: Address, weight: number) => void
}
