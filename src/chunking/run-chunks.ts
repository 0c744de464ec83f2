import { EverybarError } from '../model/errors.ts'

/** What a chunk came to: its result, or the error that ended it. */
export type ChunkOutcome<P, R> =
  | { readonly plan: P; readonly index: number; readonly result: R; readonly error?: never }
  | { readonly plan: P; readonly index: number; readonly error: unknown; readonly result?: never }

export interface RunChunksOptions {
  /** Chunks running at once; 1 unless said. */
  readonly concurrency?: number
  /**
   * Chunks started and not yet taken by the consumer, running or done: what may be held in memory. `concurrency`
   * unless said; larger keeps requests flowing past one slow chunk.
   */
  readonly ahead?: number
  readonly signal?: AbortSignal
  /** `stop` (unless said) throws a chunk's error in its place; `continue` yields it there and goes on. */
  readonly onError?: 'stop' | 'continue'
}

interface Started<P, R> {
  readonly plan: P
  readonly index: number
  outcome?: ChunkOutcome<P, R>
}

/**
 * Runs `fetchChunk` over `plans`, several at once, and yields each outcome in plan order. Plans are taken one by one
 * as room allows, so they may be endless; nothing is started beyond `ahead` chunks that the consumer has not taken.
 *
 * When the iteration ends, in whatever way, the signal given to running chunks aborts and all of them have settled:
 * none works on behind the consumer's back.
 *
 * @throws the first chunk's error with `onError: 'stop'`, after every chunk before it was yielded; what `plans`
 *   threw, after every chunk it gave was yielded; the abort reason when `signal` aborts; EverybarError
 *   `chunking.bad-option` (abort) for a concurrency or look-ahead below 1.
 */
export async function* runChunks<P, R>(
  plans: Iterable<P> | AsyncIterable<P>,
  fetchChunk: (plan: P, context: { readonly index: number; readonly signal: AbortSignal }) => Promise<R>,
  options: RunChunksOptions = {},
): AsyncGenerator<ChunkOutcome<P, R>, void, undefined> {
  const { signal, onError = 'stop' } = options
  signal?.throwIfAborted()
  const run = new Run(plans, fetchChunk, options)
  const onAbort = () => run.abort(signal?.reason)
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    for (;;) {
      signal?.throwIfAborted()
      const outcome = run.take()
      if (outcome) {
        if ('error' in outcome && onError === 'stop') throw outcome.error
        yield outcome
      } else if (run.finished) {
        return
      } else {
        await run.change()
      }
    }
  } finally {
    signal?.removeEventListener('abort', onAbort)
    await run.close()
  }
}

/** The chunks under way and the plans still to come. */
class Run<P, R> {
  readonly #next: () => IteratorResult<P> | Promise<IteratorResult<P>>
  readonly #return: () => unknown
  readonly #fetchChunk: (plan: P, context: { index: number; signal: AbortSignal }) => Promise<R>
  readonly #controller = new AbortController()
  readonly #concurrency: number
  readonly #ahead: number
  readonly #queue: Started<P, R>[] = []
  readonly #running = new Set<Promise<void>>()
  #started = 0
  #pulling = false
  #exhausted = false
  #planError: { readonly cause: unknown } | undefined
  #changed = Promise.withResolvers<void>()

  constructor(
    plans: Iterable<P> | AsyncIterable<P>,
    fetchChunk: (plan: P, context: { index: number; signal: AbortSignal }) => Promise<R>,
    options: RunChunksOptions,
  ) {
    this.#concurrency = atLeastOne('concurrency', options.concurrency ?? 1)
    this.#ahead = Math.max(this.#concurrency, atLeastOne('ahead', options.ahead ?? this.#concurrency))
    this.#fetchChunk = fetchChunk
    const iterator = Symbol.asyncIterator in plans ? plans[Symbol.asyncIterator]() : plans[Symbol.iterator]()
    this.#next = () => iterator.next()
    this.#return = () => iterator.return?.()
    this.#fill()
  }

  /** Nothing is under way and nothing will come. Throws what the plans threw. */
  get finished(): boolean {
    if (this.#queue.length > 0 || this.#pulling || !this.#exhausted) return false
    if (this.#planError) throw this.#planError.cause
    return true
  }

  /** The outcome of the first chunk not yet taken, if it is there. Starts the next chunk in its place. */
  take(): ChunkOutcome<P, R> | undefined {
    const outcome = this.#queue[0]?.outcome
    if (!outcome) return undefined
    this.#queue.shift()
    this.#fill()
    return outcome
  }

  /** Resolves when a chunk settled, a plan came, or the run was aborted. */
  async change(): Promise<void> {
    await this.#changed.promise
  }

  abort(reason: unknown): void {
    this.#controller.abort(reason)
    this.#wake()
  }

  async close(): Promise<void> {
    const done = this.#exhausted
    this.#exhausted = true
    this.#controller.abort(new DOMException('the run over these chunks has ended', 'AbortError'))
    await Promise.all(this.#running)
    if (!done) await this.#return()
  }

  #fill(): void {
    while (
      !this.#exhausted &&
      !this.#pulling &&
      this.#queue.length < this.#ahead &&
      this.#running.size < this.#concurrency
    ) {
      try {
        const pulled = this.#next()
        if (!('then' in pulled)) {
          this.#accept(pulled)
          continue
        }
        this.#pulling = true
        pulled.then(
          (result) => this.#pulled(() => this.#accept(result)),
          (error: unknown) => this.#pulled(() => this.#failPlans(error)),
        )
      } catch (error) {
        this.#failPlans(error)
      }
    }
  }

  #pulled(use: () => void): void {
    this.#pulling = false
    use()
    this.#fill()
    this.#wake()
  }

  #failPlans(cause: unknown): void {
    this.#exhausted = true
    this.#planError = { cause }
  }

  #accept(result: IteratorResult<P>): void {
    if (result.done) this.#exhausted = true
    if (result.done || this.#exhausted) return
    const chunk: Started<P, R> = { plan: result.value, index: this.#started++ }
    this.#queue.push(chunk)
    const running: Promise<void> = this.#work(chunk).finally(() => {
      this.#running.delete(running)
      this.#fill()
      this.#wake()
    })
    this.#running.add(running)
  }

  async #work(chunk: Started<P, R>): Promise<void> {
    const { plan, index } = chunk
    try {
      const result = await this.#fetchChunk(plan, { index, signal: this.#controller.signal })
      chunk.outcome = { plan, index, result }
    } catch (error) {
      chunk.outcome = { plan, index, error }
    }
  }

  #wake(): void {
    const { resolve } = this.#changed
    this.#changed = Promise.withResolvers<void>()
    resolve()
  }
}

function atLeastOne(name: string, value: number): number {
  if (Number.isInteger(value) && value >= 1) return value
  throw new EverybarError('chunking.bad-option', `${name} is ${value}, not a whole number of 1 or more`, {
    recovery: 'abort',
    hint: `Give ${name} as 1 or more.`,
  })
}
