import { gzipSync } from 'node:zlib'
import type { EverybarEvent, OnEvent } from '../model/events.ts'
import type { LogLevel } from './console-log.ts'
import { type LokiAnswer, pushUrl, sendToLoki } from './loki-http.ts'
import { LokiQueue, type QueuedLine } from './loki-queue.ts'
import { redact, redactText } from './redact.ts'

export interface LokiOptions {
  readonly url: string
  readonly username?: string | undefined
  readonly password?: string | undefined
  readonly tenant?: string | undefined
  /** Fields that become labels besides the usual five. Each value makes streams of its own. */
  readonly labels?: readonly string[]
  readonly level?: LogLevel
  /** Lines kept while Loki is away, at most; 10,000 unless given. */
  readonly queueMax?: number
  /** Bytes of them, at most; 16 MiB unless given. */
  readonly bytesMax?: number
  readonly nowMs: () => number
  /** Said once, when Loki first fails, and at the end where lines were lost. Never holds a secret. */
  readonly onTrouble: (message: string) => void
  /** Of one push; 10 s unless given. */
  readonly timeoutMs?: number
  /** Wait after a failed push, doubling up to `waitMaxMs`: 1 s and 60 s unless given. */
  readonly waitMs?: number
  readonly waitMaxMs?: number
  /** How long `close` tries to bring the rest home; 5 s unless given. */
  readonly closeMs?: number
}

export interface LokiStats {
  readonly queued: number
  readonly sent: number
  readonly dropped: number
  readonly pushes: number
  readonly failures: number
}

/** A sink for events that never throws, never waits and holds a bounded number of lines. */
export interface LokiSink {
  readonly onEvent: OnEvent
  readonly stats: () => LokiStats
  /** Sends what is left within `closeMs`; what is not home by then is dropped, counted and said. */
  readonly close: () => Promise<void>
}

/** Loki takes 256 KB; some of it is room for what the line is wrapped in. */
const LINE_CHARS_MAX = 200_000
const LINES_A_PUSH = 1_000
const BYTES_A_PUSH = 1_000_000
/** Lines are gathered so long, so that a push carries more than one. */
const GATHER_MS = 1_000
/** A login or an address that is refused is not mended by asking every second. */
const REFUSED_WAIT_MS = 60_000

const usualLabels = ['service_name', 'environment', 'exchange', 'mode', 'level'] as const
const rank: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 }

/**
 * Sends events to Grafana Loki: one JSON line each, few labels, the rest as structured metadata. Whatever Loki does, the
 * caller is not held up: lines wait in a queue of bounded size, the oldest go first, and what went is counted. The first
 * event is sent at once: a wrong address or login shows at the start, not at the first trouble.
 */
export function lokiSink(options: LokiOptions): LokiSink {
  return new Sink(options)
}

class Sink implements LokiSink {
  readonly #options: LokiOptions
  readonly #queue: LokiQueue
  readonly #url: string
  #sent = 0
  #pushes = 0
  #failures = 0
  #failuresInARow = 0
  #complained = false
  #closing = false
  #lastNs = 0n
  #first = true
  #timer: NodeJS.Timeout | undefined
  #pushing: Promise<void> | undefined
  readonly #stop = new AbortController()

  constructor(options: LokiOptions) {
    this.#options = options
    this.#url = pushUrl(options.url)
    this.#queue = new LokiQueue(options.queueMax ?? 10_000, options.bytesMax ?? 16 * 1024 * 1024)
  }

  readonly onEvent: OnEvent = (event) => {
    const level = event.level ?? 'info'
    if (this.#closing || event.event === 'progress' || rank[level] < rank[this.#options.level ?? 'debug'])
      return
    try {
      this.#queue.add(this.#lineOf(event, level))
      this.#schedule(this.#first || this.#queue.lines >= LINES_A_PUSH ? 0 : GATHER_MS)
      this.#first = false
    } catch {
      // A log line must never end a run.
    }
  }

  readonly stats = (): LokiStats => ({
    queued: this.#queue.lines,
    sent: this.#sent,
    dropped: this.#queue.dropped,
    pushes: this.#pushes,
    failures: this.#failures,
  })

  readonly close = async (): Promise<void> => {
    if (this.#closing) return
    this.#closing = true
    clearTimeout(this.#timer)
    const deadline = this.#options.nowMs() + (this.#options.closeMs ?? 5_000)
    const late = setTimeout(() => this.#stop.abort(), this.#options.closeMs ?? 5_000)
    try {
      await this.#pushing
      while (this.#queue.lines > 0 && this.#options.nowMs() < deadline) {
        const failures = this.#failures
        await this.#push()
        if (this.#failures > failures) break // it has had its chance
      }
    } finally {
      clearTimeout(late)
    }
    this.#queue.dropAll()
    const { dropped } = this.#queue
    if (dropped > 0) this.#options.onTrouble(`${dropped} log lines did not reach Loki`)
  }

  /** At most one push at a time, at most one timer. */
  #schedule(ms: number): void {
    if (this.#pushing || this.#closing) return
    if (this.#timer && ms > 0) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#pushing = this.#push().finally(() => {
        this.#pushing = undefined
        if (this.#queue.lines > 0) this.#schedule(this.#waitMs())
      })
    }, ms).unref()
  }

  #waitMs(): number {
    if (this.#failuresInARow === 0) return this.#queue.lines >= LINES_A_PUSH ? 0 : GATHER_MS
    const { waitMs = 1_000, waitMaxMs = 60_000 } = this.#options
    return Math.max(this.#holdMs, Math.min(waitMaxMs, waitMs * 2 ** (this.#failuresInARow - 1)))
  }

  /** What Loki itself asked to wait, or what a refusal makes sensible. */
  #holdMs = 0

  async #push(): Promise<void> {
    const batch = this.#queue.take(LINES_A_PUSH, BYTES_A_PUSH)
    if (batch.length === 0) return
    this.#pushes++
    const answer = await sendToLoki({
      url: this.#url,
      body: gzipSync(JSON.stringify({ streams: streamsOf(batch) })),
      username: this.#options.username,
      password: this.#options.password,
      tenant: this.#options.tenant,
      timeoutMs: this.#options.timeoutMs ?? 10_000,
      signal: this.#stop.signal,
    })
    this.#heard(answer, batch)
  }

  #heard(answer: LokiAnswer, batch: readonly QueuedLine[]): void {
    this.#holdMs = 0
    if (answer.kind === 'taken') {
      this.#sent += batch.length
      this.#failuresInARow = 0
      return
    }
    this.#failures++
    this.#failuresInARow++
    // What Loki finds fault with in the lines themselves, too old or too long, it would refuse again.
    if (answer.kind === 'bad-lines') this.#queue.drop(batch)
    else this.#queue.putBack(batch)
    if (answer.kind === 'refused')
      this.#holdMs = Math.min(REFUSED_WAIT_MS, this.#options.waitMaxMs ?? REFUSED_WAIT_MS)
    if (answer.kind === 'later') this.#holdMs = answer.waitMs ?? 0
    if (this.#complained) return
    this.#complained = true
    this.#options.onTrouble(redactText(`Loki does not take log lines: ${answer.why}. Collecting goes on.`))
  }

  #lineOf(event: EverybarEvent, level: LogLevel): QueuedLine {
    const { level: _, ...fields } = event
    const clean = redact(fields) as Record<string, unknown>
    const labels: Record<string, string> = {}
    const metadata: Record<string, string> = {}
    for (const name of [...usualLabels, ...(this.#options.labels ?? [])]) {
      const value = name === 'level' ? level : clean[name]
      if (typeof value === 'string' && value !== '') labels[name] = value.slice(0, 1_024)
    }
    for (const name of ['event', 'symbol', 'timeframe', 'series', 'run_id', 'code']) {
      const value = clean[name]
      if (typeof value === 'string' && labels[name] === undefined) metadata[name] = value.slice(0, 1_024)
    }
    const nowMs = this.#options.nowMs()
    const text = JSON.stringify({ time: new Date(nowMs).toISOString(), level, ...clean })
    return {
      ns: this.#stamp(nowMs),
      labels: JSON.stringify(labels),
      text: text.slice(0, LINE_CHARS_MAX),
      metadata,
    }
  }

  /** Strictly ascending, so that lines of one millisecond keep their order. */
  #stamp(nowMs: number): string {
    const ns = BigInt(Math.floor(nowMs)) * 1_000_000n
    this.#lastNs = ns > this.#lastNs ? ns : this.#lastNs + 1n
    return String(this.#lastNs)
  }
}

/** Lines by their labels, as the push API wants them. */
function streamsOf(batch: readonly QueuedLine[]): unknown[] {
  const streams = new Map<string, unknown[]>()
  for (const { labels, ns, text, metadata } of batch) {
    const values = streams.get(labels) ?? []
    values.push([ns, text, metadata])
    streams.set(labels, values)
  }
  return [...streams].map(([labels, values]) => ({ stream: JSON.parse(labels) as unknown, values }))
}
