/** Lets one task at a time work on a name, in the order they came; tasks of different names do not wait. */
export class Turns {
  private readonly last = new Map<string, Promise<void>>()

  async take<T>(name: string, task: () => Promise<T>): Promise<T> {
    const before = this.last.get(name)
    const result = before ? before.then(task) : task()
    const done = result.then(
      () => {},
      () => {},
    )
    this.last.set(name, done)
    try {
      return await result
    } finally {
      if (this.last.get(name) === done) this.last.delete(name)
    }
  }

  /** Resolves when no task is under way. */
  async idle(): Promise<void> {
    while (this.last.size > 0) await Promise.all(this.last.values())
  }
}
