import type { IncomingMessage, ServerResponse } from 'node:http'
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import { afterEach, describe, expect, test } from 'vitest'
import type { Fetcher, FetchOptions } from '../../src/fetch/fetcher.ts'
import { createFetcher, type FetcherOptions } from '../../src/fetch/undici/create-fetcher.ts'
import { EverybarError } from '../../src/model/errors.ts'
import type { EverybarEvent } from '../../src/model/events.ts'
import type { RawResponse } from '../../src/model/http.ts'
import { httpServer, systemClock, type TestServer, tcpServer } from '../http-server.ts'

const cleanups: (() => PromiseLike<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function serve(server: Promise<TestServer>): Promise<TestServer> {
  const started = await server
  cleanups.push(started.close)
  return started
}

interface Setup {
  readonly baseUrl: string
  readonly options?: Partial<FetcherOptions>
}

/** The one place that names the API: a fetcher with short waits, and what it told. */
function fetcherTo({ baseUrl, options }: Setup) {
  const events: EverybarEvent[] = []
  const fetcher = createFetcher({
    clock: systemClock,
    onEvent: (event) => events.push(event),
    timeouts: { connectMs: 2_000, headersMs: 1_000, bodyMs: 1_000 },
    retry: { attempts: 3, baseMs: 5, rateLimitBaseMs: 100, rateLimitCapMs: 200 },
    ...options,
  })
  cleanups.push(() => fetcher[Symbol.asyncDispose]())
  const get = (path = '/x', more: FetchOptions & { headers?: Record<string, string> } = {}) => {
    const { headers, ...fetchOptions } = more
    const request = { url: `${baseUrl}${path}`, bucket: 'venue', weight: 2 }
    return fetcher.fetch(headers ? { ...request, headers } : request, fetchOptions)
  }
  return { fetcher, get, events }
}

const text = (response: RawResponse): string => new TextDecoder().decode(response.body)

async function failure(promise: Promise<unknown>): Promise<EverybarError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(EverybarError)
  return error as EverybarError
}

type Answer = (n: number, response: ServerResponse, request: IncomingMessage) => void

const status =
  (code: number, body = '<html>no</html>', headers: Record<string, string> = {}): Answer =>
  (_n, response) => {
    response.writeHead(code, headers).end(body)
  }
const thenOk =
  (failures: number, answer: Answer): Answer =>
  (n, response, request) => {
    if (n <= failures) answer(n, response, request)
    else response.end('ok')
  }
const stall: Answer = (_n, response) => {
  response.writeHead(200, { 'content-length': '100' })
  response.write('begun')
}
const drip: Answer = (_n, response) => {
  response.writeHead(200)
  const timer = setInterval(() => response.write('.'), 20)
  response.on('close', () => clearInterval(timer))
}
const resetMidBody: Answer = (_n, response) => {
  response.writeHead(200, { 'content-length': '100' })
  response.write('begun')
  setTimeout(() => response.socket?.resetAndDestroy(), 10)
}
const shortBody: Answer = (_n, response) => {
  response.socket?.end('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun')
}
const silence: Answer = () => {}

describe('a fault that stays', () => {
  const short = { timeouts: { connectMs: 300, headersMs: 150, bodyMs: 150 } }
  const table: [name: string, answer: Answer, code: string, recovery: string, requests: number][] = [
    ['no answer at all', silence, 'fetch.timeout', 'retry', 3],
    ['a body that stalls', stall, 'fetch.timeout', 'retry', 3],
    ['a body that drips', drip, 'fetch.timeout', 'retry', 3],
    ['a reset in the body', resetMidBody, 'fetch.unreachable', 'retry', 3],
    ['a body shorter than announced', shortBody, 'fetch.unreachable', 'retry', 3],
    ['500', status(500), 'fetch.server-error', 'retry', 3],
    ['502', status(502), 'fetch.server-error', 'retry', 3],
    ['503', status(503), 'fetch.server-error', 'retry', 3],
    ['504', status(504), 'fetch.server-error', 'retry', 3],
    ['408', status(408), 'fetch.server-error', 'retry', 3],
    ['403 from a firewall', status(403), 'fetch.forbidden', 'retry', 2],
    ['451', status(451), 'fetch.geo-blocked', 'abort', 1],
    ['a redirect', status(302, '', { location: 'http://other.invalid/' }), 'fetch.redirect', 'abort', 1],
    ['a redirect without a target', status(301), 'fetch.redirect', 'abort', 1],
    ['corrupt gzip', status(200, 'no gzip', { 'content-encoding': 'gzip' }), 'fetch.broken-body', 'retry', 3],
    ['unknown packing', status(200, 'x', { 'content-encoding': 'rot13' }), 'fetch.broken-body', 'retry', 3],
    ['429 for ever', status(429), 'fetch.rate-limited', 'retry', 3],
  ]
  test.each(table)('%s', async (_name, answer, code, recovery, requests) => {
    const { baseUrl } = await serve(httpServer(answer))
    const { get, fetcher } = fetcherTo({ baseUrl, options: short })
    const error = await failure(get())
    expect([error.code, error.recovery]).toEqual([code, recovery])
    expect(error.hint).not.toBe('')
    expect(fetcher.stats().requests).toBe(requests)
  })

  test('a refused connection', async () => {
    const { baseUrl, close } = await httpServer(silence)
    await close()
    const { get, fetcher } = fetcherTo({ baseUrl })
    expect((await failure(get())).code).toBe('fetch.unreachable')
    expect(fetcher.stats()).toMatchObject({ requests: 0, retries: 2 })
  })

  test('a name that does not resolve', async () => {
    const { get } = fetcherTo({ baseUrl: 'http://nowhere.invalid' })
    expect((await failure(get())).code).toBe('fetch.unreachable')
  })

  test('a TLS handshake nobody answers ends by the connect timeout', async () => {
    const { port } = await serve(tcpServer(() => {}))
    const { get } = fetcherTo({ baseUrl: `https://127.0.0.1:${port}`, options: short })
    expect((await failure(get())).code).toBe('fetch.timeout')
  })

  test('TLS to a server that speaks none', async () => {
    const { port } = await serve(httpServer(status(200)))
    const { get } = fetcherTo({ baseUrl: `https://127.0.0.1:${port}` })
    expect((await failure(get())).code).toBe('fetch.unreachable')
  })

  test('an address that is none is not shown', async () => {
    const { get } = fetcherTo({ baseUrl: 'ftp://user:hunter2@host' })
    const error = await failure(get())
    expect(error.code).toBe('fetch.bad-request')
    expect(JSON.stringify([error.message, error.hint])).not.toContain('hunter2')
  })
})

describe('a fault that passes', () => {
  test.each<[string, Answer]>([
    ['a body that stalls', stall],
    ['a reset in the body', resetMidBody],
    ['503', status(503)],
    ['403', (n, response) => void response.writeHead(n === 1 ? 403 : 503).end()],
    ['429 without Retry-After', status(429)],
  ])('%s: the next try is the answer', async (name, answer) => {
    const { baseUrl } = await serve(httpServer(thenOk(name === '403' ? 1 : 2, answer)))
    const { get } = fetcherTo({ baseUrl, options: { timeouts: { headersMs: 300, bodyMs: 200 } } })
    const response = await get()
    expect([text(response), response.attempts]).toEqual(['ok', name === '403' ? 2 : 3])
  })

  test('what the check refuses with retry is asked again, and 200 HTML with it', async () => {
    const { baseUrl } = await serve(httpServer(thenOk(2, status(200, '<html>login</html>'))))
    const { get, events } = fetcherTo({ baseUrl })
    const check = (response: RawResponse): void => {
      if (text(response).startsWith('<')) {
        throw new EverybarError('source.not-an-answer', 'HTML', { recovery: 'retry', hint: 'again' })
      }
    }
    expect(text(await get('/x', { check }))).toBe('ok')
    expect(events.map(({ event, code }) => [event, code])).toEqual([
      ['fetch_retry', 'source.not-an-answer'],
      ['fetch_retry', 'source.not-an-answer'],
    ])
  })

  test('what the check refuses with abort is not asked again', async () => {
    const { baseUrl } = await serve(httpServer(status(400, '{"code":-1121}')))
    const { get, fetcher } = fetcherTo({ baseUrl })
    const check = (): void => {
      throw new EverybarError('source.unknown-symbol', 'no', { recovery: 'abort', hint: 'none' })
    }
    expect((await failure(get('/x', { check }))).code).toBe('source.unknown-symbol')
    expect(fetcher.stats().requests).toBe(1)
  })
})

describe('a body', () => {
  const json = JSON.stringify(Array.from({ length: 500 }, (_, i) => [i, '1.0']))
  test.each<[string, (packed: string) => Buffer]>([
    ['gzip', (s) => gzipSync(s)],
    ['deflate', (s) => deflateSync(s)],
    ['br', (s) => brotliCompressSync(s)],
    ['identity', (s) => Buffer.from(s)],
  ])('packed as %s is unpacked', async (encoding, pack) => {
    const { baseUrl } = await serve(
      httpServer((_n, response) => response.setHeader('content-encoding', encoding).end(pack(json))),
    )
    const { get } = fetcherTo({ baseUrl })
    const response = await get()
    expect(text(response)).toBe(json)
    expect(response.headers).not.toHaveProperty('content-encoding')
  })

  test.each<[string, Answer]>([
    ['announced', status(200, 'x'.repeat(2_000))],
    [
      'chunked',
      (_n, response) => {
        response.write('x'.repeat(900))
        response.end('x'.repeat(900))
      },
    ],
    [
      'unpacked',
      (_n, response) => void response.setHeader('content-encoding', 'gzip').end(gzipSync('x'.repeat(1e6))),
    ],
  ])('larger than allowed, %s, is refused', async (_name, answer) => {
    const { baseUrl } = await serve(httpServer(answer))
    const { get } = fetcherTo({ baseUrl, options: { bodyMaxBytes: 1_500 } })
    expect((await failure(get())).code).toBe('fetch.body-too-large')
  })
})

describe('secrets', () => {
  test('headers go out, and neither they nor keys in the query come back', async () => {
    let seen: string | undefined
    const { baseUrl } = await serve(
      httpServer((_n, response, request) => {
        seen = String(request.headers['x-api-key']) + request.url
        response.writeHead(500).end()
      }),
    )
    const { get, events } = fetcherTo({ baseUrl })
    const error = await failure(
      get('/p?symbol=BTC&apiKey=hunter2&signature=hunter3&access_token=hunter4', {
        headers: { 'X-Api-Key': 'hunter5' },
      }),
    )
    expect(seen).toBe('hunter5/p?symbol=BTC&apiKey=hunter2&signature=hunter3&access_token=hunter4')
    expect(JSON.stringify([error.message, error.hint, events])).not.toContain('hunter')
    expect(error.message).toContain('/p?symbol=BTC')
  })
})

describe('a server that says back what it was told', () => {
  const refusing = (response: RawResponse): void => {
    throw new EverybarError('source.refused', `said ${text(response).slice(0, 60)}`, {
      recovery: 'abort',
      hint: 'none',
    })
  }
  const echo: Answer = (_n, response, request) => {
    const { authorization, 'x-api-key': key } = request.headers
    response.writeHead(400).end(JSON.stringify({ authorization, key, url: request.url }))
  }
  test.each([
    ['a token with its word', { Authorization: 'token hunter1-key:hunter2-secret' }, '/x'],
    ['a key of quotes and slashes', { 'X-Api-Key': 'hunter"3"/\\' }, '/x'],
    ['a parameter', {}, '/x?symbol=A&signature=hunter%204'],
  ])('%s is not in the error', async (_name, headers, path) => {
    const { baseUrl } = await serve(httpServer(echo))
    const { get } = fetcherTo({ baseUrl })
    const error = await failure(get(path, { headers, check: refusing }))
    expect(error).toMatchObject({ code: 'source.refused', message: expect.stringContaining('[redacted]') })
    expect(`${error.message} ${error.hint} ${String(error.cause)}`).not.toContain('hunter')
  })
})

describe('stopping', () => {
  type Stats = ReturnType<Fetcher['stats']>
  test.each<[string, Answer, (stats: Stats) => boolean]>([
    ['in flight', silence, ({ requests }) => requests === 1],
    ['between tries', status(503), ({ retries }) => retries === 1],
    ['while blocked', status(429, '', { 'retry-after': '60' }), ({ retries }) => retries === 1],
  ])('%s rejects with the reason, at once', async (_name, answer, there) => {
    const { baseUrl } = await serve(httpServer(answer))
    const retry = { attempts: 9, baseMs: 60_000, factor: 1, capMs: 60_000 }
    const options = { retry, random: () => 0.99, timeouts: { headersMs: 60_000 } }
    const { get, fetcher } = fetcherTo({ baseUrl, options })
    const controller = new AbortController()
    const reason = new Error('enough')
    const rejected = expect(get('/x', { signal: controller.signal })).rejects.toBe(reason)
    while (!there(fetcher.stats())) await systemClock.sleep(5)
    const startedMs = performance.now()
    controller.abort(reason)
    await rejected
    // A minute is what it would wait for otherwise.
    expect(performance.now() - startedMs).toBeLessThan(30_000)
  })

  test('an aborted signal sends nothing', async () => {
    const { baseUrl } = await serve(httpServer(status(200)))
    const { get, fetcher } = fetcherTo({ baseUrl })
    await expect(get('/x', { signal: AbortSignal.abort(new Error('no')) })).rejects.toThrow('no')
    expect(fetcher.stats().requests).toBe(0)
  })

  test('closing fails what is in flight and what comes later', async () => {
    const { baseUrl } = await serve(httpServer(silence))
    const { get, fetcher } = fetcherTo({ baseUrl })
    const inFlight = failure(get())
    while (fetcher.stats().requests === 0) await systemClock.sleep(5)
    await fetcher[Symbol.asyncDispose]()
    expect((await inFlight).code).toBe('fetch.closed')
    expect((await failure(get())).code).toBe('fetch.closed')
  })
})
