/**
 * Lets one piece of work at a time touch a series, in the order they came; other series do not wait. For work of one
 * process: what follows live bars and what fills gaps share a series this way.
 */
export class SeriesTurns {
  readonly #queues = new Map<string, Turn[]>()

  /**
   * Runs `work` when all work on the series that came before is over, whatever became of it, and gives its result.
   *
   * @param work `asked` aborts as soon as somebody waits who asks for the series: work that may take long comes to an end
   *   then, and goes on in a turn of its own; work that does not take long need not look.
   * @param manner `patient` waits without asking. Of two that may take long one has to be patient, else they would only
   *   ever give way to each other.
   */
  async run<T>(
    seriesId: string,
    work: (asked: AbortSignal) => Promise<T>,
    manner: 'asks' | 'patient' = 'asks',
  ): Promise<T> {
    const turn = new Turn(manner === 'asks')
    const queue = this.#queues.get(seriesId)
    if (queue) {
      queue.push(turn)
      if (turn.asks) queue[0]!.ask()
      await turn.begun
      if (queue.slice(1).some(({ asks }) => asks)) turn.ask()
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
  readonly asks: boolean
  readonly #controller = new AbortController()
  readonly #begun = Promise.withResolvers<void>()
  readonly asked = this.#controller.signal
  readonly begun = this.#begun.promise

  constructor(asks: boolean) {
    this.asks = asks
  }

  begin(): void {
    this.#begun.resolve()
  }

  ask(): void {
    this.#controller.abort()
  }
}
