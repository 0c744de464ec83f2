/** Lets one task at a time work on a name, in the order they came; tasks of different names do not wait. */
export class Turns {
  private readonly last = new Map<string, Promise<void>>()

  take<T>(name: string, task: () => Promise<T>): Promise<T> {
    return this.takeAll([name], task)
  }

  /** As `take`, for a task that works on all of these names: it begins when nobody works on any of them. */
  async takeAll<T>(names: readonly string[], task: () => Promise<T>): Promise<T> {
    const before = new Set(names.flatMap((name) => this.last.get(name) ?? []))
    const result = before.size > 0 ? Promise.all(before).then(task) : task()
    const done = result.then(
      () => {},
      () => {},
    )
    for (const name of names) this.last.set(name, done)
    try {
      return await result
    } finally {
      for (const name of names) if (this.last.get(name) === done) this.last.delete(name)
    }
  }

  /** Resolves when no task is under way. */
  async idle(): Promise<void> {
    while (this.last.size > 0) await Promise.all(this.last.values())
  }
}
