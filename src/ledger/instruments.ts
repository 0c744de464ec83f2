import type { InstrumentEntry, InstrumentLine } from '../model/instrument-line.ts'
import type { EpochMs } from '../model/time.ts'

/** What a new list changed. */
export interface InstrumentChanges {
  readonly listed: number
  readonly added: number
  /** Entries whose name, expiry, lot or the like are other ones now. */
  readonly changed: number
  readonly unchanged: number
  /** Gone before, and listed again. */
  readonly returned: number
  readonly expired: readonly InstrumentEntry[]
  /** Tokens that another symbol has now. */
  readonly newOwners: readonly { readonly token: string; readonly from: string; readonly to: string }[]
  /** Symbols that another token stands for now. */
  readonly newTokens: readonly {
    readonly exchange: string
    readonly symbol: string
    readonly from: string
    readonly to: string
  }[]
}

/** Entries that fit all that is given; lists match any of their words, in either case. */
export interface InstrumentFilter {
  readonly venue?: string
  readonly types?: readonly string[]
  readonly exchanges?: readonly string[]
  readonly segments?: readonly string[]
  /** `*` is any characters, `?` one. */
  readonly symbols?: readonly string[]
  /** Days, both included; what does not expire fits neither. */
  readonly expiryFrom?: string
  readonly expiryTo?: string
  /** Those no longer listed: left out unless said, `only`, or `also`. */
  readonly gone?: 'only' | 'also'
}

/**
 * The instruments of venues, past and present. One process writes at a time. Every method may throw EverybarError
 * `ledger.corrupt`, `ledger.disk-full`, `ledger.not-writable`, `ledger.busy` or `ledger.newer-version` (abort).
 */
export interface InstrumentBook extends Disposable {
  /**
   * Takes a venue's list in, all or nothing. Entries of `exchanges` that are not in it are kept, as gone. A token that
   * comes twice keeps its later line.
   *
   * @throws EverybarError `ledger.list-too-short` (abort): it has less than half of what was listed on an exchange;
   *   `accept` takes it all the same.
   */
  update(
    venue: string,
    lines: readonly InstrumentLine[],
    options: { readonly seenAtMs: EpochMs; readonly exchanges: readonly string[]; readonly accept?: boolean },
  ): InstrumentChanges

  /** By exchange, then symbol. */
  list(filter?: InstrumentFilter): readonly InstrumentEntry[]

  /** When the venue's list was last taken in; `undefined` for never. */
  lastSeenMs(venue: string): EpochMs | undefined
}
