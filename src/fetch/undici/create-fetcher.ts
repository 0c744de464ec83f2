import { EverybarError } from '../../model/errors.ts'
import type { Clock, OnEvent } from '../../model/events.ts'
import type { HttpRequest, RawResponse } from '../../model/http.ts'
import type { BanBook } from '../ban-book.ts'
import type { BucketLimit, Fetcher, FetchOptions } from '../fetcher.ts'
import { Bucket, blockedError, type Permit } from '../limits/bucket.ts'
import { type Counter, countersIn } from '../limits/counters.ts'
import { Past } from '../limits/past.ts'
import { bannedForMs, penaltyMs, retryAfterMs } from '../limits/penalty.ts'
import type { SpendBook } from '../spend-book.ts'
import { unpack } from './body.ts'
import { judgeStatus } from './judge-status.ts'
import { redactUrl } from './redact.ts'
import { checked } from './secrets.ts'
import { type Incoming, parseUrl, type Timeouts, Transport } from './transport.ts'

export interface RetryOptions {
  /** Tries of one request, the first included; refusals by a rate limit are counted apart, up to as many. */
  readonly attempts: number
  readonly baseMs: number
  readonly factor: number
  readonly capMs: number
  /** For 429 answers that name no wait. */
  readonly rateLimitBaseMs: number
  readonly rateLimitCapMs: number
}

export interface FetcherOptions {
  readonly limits?: readonly BucketLimit[]
  readonly clock: Clock
  readonly onEvent: OnEvent
  /** Requests in flight per bucket at most; 16 unless given. */
  readonly connections?: number
  readonly timeouts?: Partial<Timeouts>
  /** Of an answer, unpacked; 32 MiB unless given. */
  readonly bodyMaxBytes?: number
  readonly retry?: Partial<RetryOptions>
  /** The part of each limit this process may use, above 0, 1 at most, of all buckets or by bucket; 1 unless given. */
  readonly share?: number | ((bucket: string) => number)
  /** A block or ban longer than this is an error at once; 120 s unless given. */
  readonly maxWaitMs?: number
  /** What earlier processes were refused; those that this one meets are noted there. */
  readonly bans?: BanBook
  /** What earlier processes spent; what this one spends is noted there. */
  readonly spends?: SpendBook
  readonly userAgent?: string
  /** In [0, 1); for tests. */
  readonly random?: () => number
}

/** A 403 comes from a firewall that counts: asked again once, not five times. */
const FORBIDDEN_TRIES = 2

/** The fetcher over undici: see `Fetcher` for what it promises. */
export function createFetcher(options: FetcherOptions): Fetcher {
  return new UndiciFetcher(options)
}

interface Call {
  readonly request: HttpRequest
  readonly url: URL
  readonly shownUrl: string
  readonly check: (response: RawResponse) => void | Promise<void>
  readonly bucket: Bucket
  readonly order: number
  readonly signal: AbortSignal
  tries: number
  refusals: number
  /** Of the last answer; 0 when the last try had none. */
  status: number
}

type Outcome =
  | { readonly kind: 'answer'; readonly response: RawResponse }
  | { readonly kind: 'held' }
  | { readonly kind: 'refused'; readonly status: number }

class UndiciFetcher implements Fetcher {
  readonly #clock: Clock
  readonly #onEvent: OnEvent
  readonly #options: FetcherOptions
  readonly #retry: RetryOptions
  readonly #bytesMax: number
  readonly #random: () => number
  readonly #transport: Transport
  readonly #buckets = new Map<string, Bucket>()
  readonly #strikes = new Map<string, { count: number; sinceMs: number }>()
  readonly #calls = new Set<AbortController>()
  readonly #past: Past
  readonly #stats = {
    requests: 0,
    retries: 0,
    byStatus: {} as Record<string, number>,
    weight: 0,
    waitedMs: 0,
  }
  #order = 0
  #closed = false

  constructor(options: FetcherOptions) {
    this.#options = options
    this.#clock = options.clock
    this.#onEvent = options.onEvent
    this.#random = options.random ?? Math.random
    this.#bytesMax = options.bodyMaxBytes ?? 32 * 1024 * 1024
    this.#retry = {
      attempts: 5,
      baseMs: 1_000,
      factor: 2,
      capMs: 32_000,
      rateLimitBaseMs: 2_000,
      rateLimitCapMs: 30_000,
      ...options.retry,
    }
    this.#transport = new Transport({
      connections: options.connections ?? 16,
      timeouts: { connectMs: 10_000, headersMs: 20_000, bodyMs: 30_000, ...options.timeouts },
      bodyMaxBytes: this.#bytesMax,
    })
    this.#past = new Past(options)
    this.setLimits(options.limits ?? [])
  }

  setLimits(limits: readonly BucketLimit[]): void {
    for (const name of new Set(limits.map((limit) => limit.bucket))) {
      this.#bucket(name).setLimits(limits.filter((limit) => limit.bucket === name))
    }
  }

  assumeLimits(limits: readonly BucketLimit[]): void {
    this.setLimits(limits.filter(({ bucket }) => this.#bucket(bucket).usage().length === 0))
  }

  usage() {
    return [...this.#buckets.values()].flatMap((bucket) => bucket.usage())
  }

  stats() {
    return { ...this.#stats, byStatus: { ...this.#stats.byStatus } }
  }

  async fetch(request: HttpRequest, { check, signal }: FetchOptions = {}): Promise<RawResponse> {
    if (this.#closed) throw closedError()
    signal?.throwIfAborted()
    const url = parseUrl(request.url)
    const controller = new AbortController()
    const relay = (): void => controller.abort(signal?.reason)
    signal?.addEventListener('abort', relay, { once: true })
    this.#calls.add(controller)
    const bucket = this.#bucket(request.bucket)
    this.#past.tell(bucket, url.origin)
    try {
      return await this.#untilAnswered({
        request,
        url,
        shownUrl: redactUrl(url),
        check: check ?? judgeStatus,
        bucket,
        order: this.#order++,
        signal: controller.signal,
        tries: 0,
        refusals: 0,
        status: 0,
      })
    } finally {
      signal?.removeEventListener('abort', relay)
      this.#calls.delete(controller)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    for (const controller of this.#calls) controller.abort(closedError())
    for (const bucket of this.#buckets.values()) bucket.close(closedError())
    await this.#transport.close()
  }

  async #untilAnswered(call: Call): Promise<RawResponse> {
    for (;;) {
      const permit = await call.bucket.acquire(
        { weight: call.request.weight, order: call.order },
        call.signal,
      )
      this.#stats.waitedMs += permit.waitedMs
      try {
        const outcome = await this.#attempt(call, permit)
        if (outcome.kind === 'answer') return outcome.response
        if (outcome.kind === 'refused') this.#refused(call, outcome.status)
      } catch (error) {
        permit.release()
        await this.#pauseOrThrow(call, error)
      } finally {
        permit.release()
      }
    }
  }

  /** One try: sends, tells the bucket what came back, and judges it. */
  async #attempt(call: Call, permit: Permit): Promise<Outcome> {
    const { request, shownUrl } = call
    const address = { bucket: request.bucket, origin: call.url.origin }
    let departed = false
    let settled = false
    const settle = (counters: readonly Counter[] | undefined): void => {
      permit.settle(counters)
      if (!settled) this.#options.spends?.over(address, request.weight)
      settled = true
    }
    call.status = 0
    const requestedAtMs = this.#clock.nowMs()
    try {
      const incoming = await this.#transport.send({
        url: call.url,
        method: request.method ?? 'GET',
        headers: this.#headers(request),
        body: request.body,
        lane: request.bucket,
        mayDepart: permit.mayDepart,
        onDepart: () => {
          departed = true
          this.#options.spends?.left(address, request.weight)
          this.#stats.requests++
          this.#stats.weight += request.weight
        },
        onHeaders: (status, headers) => settle(this.#heard(call, permit, status, headers)),
        signal: call.signal,
      })
      if (!incoming) return { kind: 'held' }
      const receivedAtMs = this.#clock.nowMs()
      permit.release()
      const { status } = incoming
      const body = await unpack(incoming.body, incoming.headers['content-encoding'], {
        url: shownUrl,
        bytesMax: this.#bytesMax,
      })
      if (status === 429 || status === 418) {
        this.#readBan(call, incoming, body)
        return { kind: 'refused', status }
      }
      if (status >= 300 && status < 400) throw redirected(shownUrl, incoming)
      const headers = withoutPacking(incoming.headers)
      const attempts = call.tries + call.refusals + 1
      const response = { url: shownUrl, status, headers, body, requestedAtMs, receivedAtMs, attempts }
      await checked(call, response)
      return { kind: 'answer', response }
    } finally {
      // A request that failed on the way may have been counted all the same.
      if (departed) settle(undefined)
    }
  }

  #headers(request: HttpRequest): Record<string, string> {
    const headers: Record<string, string> = {
      'user-agent': this.#options.userAgent ?? 'everybar',
      accept: 'application/json',
      'accept-encoding': 'gzip',
    }
    for (const [name, value] of Object.entries(request.headers ?? {})) headers[name.toLowerCase()] = value
    return headers
  }

  /** The header of an answer is there: a refusal stops the bucket before the body is read. Gives its counters. */
  #heard(
    call: Call,
    { departedMs }: Permit,
    status: number,
    headers: Readonly<Record<string, string>>,
  ): Counter[] {
    const { byStatus } = this.#stats
    byStatus[status] = (byStatus[status] ?? 0) + 1
    call.status = status
    const told = retryAfterMs(headers, this.#clock.nowMs())
    const refused = status === 429 || status === 418
    if (refused) {
      const strikes = this.#strike(call.bucket, departedMs)
      const options = {
        baseMs: this.#retry.rateLimitBaseMs,
        capMs: this.#retry.rateLimitCapMs,
        random: this.#random,
      }
      this.#block(call, status, penaltyMs(told, status, strikes, options))
    } else if (status >= 400 && told !== undefined && told > 0) {
      this.#block(call, status, told)
    } else {
      this.#pardon(call.bucket, departedMs)
    }
    return refused ? [] : countersIn(headers)
  }

  /** A ban's end may stand in the body only. */
  #readBan(call: Call, incoming: Incoming, body: Uint8Array): void {
    const text = new TextDecoder().decode(body.subarray(0, 4_096))
    const ms = bannedForMs(text, incoming.headers, this.#clock.nowMs())
    if (ms !== undefined) this.#block(call, 418, ms)
  }

  #block({ bucket, url: { origin } }: Call, status: number, ms: number): void {
    const untilMs = this.#clock.monotonicMs() + ms
    if (untilMs <= bucket.blockedUntilMs) return
    const kind = status === 418 ? 'banned' : 'rate-limited'
    bucket.block({ untilMs, kind })
    const sinceMs = this.#clock.nowMs()
    this.#options.bans?.note({ bucket: bucket.name, origin, kind, sinceMs, untilMs: Math.ceil(sinceMs + ms) })
    this.#onEvent({
      event: 'fetch_blocked',
      level: 'warn',
      bucket: bucket.name,
      status,
      waitMs: Math.ceil(ms),
    })
  }

  /** Refusals in a row; those of requests that were on their way when the first came are one. */
  #strike(bucket: Bucket, departedMs: number): number {
    const known = this.#strikes.get(bucket.name)
    if (known && departedMs <= known.sinceMs) return known.count
    const strike = { count: (known?.count ?? 0) + 1, sinceMs: this.#clock.monotonicMs() }
    this.#strikes.set(bucket.name, strike)
    return strike.count
  }

  #pardon(bucket: Bucket, departedMs: number): void {
    const known = this.#strikes.get(bucket.name)
    if (known && departedMs > known.sinceMs) this.#strikes.delete(bucket.name)
  }

  /** Sends a refused request back to wait, unless it was often enough. */
  #refused(call: Call, status: number): void {
    call.refusals++
    this.#stats.retries++
    if (call.refusals < this.#retry.attempts) return
    const waitMs = Math.max(0, call.bucket.blockedUntilMs - this.#clock.monotonicMs())
    throw blockedError(call.bucket.name, status === 418 ? 'banned' : 'rate-limited', waitMs)
  }

  /** Waits before the next try, or throws the error when there is none. */
  async #pauseOrThrow(call: Call, error: unknown): Promise<void> {
    if (call.signal.aborted) throw call.signal.reason
    if (!(error instanceof EverybarError) || error.recovery !== 'retry') throw error
    if (error.code === 'fetch.rate-limited' || error.code === 'fetch.banned') throw error
    call.tries++
    const { attempts, baseMs, factor, capMs } = this.#retry
    const triesMax = call.status === 403 ? Math.min(attempts, FORBIDDEN_TRIES) : attempts
    const told = error.retryAfterMs ?? 0
    if (call.tries >= triesMax || told > (this.#options.maxWaitMs ?? 120_000)) throw error
    const backoffMs = Math.min(capMs, baseMs * factor ** (call.tries - 1)) * this.#random()
    const waitMs = Math.max(backoffMs, told)
    this.#stats.retries++
    const { code } = error
    this.#onEvent({
      event: 'fetch_retry',
      level: 'warn',
      url: call.shownUrl,
      code,
      attempt: call.tries,
      waitMs: Math.round(waitMs),
    })
    await this.#clock.sleep(waitMs, call.signal).catch(() => call.signal.throwIfAborted())
  }

  #bucket(name: string): Bucket {
    const known = this.#buckets.get(name)
    if (known) return known
    const { share = 1, connections = 16, maxWaitMs = 120_000 } = this.#options
    const own = typeof share === 'number' ? share : share(name)
    const bucket = new Bucket(name, { clock: this.#clock, connections, share: own, maxWaitMs })
    this.#buckets.set(name, bucket)
    return bucket
  }
}

/** The body is unpacked, so the headers that describe the packed one go. */
function withoutPacking(headers: Readonly<Record<string, string>>): Record<string, string> {
  const {
    'content-encoding': _encoding,
    'content-length': _length,
    'transfer-encoding': _transfer,
    ...rest
  } = headers
  return rest
}

function redirected(url: string, { status, headers }: Incoming): EverybarError {
  const location = headers.location ?? ''
  const target = URL.canParse(location, url) ? ` to ${new URL(location, url).host}` : ''
  return new EverybarError('fetch.redirect', `${url} answered ${status}, a redirect${target}`, {
    recovery: 'abort',
    hint: 'Redirects are not followed: they could lead anywhere. Set the base URL to the address meant.',
  })
}

const closedError = (): EverybarError =>
  new EverybarError('fetch.closed', 'the fetcher is closed', {
    recovery: 'abort',
    hint: 'The run is ending; start it again.',
  })
