/**
 * Something that happened, for logs, progress and metrics. `event` is a fixed word; the other fields are data, never
 * prose, and never hold a secret.
 */
export interface EverybarEvent {
  readonly event: string
  readonly level?: 'debug' | 'info' | 'warn' | 'error'
  readonly [field: string]: unknown
}

/** Where a room says what happened. Must not throw and must not wait. */
export type OnEvent = (event: EverybarEvent) => void

export const silent: OnEvent = () => {}

/** Time as handed in. `nowMs` may step; `monotonicMs` never goes back and has no meaning but its differences. */
export interface Clock {
  readonly nowMs: () => number
  readonly monotonicMs: () => number
  /** Resolves after `ms`, rejects with the reason when `signal` aborts. */
  readonly sleep: (ms: number, signal?: AbortSignal) => Promise<void>
}
