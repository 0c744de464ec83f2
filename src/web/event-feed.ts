import { EverybarError } from '../model/errors.ts'
import type { EverybarEvent, OnEvent } from '../model/events.ts'
import { redact } from '../telemetry/redact.ts'

export type EventLevel = NonNullable<EverybarEvent['level']>
export const eventLevels = ['debug', 'info', 'warn', 'error'] as const satisfies readonly EventLevel[]
const rank = (level: EventLevel): number => eventLevels.indexOf(level)

export interface FeedOptions {
  readonly nowMs: () => number
  /** Clients at most; 64 unless given. */
  readonly clientsMax?: number
  /** Characters that may wait for a client; 1 MiB unless given. */
  readonly queueMax?: number
  /** Between two signs of life on a quiet line; 15 s unless given. */
  readonly heartbeatMs?: number
  /** Events kept for clients that come back; 500 unless given. */
  readonly keptMax?: number
}

export interface FeedStats {
  readonly clients: number
  /** Clients that did not take what was sent in time. */
  readonly dropped: number
}

interface Client {
  readonly level: number
  queue: string[]
  size: number
  wake: (() => void) | undefined
  over: boolean
}

/**
 * What happens, sent on to whoever listens, as server-sent events. Publishing never waits: what a client has not taken
 * waits in a queue of bounded size, and one that lets it run full is dropped, and counted.
 */
export class EventFeed {
  readonly #options: Required<FeedOptions>
  readonly #clients = new Set<Client>()
  readonly #kept: { readonly id: number; readonly level: number; readonly text: string }[] = []
  #lastId = 0
  #dropped = 0
  #closed = false
  #beating: NodeJS.Timeout | undefined

  constructor(options: FeedOptions) {
    this.#options = {
      clientsMax: 64,
      queueMax: 1024 * 1024,
      heartbeatMs: 15_000,
      keptMax: 500,
      ...options,
    }
  }

  /** Put it beside the log. `progress` is left out: it is for screens. */
  readonly publish: OnEvent = (event) => {
    const { event: name, level = 'info', ...fields } = event
    if (this.#closed || name === 'progress') return
    const id = ++this.#lastId
    const worth = rank(level)
    const wanted = [...this.#clients].filter((client) => client.level <= worth)
    const keeps = worth >= rank('info')
    if (wanted.length === 0 && !keeps) return
    const time = new Date(this.#options.nowMs()).toISOString()
    const data = JSON.stringify({ time, level, event: name, ...(redact(fields) as object) })
    const text = `id: ${id}\ndata: ${data}\n\n`
    if (keeps && this.#kept.push({ id, level: worth, text }) > this.#options.keptMax) this.#kept.shift()
    for (const client of wanted) this.#send(client, text)
  }

  stats(): FeedStats {
    return { clients: this.#clients.size, dropped: this.#dropped }
  }

  /**
   * A stream of events from now on, or from the one after `afterId` as far as they are still kept (those from `info` on).
   *
   * @throws EverybarError `web.busy` (retry) when there are too many clients.
   */
  open({
    level,
    afterId,
  }: {
    readonly level: EventLevel
    readonly afterId?: number | undefined
  }): ReadableStream {
    if (this.#clients.size >= this.#options.clientsMax) throw busy(this.#options.clientsMax)
    const client: Client = { level: rank(level), queue: [], size: 0, wake: undefined, over: this.#closed }
    this.#send(client, ': everybar\n\n')
    for (const kept of this.#kept)
      if (afterId !== undefined && kept.id > afterId && kept.level >= client.level)
        this.#send(client, kept.text)
    this.#clients.add(client)
    this.#beating ??= setInterval(() => this.#beat(), this.#options.heartbeatMs).unref()
    const bytes = new TextEncoder()
    return new ReadableStream(
      {
        pull: async (controller) => {
          while (client.queue.length === 0 && !client.over)
            await new Promise<void>((wake) => (client.wake = wake))
          if (client.queue.length > 0) {
            controller.enqueue(bytes.encode(client.queue.join('')))
            client.queue = []
            client.size = 0
          }
          if (client.over) controller.close()
        },
        cancel: () => this.#end(client),
      },
      { highWaterMark: 0 },
    )
  }

  /** Ends every stream, after what waits has been sent. */
  close(): void {
    this.#closed = true
    for (const client of [...this.#clients]) this.#end(client)
  }

  #send(client: Client, text: string): void {
    if (client.size + text.length > this.#options.queueMax) {
      this.#dropped++
      client.queue = []
      this.#end(client)
      return
    }
    client.queue.push(text)
    client.size += text.length
    client.wake?.()
  }

  #beat(): void {
    for (const client of [...this.#clients])
      if (client.queue.length === 0) this.#send(client, ': still here\n\n')
  }

  #end(client: Client): void {
    client.over = true
    client.wake?.()
    this.#clients.delete(client)
    if (this.#clients.size > 0) return
    clearInterval(this.#beating)
    this.#beating = undefined
  }
}

const busy = (most: number): EverybarError =>
  new EverybarError('web.busy', `${most} clients listen already`, {
    recovery: 'retry',
    retryAfterMs: 5_000,
    hint: 'Close one of them, or come back later.',
  })
