/** Lets at most `limit` tasks run at a time; the others wait their turn. */
export class Turns {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(limit: number) {
    this.#free = limit
  }

  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await task()
    } finally {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#free++
    }
  }
}

/** Runs tasks of one key one after another, of different keys side by side. */
export class TurnsByKey {
  readonly #last = new Map<string, Promise<unknown>>()

  async run<T>(key: string, task: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key)
    const mine = before ? before.then(task, task) : task()
    this.#last.set(key, mine)
    try {
      return await mine
    } finally {
      if (this.#last.get(key) === mine) this.#last.delete(key)
    }
  }
}

/**
 * One sync for many: a call made while a sync of its key runs waits for the next one, which all who wait share. What a
 * caller did before the call is covered by the sync it waits for, which begins after it.
 */
export class SharedSync {
  readonly #sync: (key: string) => Promise<void>
  readonly #running = new Map<string, Promise<void>>()
  readonly #next = new Map<string, Promise<void>>()

  constructor(sync: (key: string) => Promise<void>) {
    this.#sync = sync
  }

  async sync(key: string): Promise<void> {
    const running = this.#running.get(key)
    if (!running) return this.#start(key)
    let next = this.#next.get(key)
    if (!next) {
      next = running.then(
        () => this.#startNext(key),
        () => this.#startNext(key),
      )
      this.#next.set(key, next)
    }
    return next
  }

  #startNext(key: string): Promise<void> {
    this.#next.delete(key)
    return this.#start(key)
  }

  #start(key: string): Promise<void> {
    const run = this.#sync(key).finally(() => {
      if (this.#running.get(key) === run) this.#running.delete(key)
    })
    this.#running.set(key, run)
    return run
  }
}
