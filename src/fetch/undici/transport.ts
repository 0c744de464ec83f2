import type { IncomingHttpHeaders } from 'node:http'
import { type Dispatcher, Pool } from 'undici'
import { EverybarError } from '../../model/errors.ts'
import { tooLarge } from './body.ts'
import { networkFault, timedOut } from './faults.ts'
import { redactUrl } from './redact.ts'

export interface Timeouts {
  /** To a usable connection, TLS included. */
  readonly connectMs: number
  /** From the request to the whole header. */
  readonly headersMs: number
  /** From the header to the last byte: a slow drip cannot last longer. */
  readonly bodyMs: number
}

export interface Outgoing {
  readonly url: URL
  readonly method: 'GET' | 'POST'
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
  /** Requests of one lane share connections; there are enough for all a lane has in flight. */
  readonly lane: string
  /** Asked when the request is about to be written; false holds it back. */
  readonly mayDepart: () => boolean
  readonly onDepart: () => void
  readonly onHeaders: (status: number, headers: Readonly<Record<string, string>>) => void
  readonly signal: AbortSignal
}

export interface Incoming {
  readonly status: number
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>
  /** As it came over the wire, still packed. */
  readonly body: Uint8Array
}

export interface TransportOptions {
  readonly connections: number
  readonly timeouts: Timeouts
  readonly bodyMaxBytes: number
}

/** Connections to every origin, kept alive, one request at a time on each. */
export class Transport {
  readonly #options: TransportOptions
  readonly #pools = new Map<string, Pool>()

  constructor(options: TransportOptions) {
    this.#options = options
  }

  /**
   * One request and its answer. `undefined` when it was held back.
   *
   * @throws EverybarError `fetch.timeout`, `fetch.unreachable` (retry), `fetch.untrusted`, `fetch.bad-request`,
   *   `fetch.body-too-large` (abort); the abort reason when `signal` aborts.
   */
  send(request: Outgoing): Promise<Incoming | undefined> {
    return new Promise((resolve, reject) => {
      const exchange = new Exchange(request, this.#options, resolve, reject)
      const { url, method, headers, body } = request
      const options: Dispatcher.DispatchOptions = { path: url.pathname + url.search, method, headers }
      try {
        this.#pool(url.origin, request.lane).dispatch(
          body === undefined ? options : { ...options, body },
          exchange,
        )
      } catch (error) {
        exchange.onResponseError(undefined, error as Error)
      }
    })
  }

  /** Breaks off everything in flight. */
  async close(): Promise<void> {
    const pools = [...this.#pools.values()]
    this.#pools.clear()
    await Promise.all(pools.map((pool) => pool.destroy()))
  }

  #pool(origin: string, lane: string): Pool {
    const key = `${lane} ${origin}`
    const known = this.#pools.get(key)
    if (known) return known
    const { connections, timeouts } = this.#options
    const pool = new Pool(origin, {
      connections,
      pipelining: 1,
      allowH2: false,
      connect: { timeout: timeouts.connectMs },
      // One timer of our own covers each phase as a whole; these would only measure the pauses in it.
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: 10_000,
    })
    this.#pools.set(key, pool)
    return pool
  }
}

type Controller = Dispatcher.DispatchController

/** What becomes of one request. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #request: Outgoing
  readonly #options: TransportOptions
  readonly #resolve: (answer: Incoming | undefined) => void
  readonly #reject: (error: unknown) => void
  readonly #shownUrl: string
  #controller: Controller | undefined
  #timer: NodeJS.Timeout | undefined
  #phase = 0
  #over = false
  #status = 0
  #headers: Readonly<Record<string, string>> = {}
  #chunks: Buffer[] = []
  #length = 0

  constructor(
    request: Outgoing,
    options: TransportOptions,
    resolve: (answer: Incoming | undefined) => void,
    reject: (error: unknown) => void,
  ) {
    this.#request = request
    this.#options = options
    this.#resolve = resolve
    this.#reject = reject
    this.#shownUrl = redactUrl(request.url)
    request.signal.addEventListener('abort', this.#onAbort, { once: true })
    if (request.signal.aborted) this.#onAbort()
  }

  onRequestStart(controller: Controller): void {
    // Thrown, not aborted: the connection has seen nothing of the request and stays.
    if (this.#over) throw new Error('the request was given up before it left')
    if (!this.#request.mayDepart()) {
      this.#end(() => this.#resolve(undefined))
      throw new Error('the request is held back')
    }
    this.#controller = controller
    this.#arm(this.#options.timeouts.headersMs, 'no answer')
    this.#request.onDepart()
  }

  onResponseStart(_controller: Controller, status: number, headers: IncomingHttpHeaders): void {
    if (this.#over || status < 200) return
    this.#status = status
    this.#headers = flatHeaders(headers)
    this.#arm(this.#options.timeouts.bodyMs, 'the body did not end')
    this.#request.onHeaders(status, this.#headers)
    if (Number(this.#headers['content-length'] ?? 0) > this.#options.bodyMaxBytes) this.#refuseSize()
  }

  onResponseData(_controller: Controller, chunk: Buffer): void {
    if (this.#over) return
    this.#length += chunk.length
    this.#chunks.push(chunk)
    if (this.#length > this.#options.bodyMaxBytes) this.#refuseSize()
  }

  onResponseEnd(): void {
    const body = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks, this.#length)
    this.#end(() => this.#resolve({ status: this.#status, headers: this.#headers, body }))
  }

  onResponseError(_controller: Controller | undefined, error: Error): void {
    this.#end(() => this.#reject(networkFault(error, this.#shownUrl)))
  }

  readonly #onAbort = (): void => this.#giveUp(this.#request.signal.reason)

  #refuseSize(): void {
    this.#giveUp(tooLarge(this.#shownUrl, this.#options.bodyMaxBytes))
  }

  #arm(ms: number, what: string): void {
    clearTimeout(this.#timer)
    const phase = ++this.#phase
    // A process that stood still finds its timers due before it reads what has long arrived: that is read first.
    const afterReading = () => {
      if (phase === this.#phase) this.#giveUp(timedOut(this.#shownUrl, `${what} within ${ms} ms`))
    }
    this.#timer = setTimeout(() => setImmediate(afterReading), ms)
  }

  #giveUp(error: unknown): void {
    this.#end(() => this.#reject(error))
    this.#controller?.abort(error instanceof Error ? error : new Error('aborted', { cause: error }))
  }

  #end(settle: () => void): void {
    if (this.#over) return
    this.#over = true
    clearTimeout(this.#timer)
    this.#request.signal.removeEventListener('abort', this.#onAbort)
    settle()
  }
}

function flatHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  const flat: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || name === 'set-cookie') continue
    flat[name] = Array.isArray(value) ? value.join(', ') : value
  }
  return flat
}

/** `fetch.bad-request` (abort) unless the text is an http or https URL. It is not shown: it may hold a secret. */
export function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url && (url.protocol === 'http:' || url.protocol === 'https:')) return url
  throw new EverybarError('fetch.bad-request', 'a request has no http or https address', {
    recovery: 'abort',
    hint: 'Check the base URL in the configuration: it has to begin with https:// or http://.',
  })
}
