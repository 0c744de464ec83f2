import type { EpochMs } from './time.ts'

/** One line of a venue's list of instruments. */
export interface InstrumentLine {
  /** What the venue asks for it by. May be given to another instrument later. */
  readonly token: string
  readonly symbol: string
  /** The venue's part that lists it: `NSE`. */
  readonly exchange: string
  readonly exchangeToken: string
  readonly name: string
  /** `2024-01-25`; `null` for what does not expire. */
  readonly expiry: string | null
  readonly strike: number
  readonly tickSize: number
  readonly lotSize: number
  /** `EQ`, `FUT`, `CE`, `PE` … */
  readonly type: string
  readonly segment: string
}

/** A line with what is known of it over time. One token with one symbol on one exchange is one entry, for ever. */
export interface InstrumentEntry extends InstrumentLine {
  readonly venue: string
  /**
   * Its name in series: the symbol, or `SYMBOL#TOKEN` where an earlier instrument had the same symbol under another
   * token. So the bars of two owners of a symbol are never one series.
   */
  readonly seriesSymbol: string
  /** Its name where rows are named by token: the token, or `TOKEN:SYMBOL` where an earlier instrument had that token. */
  readonly tokenKey: string
  readonly firstSeenMs: EpochMs
  readonly lastSeenMs: EpochMs
  /** When a list first came without it; `null` while it is listed. */
  readonly goneMs: EpochMs | null
}
