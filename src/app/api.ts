import type { GapClass } from '../coverage/gap-class.ts'
import type { Recovery } from '../model/errors.ts'
import type { Finding } from '../model/finding.ts'
import type { Series } from '../model/series.ts'
import type { EpochMs, TimeRange } from '../model/time.ts'
import type { When } from '../model/when.ts'
import type { Fault } from '../pipeline/fault.ts'
import type { Compacted } from '../store/lake.ts'

export type { GapClass } from '../coverage/gap-class.ts'
export type { When } from '../model/when.ts'
export type { Fault } from '../pipeline/fault.ts'

/** Which series, and which part of each. Without `from`: what was asked for before, else `listing`; without `to`: now. */
export interface Selection {
  readonly series: readonly Series[]
  readonly from?: When
  readonly to?: When
  /** By `seriesId`: a series' own ends, from the configuration. Where present, they win over `from` and `to`. */
  /** Answered slices to ask the venue about again: an audit. */
  readonly recheck?:
    | { readonly kind: 'range'; readonly range: TimeRange }
    | { readonly kind: 'share'; readonly share: number }
  readonly perSeries?: ReadonlyMap<string, { readonly from?: When; readonly to?: When }>
}

/** A run of missing bars of one class. */
export interface Gap {
  readonly series: string
  readonly class: GapClass
  /** From the first missing open time to the one after the last. */
  readonly range: TimeRange
  readonly bars: number
  /** What shows it, in a few words. */
  readonly evidence: string
}

export interface Problem {
  readonly code: string
  readonly message: string
  readonly hint: string
  readonly path?: string
  /** Of the error behind it: `retry` problems alone make a run temporary (exit 5). */
  readonly recovery?: Recovery
}

export interface SeriesPlan {
  readonly series: string
  readonly endpoint: string
  readonly range: TimeRange
  /** Slices the range needs, and how many of them need a request. */
  readonly slices: number
  readonly toFetch: number
  /** Archived but not in every store: settled again without the network. */
  readonly toReplay: number
  readonly requests: number
  readonly weight: number
}

export interface PlanReport {
  readonly series: readonly SeriesPlan[]
  readonly requests: number
  readonly weight: number
  /** From the venue's rate budget alone: it cannot be faster. */
  readonly etaMs: number
  readonly archiveBytes: number
  readonly problems: readonly Problem[]
}

export interface SeriesReport {
  readonly series: string
  /** `null` when it failed before the range was known. */
  readonly range: TimeRange | null
  readonly slices: {
    readonly planned: number
    readonly fetched: number
    /** Archived answers given to stores that lacked them; one that two stores lacked counts twice. */
    readonly replayed: number
    readonly failed: number
    readonly quarantined: number
    readonly partial: number
  }
  readonly bars: { readonly inserted: number; readonly revised: number; readonly unchanged: number }
  /** Missing bars by class, classes without any left out. */
  readonly missing: { readonly [name in GapClass]?: number }
  readonly findings: { readonly [name in Finding['kind']]?: number }
  readonly complete: boolean
  readonly problems: readonly Problem[]
}

/** What became of an import of many instruments. */
export interface KiteSummary {
  readonly instruments: number
  /** Complete without a request. */
  readonly upToDate: number
  readonly fetched: number
  readonly failed: number
  /** The venue does not know them, or has nothing of them. */
  readonly skipped: readonly { readonly series: string; readonly code: string; readonly message: string }[]
  readonly inserted: number
  readonly updated: number
  /** Not one of them is complete. */
  readonly allFailed: boolean
}

export interface SyncReport {
  readonly runId: string
  readonly series: readonly SeriesReport[]
  readonly requests: number
  readonly weight: number
  readonly retries: number
  readonly durationMs: number
  /** Nothing asked for is never fetched, failed, quarantined or not yet final. */
  readonly complete: boolean
  readonly interrupted: boolean
  /** Where the configuration's `kite` block was imported. */
  readonly kite?: KiteSummary
}

export interface SeriesStatus {
  readonly series: string
  readonly endpoint: string
  readonly firstMs: EpochMs | null
  readonly lastMs: EpochMs | null
  readonly bars: number
  /** What was asked for so far. */
  readonly wanted: readonly TimeRange[]
  readonly slices: Readonly<Record<string, number>>
  readonly missing: { readonly [name in GapClass]?: number }
  /** Expected bars that are stored or whose absence is settled, 0 to 1. */
  readonly coverage: number
  readonly complete: boolean
  /** Slices each store is behind the archive. */
  readonly behind: Readonly<Record<string, number>>
  /**
   * End of the last bar that is due: final, and in a session. `null` for a series that was never asked for, and before
   * its first bar is due; so are the other two.
   */
  readonly dueMs: EpochMs | null
  /** From the end of what is there to `dueMs`, without the time in which the market was closed; 0 when level. */
  readonly lagMs: number | null
  /** How long the first bar of the lag has been due; 0 when level. */
  readonly overdueMs: number | null
}

export interface VerifyReport {
  readonly series: readonly {
    readonly series: string
    readonly range: TimeRange
    readonly expected: number
    readonly present: number
    readonly missing: { readonly [name in GapClass]?: number }
    /** Slices and facts a run that was interrupted has left for the next one. */
    readonly unsettled: number
    readonly complete: boolean
  }[]
  /** Corruption: exit 4. The first thousand of each series. */
  readonly faults: readonly Fault[]
  readonly faultCount: number
  readonly complete: boolean
  /** Whether answers were decoded again and compared bar for bar, asked for or because the ledger gave cause to. */
  readonly deep: boolean
  readonly slicesChecked: number
  readonly filesChecked: number
  readonly barsChecked: number
}

/** What is left of what certificates say. */
export interface AgainstReport {
  readonly certificates: readonly {
    readonly file: string
    readonly madeAt: string
    /** The version that made it. */
    readonly everybar: string
    readonly digest: string
  }[]
  readonly series: readonly {
    readonly series: string
    readonly range: TimeRange
    readonly slices: number
    /** Slices with a newer answer since; the certified one is kept beside it. */
    readonly superseded: number
    readonly files: number
    /** Files written anew since, with the same bars. */
    readonly rewritten: number
    readonly bars: number
  }[]
  /** The first thousand differences. */
  readonly faults: readonly Fault[]
  readonly faultCount: number
  /** Nothing differs, and what was certified was complete. */
  readonly complete: boolean
}

/** What `repair` does, or would do, for one series. */
export interface SeriesRepairReport {
  readonly series: string
  /** Slices asked for again, and what that weighs. */
  readonly requests: number
  readonly weight: number
  /** Their composite keys. */
  readonly slices: readonly string[]
  /** Records of the ledger made again from the archive. */
  readonly records: number
  /** Months of the first store settled again from the archive. */
  readonly months: readonly TimeRange[]
  /** Older answers that are gone for good: the loss is noted, and told no more. */
  readonly lost: readonly string[]
}

export interface RepairReport {
  readonly dryRun: boolean
  readonly series: readonly SeriesRepairReport[]
  /** Files moved to `.everybar/quarantine/`, relative to the root. */
  readonly setAside: readonly string[]
  /** Whether the ledger is made again from the archive as a whole. */
  readonly rebuildsLedger: boolean
  readonly requests: number
  readonly weight: number
  /** Faults found at first. */
  readonly faultCount: number
  readonly problems: readonly Problem[]
  /** The proof afterwards; with `dryRun`, the one the plan was made from. */
  readonly proof: VerifyReport
}

export interface RebuildReport {
  readonly ledger: boolean
  /** Names of the stores made again. */
  readonly stores: readonly string[]
  readonly series: readonly {
    readonly series: string
    readonly slices: number
    readonly months: number
  }[]
  readonly setAside: readonly string[]
  /** Bars a store refused, and stores that could not be levelled: they are tried again by the next run. */
  readonly problems: readonly Problem[]
}

/** What a compaction of the lake did; zeros when there was nothing to fold. */
export type CompactReport = Compacted

/** Progress a person may watch; sent as events named `progress`. */
export interface Progress {
  readonly phase: 'fetch' | 'settle' | 'verify' | 'export'
  readonly done: number
  readonly total: number
  readonly bars: number
  readonly weightUsed: number
  readonly weightCapacity: number
}

/** The ends wished for one series: its own from the configuration, else the selection's. */
export function endsFor(
  { from, to, perSeries }: Partial<Selection>,
  seriesId: string,
): { from?: When; to?: When } {
  const own = perSeries?.get(seriesId)
  const [start, end] = [own?.from ?? from, own?.to ?? to]
  return { ...(start && { from: start }), ...(end && { to: end }) }
}
