import type { DatabaseSync } from 'node:sqlite'

interface Waiting {
  readonly write: () => void
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/**
 * Writes of many callers in one transaction, so that they share its sync to disk. Each is all or none: when one of a
 * group fails, every one is tried again on its own.
 */
export class WriteQueue {
  readonly #db: DatabaseSync
  readonly #beforeWriting: () => void
  #waiting: Waiting[] = []

  constructor(db: DatabaseSync, beforeWriting: () => void) {
    this.#db = db
    this.#beforeWriting = beforeWriting
  }

  /** Resolves when `write` and its transaction are durable. */
  add(write: () => void): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ write, resolve, reject })
      if (this.#waiting.length === 1) setImmediate(() => this.flush())
    })
  }

  /** Writes what waits, now. */
  flush(): void {
    const group = this.#waiting
    this.#waiting = []
    if (group.length === 0) return
    try {
      this.#transaction(group)
    } catch (error) {
      if (group.length === 1) group[0]!.reject(error)
      else for (const one of group) this.#alone(one)
      return
    }
    for (const { resolve } of group) resolve()
  }

  #alone(one: Waiting): void {
    try {
      this.#transaction([one])
      one.resolve()
    } catch (error) {
      one.reject(error)
    }
  }

  #transaction(group: readonly Waiting[]): void {
    this.#beforeWriting()
    try {
      this.#db.exec('BEGIN IMMEDIATE')
      for (const { write } of group) write()
      this.#db.exec('COMMIT')
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      throw error
    }
  }
}
