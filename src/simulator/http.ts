import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import { EverybarError } from '../model/errors.ts'
import type { EpochMs } from '../model/time.ts'

/** One request as a venue sees it. */
export interface SimulatedRequest {
  readonly method: string
  /** Without the query, still percent-encoded. */
  readonly path: string
  readonly query: URLSearchParams
  /** Lower-case names. */
  readonly headers: IncomingHttpHeaders
  /** Of a POST: the first 64 kB. */
  readonly body?: string
}

/**
 * How an answer travels. `whole` is the honest way; `reset` sends half and cuts the connection; `drop` cuts it before
 * the first byte; `stall` sends half and then nothing; `drip` sends `bytes` every `everyMs`; `endless` sends the
 * body, without a length, over and over.
 */
export type Delivery =
  | { readonly kind: 'whole' }
  | { readonly kind: 'reset' }
  | { readonly kind: 'drop' }
  | { readonly kind: 'stall' }
  | { readonly kind: 'endless' }
  | { readonly kind: 'drip'; readonly bytes: number; readonly everyMs: number }

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
  /** `whole` when left out. */
  readonly delivery?: Delivery
}

export interface HttpOptions {
  /** 0, the default, takes any free port. */
  readonly port?: number
  /** Milliseconds between a request's arrival and its answer. Requests do not wait for one another. */
  readonly rttMs?: number
  /** Compress where the client accepts it. Off by default: it costs more time than everything else together. */
  readonly gzip?: boolean
  /** The venue's clock, for the `Date` header. */
  readonly now: () => EpochMs
  /** Told how many requests are unanswered, each time one more arrives. */
  readonly onConcurrent?: (count: number) => void
}

export interface RunningServer {
  readonly url: string
  readonly port: number
  /** Connections open now and ever. */
  readonly connections: () => { readonly open: number; readonly total: number }
  /** Cuts what is open, answers under way included; twice is once. */
  readonly close: () => Promise<void>
}

const compress = promisify(gzip)
const wholeBody: Delivery = { kind: 'whole' }

/**
 * Serves `answer` over HTTP/1.1 with keep-alive on 127.0.0.1, and nowhere else. An exception in `answer` is a fault of
 * the simulator, not of the venue: the client gets a 500 whose text says so.
 *
 * @throws EverybarError `simulator.port-in-use` (abort).
 */
export async function serveHttp(
  answer: (request: SimulatedRequest) => Answer | Promise<Answer>,
  options: HttpOptions,
): Promise<RunningServer> {
  const sockets = new Set<Socket>()
  let total = 0
  let unanswered = 0
  const server = createServer({ keepAliveTimeout: 75_000 }, (incoming, response) => {
    options.onConcurrent?.(++unanswered)
    response.once('close', () => unanswered--)
    void handle(incoming, response, answer, options)
  })
  server.on('connection', (socket) => {
    total++
    sockets.add(socket)
    socket.setNoDelay(true)
    socket.once('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => reject(listenError(cause, options.port ?? 0)))
    server.listen(options.port ?? 0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  let closing: Promise<void> | undefined
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    connections: () => ({ open: sockets.size, total }),
    close: () => {
      closing ??= new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of sockets) socket.destroy()
      })
      return closing
    },
  }
}

function listenError(cause: NodeJS.ErrnoException, port: number): Error {
  if (cause.code !== 'EADDRINUSE' && cause.code !== 'EACCES') return cause
  return new EverybarError('simulator.port-in-use', `cannot listen on 127.0.0.1:${port}: ${cause.code}`, {
    recovery: 'abort',
    hint: 'Choose another port, or 0 for any free one.',
    cause,
  })
}

async function handle(
  incoming: IncomingMessage,
  response: ServerResponse,
  answer: (request: SimulatedRequest) => Answer | Promise<Answer>,
  options: HttpOptions,
): Promise<void> {
  const arrived = performance.now()
  let ready: Answer
  try {
    if (incoming.method === 'POST') {
      const body = await readBody(incoming)
      ready = await answer({ ...readRequest(incoming), body })
    } else {
      incoming.resume()
      ready = await answer(readRequest(incoming))
    }
  } catch (error) {
    const text = `simulator: ${error instanceof Error ? error.message : String(error)}`
    ready = { status: 500, headers: { 'Content-Type': 'text/plain' }, body: Buffer.from(text) }
  }
  if (options.gzip && acceptsGzip(incoming) && !ready.headers['Content-Encoding']) ready = await zipped(ready)
  const wait = (options.rttMs ?? 0) - (performance.now() - arrived)
  if (wait > 0.5) setTimeout(() => send(response, ready, options.now()), wait)
  else send(response, ready, options.now())
}

const POST_BYTES_MAX = 65_536

async function readBody(incoming: IncomingMessage): Promise<string> {
  let body = ''
  incoming.setEncoding('utf8')
  for await (const piece of incoming) if (body.length < POST_BYTES_MAX) body += String(piece)
  return body.slice(0, POST_BYTES_MAX)
}

function readRequest(incoming: IncomingMessage): SimulatedRequest {
  const url = incoming.url ?? '/'
  const mark = url.indexOf('?')
  return {
    method: incoming.method ?? 'GET',
    path: mark < 0 ? url : url.slice(0, mark),
    query: new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1)),
    headers: incoming.headers,
  }
}

const acceptsGzip = (incoming: IncomingMessage): boolean =>
  /\bgzip\b(?!;q=0(\.0*)?\s*(,|$))/.test(String(incoming.headers['accept-encoding'] ?? ''))

const zipped = async (answer: Answer): Promise<Answer> => ({
  ...answer,
  headers: { ...answer.headers, 'Content-Encoding': 'gzip', Vary: 'Accept-Encoding' },
  body: await compress(answer.body, { level: 1 }),
})

function send(response: ServerResponse, answer: Answer, nowMs: EpochMs): void {
  if (response.destroyed) return
  const delivery = answer.delivery ?? wholeBody
  if (delivery.kind === 'drop') {
    response.socket?.resetAndDestroy()
    return
  }
  response.sendDate = false
  const headers: Record<string, string | number> = { ...answer.headers, Date: httpDate(nowMs) }
  if (delivery.kind !== 'endless') headers['Content-Length'] = answer.body.length
  response.writeHead(answer.status, headers)
  switch (delivery.kind) {
    case 'whole':
      response.end(answer.body)
      return
    case 'reset':
      response.write(half(answer.body), () => response.socket?.resetAndDestroy())
      return
    case 'stall':
      response.write(half(answer.body))
      return
    case 'drip':
      drip(response, answer.body, delivery)
      return
    case 'endless':
      endless(response, answer.body)
      return
    default:
      delivery satisfies never
  }
}

const half = (body: Uint8Array): Uint8Array => body.subarray(0, Math.max(1, body.length >> 1))

function drip(response: ServerResponse, body: Uint8Array, pace: { bytes: number; everyMs: number }): void {
  let sent = 0
  const timer = setInterval(() => {
    if (response.destroyed) {
      clearInterval(timer)
      return
    }
    response.write(body.subarray(sent, sent + pace.bytes))
    sent += pace.bytes
    if (sent < body.length) return
    clearInterval(timer)
    response.end()
  }, pace.everyMs)
}

/** Never more than the socket's buffer ahead of the client, so that an endless body costs no memory here. */
function endless(response: ServerResponse, body: Uint8Array): void {
  const chunk = body.length > 0 ? body : Buffer.from(' ')
  const more = () => {
    while (!response.destroyed && response.write(chunk)) if (response.writableNeedDrain) break
  }
  response.on('drain', more)
  more()
}

let dateSecond = -1
let dateText = ''

/** Dates change once a second, and making the text costs more than the rest of the headers. */
function httpDate(ms: EpochMs): string {
  const second = Math.floor(ms / 1000)
  if (second !== dateSecond) {
    dateSecond = second
    dateText = new Date(second * 1000).toUTCString()
  }
  return dateText
}
