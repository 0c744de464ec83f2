/** A client that takes nothing for so long is given up. */
const IDLE_MS = 30_000

export interface StreamOptions {
  /** Aborts what makes the pieces when the client is gone or too slow. */
  readonly abort: (reason: unknown) => void
  /** Called once, however it ends. */
  readonly onEnd: () => void
  readonly idleMs?: number
}

/**
 * Pieces as a stream that is read no faster than the client takes it. An error on the way breaks the connection off: what
 * has been sent can then not be taken for the whole.
 */
export function streamOf(
  pieces: AsyncGenerator<Uint8Array | string>,
  { abort, onEnd, idleMs = IDLE_MS }: StreamOptions,
): ReadableStream<Uint8Array> {
  const bytes = new TextEncoder()
  let idle: NodeJS.Timeout | undefined
  let ended = false
  const end = (): void => {
    clearTimeout(idle)
    if (ended) return
    ended = true
    onEnd()
  }
  const giveUp = (reason: unknown): void => {
    end()
    abort(reason)
    pieces.return(undefined).catch(() => {})
  }
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        clearTimeout(idle)
        try {
          let { done, value } = await pieces.next()
          // A pull that gives nothing would not be repeated.
          while (!done && value?.length === 0) ({ done, value } = await pieces.next())
          if (ended) return
          if (done || value === undefined) {
            end()
            controller.close()
            return
          }
          controller.enqueue(typeof value === 'string' ? bytes.encode(value) : value)
          idle = setTimeout(() => {
            const slow = new Error('the client takes nothing')
            giveUp(slow)
            controller.error(slow)
          }, idleMs)
          idle.unref()
        } catch (error) {
          end()
          controller.error(error)
        }
      },
      cancel: giveUp,
    },
    { highWaterMark: 0 },
  )
}
