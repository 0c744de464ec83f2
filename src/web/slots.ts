import { EverybarError } from '../model/errors.ts'

/** A bounded number of answers that cost something; whoever comes when all are taken is told to come back. */
export class Slots {
  readonly #most: number
  #taken = 0

  constructor(most: number) {
    this.#most = most
  }

  /**
   * Takes a slot.
   *
   * @returns gives it back; repeating that is harmless.
   * @throws EverybarError `web.busy` (retry) when there is none.
   */
  take(): () => void {
    if (this.#taken >= this.#most) {
      throw new EverybarError('web.busy', `${this.#most} answers are under way already`, {
        recovery: 'retry',
        retryAfterMs: 1_000,
        hint: 'Ask for one thing after another.',
      })
    }
    this.#taken++
    let held = true
    return () => {
      if (held) this.#taken--
      held = false
    }
  }

  /** Runs `work` in a slot. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    const giveBack = this.take()
    try {
      return await work()
    } finally {
      giveBack()
    }
  }
}
