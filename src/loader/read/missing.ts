import type { EpochMs } from '../../model/time.ts'
import { type MissingRun, UNKNOWN_CLASS } from '../coverage.ts'
import type { Slots } from './slots.ts'

/** Runs of slots without a row, as rows come by; nobody has said why they are missing. */
export class MissingTracker {
  readonly #slots: Slots
  readonly #runs: MissingRun[] = []
  #nextMs: EpochMs

  constructor(slots: Slots) {
    this.#slots = slots
    this.#nextMs = slots.firstMs
  }

  /** A row, later than the ones before. Rows between two slots stand for neither. */
  saw(ms: EpochMs): void {
    this.#missUntil(ms)
    if (ms === this.#nextMs) this.#nextMs = this.#slots.next(ms)
  }

  /** Every run, now that nothing more comes. */
  end(): readonly MissingRun[] {
    this.#missUntil(this.#slots.endMs)
    return this.#runs
  }

  #missUntil(ms: EpochMs): void {
    const startMs = this.#nextMs
    let bars = 0
    for (; this.#nextMs < ms; bars++) this.#nextMs = this.#slots.next(this.#nextMs)
    if (bars === 0) return
    const last = this.#runs.at(-1)
    const endMs = Math.min(this.#nextMs, this.#slots.endMs)
    if (last?.range.endMs === startMs) {
      const range = { startMs: last.range.startMs, endMs }
      this.#runs[this.#runs.length - 1] = { ...last, range, bars: last.bars + bars }
    } else {
      this.#runs.push({ class: UNKNOWN_CLASS, range: { startMs, endMs }, bars })
    }
  }
}
