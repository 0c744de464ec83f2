import type { Clock, OnEvent } from '../../model/events.ts'
import { type BanBook, banLeftMs } from '../ban-book.ts'
import type { SpendBook } from '../spend-book.ts'
import type { Bucket } from './bucket.ts'

export interface PastOptions {
  readonly bans?: BanBook
  readonly spends?: SpendBook
  readonly clock: Clock
  readonly onEvent: OnEvent
}

/** What processes before this one met at an address: it is told to the bucket before the first request leaves. */
export class Past {
  readonly #options: PastOptions
  readonly #told = new Set<string>()

  constructor(options: PastOptions) {
    this.#options = options
  }

  /** Repeating it for the same bucket and origin does nothing. */
  tell(bucket: Bucket, origin: string): void {
    const key = `${bucket.name} ${origin}`
    if (this.#told.has(key)) return
    this.#told.add(key)
    const here = (one: { readonly bucket: string; readonly origin: string }): boolean =>
      one.bucket === bucket.name && one.origin === origin
    const { bans, spends, clock, onEvent } = this.#options
    const toMonotonicMs = clock.monotonicMs() - clock.nowMs()
    const spent = spends?.known().filter(here) ?? []
    bucket.recall(spent.map((spend) => ({ ...spend, atMs: spend.atMs + toMonotonicMs })))
    const ban = bans?.known().find(here)
    const leftMs = ban ? banLeftMs(ban, clock.nowMs()) : 0
    if (!ban || leftMs <= 0) return
    bucket.block({ untilMs: clock.monotonicMs() + leftMs, kind: ban.kind })
    onEvent({ event: 'fetch_still_blocked', level: 'warn', bucket: bucket.name, waitMs: Math.ceil(leftMs) })
  }
}
