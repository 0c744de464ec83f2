import type { EpochMs } from '../model/time.ts'

/** A refusal as it stands: no request to this address before it ends. Times by this machine's clock. */
export interface Ban {
  readonly bucket: string
  /** `https://api.binance.com`: another address is not meant. */
  readonly origin: string
  readonly kind: 'rate-limited' | 'banned'
  readonly sinceMs: EpochMs
  readonly untilMs: EpochMs
}

/** Keeps refusals beyond the process that met them: one that is started again must not ask before they end. */
export interface BanBook {
  readonly known: () => readonly Ban[]
  /** Replaces what is known of the same bucket and origin. Never throws: who cannot keep it asks once too often. */
  readonly note: (ban: Ban) => void
}

/** How long a ban has to be heeded yet. A clock that went back since makes that no longer than the ban itself. */
export const banLeftMs = ({ sinceMs, untilMs }: Ban, nowMs: EpochMs): number =>
  Math.max(0, Math.min(untilMs - nowMs, untilMs - sinceMs))
