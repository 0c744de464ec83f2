/**
 * Lets one piece of work at a time touch a series, in the order they came; other series do not wait. For work of one
 * process: what follows live bars and what fills gaps share a series this way.
 */
export class SeriesTurns {
  readonly #queues = new Map<string, Turn[]>()

  /**
   * Runs `work` when all work on the series that came before is over, whatever became of it, and gives its result.
   *
   * @param work `asked` aborts as soon as somebody else waits for the series: work that may take long comes to an end
   *   then, and goes on in a turn of its own; work that does not take long need not look.
   */
  async run<T>(seriesId: string, work: (asked: AbortSignal) => Promise<T>): Promise<T> {
    const turn = new Turn()
    const queue = this.#queues.get(seriesId)
    if (queue) {
      queue.push(turn)
      queue[0]!.ask()
      await turn.begun
      if (queue.length > 1) turn.ask()
    } else this.#queues.set(seriesId, [turn])
    try {
      return await work(turn.asked)
    } finally {
      this.#end(seriesId)
    }
  }

  #end(seriesId: string): void {
    const queue = this.#queues.get(seriesId)!
    queue.shift()
    if (queue[0]) queue[0].begin()
    else this.#queues.delete(seriesId)
  }
}

class Turn {
  readonly #controller = new AbortController()
  readonly #begun = Promise.withResolvers<void>()
  readonly asked = this.#controller.signal
  readonly begun = this.#begun.promise

  begin(): void {
    this.#begun.resolve()
  }

  ask(): void {
    this.#controller.abort()
  }
}
