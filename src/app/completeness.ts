import type { EpochMs } from '../model/time.ts'
import type { Selection } from './api.ts'
import type { OpenHouse } from './house.ts'
import { syncAll } from './sync.ts'

/** How the passes that look for gaps stand. */
export interface PassState {
  readonly passes: number
  readonly running: boolean
  readonly lastStartedAtMs: EpochMs | null
  readonly lastEndedAtMs: EpochMs | null
  /** Whether nothing was left open by the last one, and no series left out of it; `null` before the first has ended. */
  readonly lastComplete: boolean | null
}

/** What a pass is to make complete. */
export interface Wanted {
  readonly selection: Selection
  /** Whether no series was left out, for want of a beginning. */
  readonly isAll: boolean
}

export interface PassOptions {
  /** Between the end of one pass and the start of the next. */
  readonly everyMs: number
  /** Once aborted what is under way is finished, and nothing begins. */
  readonly stop: AbortSignal
  /** What is to be made complete now; asked before each pass. */
  readonly wanted: () => Wanted
}

export interface Passes {
  readonly state: () => PassState
  /** Resolves when it was stopped. Rejects with what ends a sync: the ledger's own errors. */
  readonly done: Promise<void>
}

/**
 * Compares what should be there with what is, and fetches what lacks, again and again: what an outage, a failed request
 * or an evicted answer has left behind is filled without a person. The first pass begins after `everyMs`. Each is a run in
 * the ledger; what happens to one series is in its report.
 */
export function keepComplete(house: OpenHouse, { everyMs, stop, wanted }: PassOptions): Passes {
  let state: PassState = {
    passes: 0,
    running: false,
    lastStartedAtMs: null,
    lastEndedAtMs: null,
    lastComplete: null,
  }
  const { clock } = house
  const run = async () => {
    for (;;) {
      await clock.sleep(everyMs, stop).catch(() => {})
      if (stop.aborted) return
      const { selection, isAll } = wanted()
      if (selection.series.length === 0) continue
      state = { ...state, running: true, lastStartedAtMs: clock.nowMs() }
      // A signal of its own: what listens to it goes with the pass.
      const options = { command: 'completeness', keep: 'notable' } as const
      const report = await syncAll(house, selection, AbortSignal.any([stop]), options)
      state = {
        ...state,
        passes: state.passes + 1,
        running: false,
        lastEndedAtMs: clock.nowMs(),
        lastComplete: report.complete && isAll,
      }
    }
  }
  return { state: () => state, done: run() }
}
