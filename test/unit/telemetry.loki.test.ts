import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gunzipSync } from 'node:zlib'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { collectorLog } from '../../src/telemetry/collector-log.ts'
import { type LokiOptions, lokiSink } from '../../src/telemetry/loki.ts'
import { sendToLoki } from '../../src/telemetry/loki-http.ts'

interface Stream {
  readonly stream: Readonly<Record<string, string>>
  readonly values: readonly (readonly [ns: string, line: string, metadata: Record<string, string>])[]
}

interface Pushed {
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly streams: readonly Stream[]
}

type Reply = number | 'hang' | 'cut'

/** A Loki as far as a pusher sees it: the push API with the limits it has by default. */
async function startLoki(reply: (push: number) => Reply = () => 204) {
  const pushes: Pushed[] = []
  const accepted: (readonly [string, string, Record<string, string>])[] = []
  const answer = (request: IncomingMessage, response: ServerResponse, body: Buffer) => {
    const streams = (JSON.parse(gunzipSync(body).toString()) as { streams: Stream[] }).streams
    pushes.push({ path: request.url ?? '', headers: request.headers, streams })
    const said = reply(pushes.length)
    if (said === 'hang') return
    if (said === 'cut') return void request.socket.destroy()
    if (said === 204) {
      const fault = faultOf(request, streams)
      if (fault) return void response.writeHead(fault[0]).end(fault[1])
      accepted.push(...streams.flatMap(({ values }) => values))
    }
    response.writeHead(said).end(said === 204 ? '' : 'because')
  }
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => answer(request, response, Buffer.concat(chunks)))
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, pushes, accepted }
}

function faultOf(request: IncomingMessage, streams: readonly Stream[]): [number, string] | undefined {
  if (request.url !== '/loki/api/v1/push') return [404, 'page not found']
  if (request.headers['content-type'] !== 'application/json') return [400, 'unsupported content type']
  for (const { stream, values } of streams) {
    const names = Object.keys(stream)
    if (names.length === 0) return [400, 'error at least one label pair is required per stream']
    if (names.length > 15) return [400, 'max_label_names_per_series']
    if (values.some(([, line]) => line.length > 256 * 1024)) return [400, 'line_too_long']
    if (values.some(([ns], i) => i > 0 && BigInt(ns) <= BigInt(values[i - 1]![0])))
      return [400, 'out of order']
    const flat = values.every(([, , metadata]) => Object.values(metadata).every((v) => typeof v === 'string'))
    if (!flat) return [400, 'structured metadata has to be flat text']
  }
  return undefined
}

function sinkFor(url: string, options: Partial<LokiOptions> = {}) {
  const said: string[] = []
  const sink = lokiSink({
    url,
    nowMs: () => Date.now(),
    onTrouble: (message) => said.push(message),
    waitMs: 5,
    waitMaxMs: 20,
    timeoutMs: 300,
    closeMs: 1_000,
    ...options,
  })
  const log = collectorLog(sink.onEvent, { service_name: 'tda', environment: 'test', mode: 'history' })
  return { sink, log, said }
}

async function until(done: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !done(); i++) await new Promise((again) => setTimeout(again, 10))
  expect(done()).toBe(true)
}

const page = (i: number) => ({
  event: 'history_page_done',
  series: 'kraken:spot:XXBTZUSD:1h',
  rows: i,
  cursor_ms: i,
})

describe('log lines to Loki', () => {
  test('few labels, the rest as structured metadata, in order', async () => {
    const loki = await startLoki()
    const { sink, log } = sinkFor(loki.url, { username: 'me', password: 'pw', tenant: 't1' })
    log({ event: 'config_loaded' })
    for (let i = 0; i < 3; i++) log(page(i))
    await sink.close()
    const all = loki.pushes.flatMap(({ streams }) => streams)
    expect(all.map(({ stream }) => stream)).toContainEqual({
      ...{ service_name: 'tda', environment: 'test', exchange: 'kraken', mode: 'history', level: 'info' },
    })
    const lines = loki.accepted.map(([, line, metadata]) => ({ ...JSON.parse(line), metadata }))
    expect(lines.map(({ event }) => event)).toEqual(['config_loaded', ...Array(3).fill('history_page_done')])
    expect(lines[1]).toMatchObject({
      rows: 0,
      timeframe: '1h',
      metadata: { event: 'history_page_done', symbol: 'XXBTZUSD', timeframe: '1h' },
    })
    const [first] = loki.pushes
    expect(first!.path).toBe('/loki/api/v1/push')
    expect(first!.headers).toMatchObject({
      authorization: `Basic ${Buffer.from('me:pw').toString('base64')}`,
      'x-scope-orgid': 't1',
    })
    expect(sink.stats()).toMatchObject({ sent: 4, dropped: 0, queued: 0 })
  })

  test('the first line leaves at once: a wrong address shows at the start', async () => {
    const loki = await startLoki()
    const { sink, log } = sinkFor(loki.url)
    log({ event: 'config_loaded' })
    await until(() => loki.accepted.length === 1)
    await sink.close()
  })

  test('symbol and timeframe are labels where asked for', async () => {
    const loki = await startLoki()
    const { sink, log } = sinkFor(loki.url, { labels: ['symbol', 'timeframe'] })
    log(page(1))
    await sink.close()
    expect(loki.pushes[0]!.streams[0]!.stream).toMatchObject({ symbol: 'XXBTZUSD', timeframe: '1h' })
  })

  const passing: [string, Reply][] = [
    ['429', 429],
    ['500', 500],
    ['503', 503],
    ['the connection cut', 'cut'],
    ['no answer', 'hang'],
    ['401', 401],
  ]
  test.each(passing)('%s: nothing is lost while there is room, and it is said once', async (_name, reply) => {
    const loki = await startLoki((push) => (push <= 3 ? reply : 204))
    const { sink, log, said } = sinkFor(loki.url)
    for (let i = 0; i < 50; i++) log(page(i))
    await until(() => sink.stats().sent === 50)
    expect(loki.accepted.map(([, line]) => JSON.parse(line).rows)).toEqual(
      Array.from({ length: 50 }, (_, i) => i),
    )
    expect(said).toHaveLength(1)
    expect(sink.stats()).toMatchObject({ dropped: 0, failures: 3 })
    await sink.close()
  })

  test('400: the lines are at fault, and are not sent again', async () => {
    const loki = await startLoki((push) => (push === 1 ? 400 : 204))
    const { sink, log, said } = sinkFor(loki.url)
    log(page(1))
    await until(() => sink.stats().dropped === 1)
    log(page(2))
    await sink.close()
    expect(loki.accepted.map(([, line]) => JSON.parse(line).rows)).toEqual([2])
    expect(said[0]).toContain('400')
    expect(said.at(-1)).toBe('1 log lines did not reach Loki')
  })

  test('down for good: memory is bounded, the oldest go, what went is counted, closing ends', async () => {
    const { sink, log, said } = sinkFor('http://127.0.0.1:1', { queueMax: 100, closeMs: 200 })
    for (let i = 0; i < 5_000; i++) log(page(i))
    expect(sink.stats().queued).toBeLessThanOrEqual(100)
    await sink.close()
    expect(sink.stats()).toMatchObject({ queued: 0, sent: 0, dropped: 5_000 })
    expect(said[0]).toContain('Loki does not take log lines')
    expect(said.at(-1)).toBe('5000 log lines did not reach Loki')
  })

  test('bytes are bounded too, and a line too long is cut', async () => {
    const loki = await startLoki((push) => (push === 1 ? 503 : 204))
    const { sink, log } = sinkFor(loki.url, { bytesMax: 1_000_000 })
    for (let i = 0; i < 20; i++) log({ event: 'big', text: 'x'.repeat(300_000) })
    expect(sink.stats().queued).toBeLessThan(6)
    await sink.close()
    expect(loki.accepted.every(([, line]) => line.length <= 200_000)).toBe(true)
  })

  test('no secret leaves', async () => {
    const loki = await startLoki()
    const { sink, log } = sinkFor(loki.url)
    log({ event: 'x', password: 'hunter2', url: 'http://u:hunter2@h/?token=hunter2' })
    await sink.close()
    expect(JSON.stringify(loki.pushes.map(({ streams }) => streams))).not.toContain('hunter2')
  })

  test('an answer that says the login back, and never ends: neither is shown or read to its end', async () => {
    let ended = false
    const server = createServer((request, response) => {
      request.resume().on('end', () => {
        response.writeHead(401)
        response.write(`no entry for ${request.headers.authorization}, hunter2 `)
        const timer = setInterval(() => response.write('x'.repeat(65_536)), 1)
        response.on('close', () => {
          clearInterval(timer)
          ended = true
        })
      })
    })
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    onTestFinished(() => void server.close())
    const answer = await sendToLoki({
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      body: new Uint8Array(),
      username: 'me',
      password: 'hunter2',
      tenant: undefined,
      timeoutMs: 60_000,
      signal: new AbortController().signal,
    })
    expect(answer).toMatchObject({
      kind: 'refused',
      why: expect.stringContaining('no entry for Basic [redacted], [redacted] xxx'),
    })
    await vi.waitFor(() => expect(ended).toBe(true))
  })

  test('an address with the path, and a line below the level', async () => {
    const loki = await startLoki()
    const { sink, log } = sinkFor(`${loki.url}/loki/api/v1/push`, { level: 'warn' })
    log(page(1))
    log({ event: 'store_error', level: 'error', store: 'bigquery' })
    await sink.close()
    expect(loki.accepted.map(([, line]) => JSON.parse(line).event)).toEqual(['bq_insert_error'])
  })
})

describe("a collector's names", () => {
  const seen = (event: Parameters<ReturnType<typeof collectorLog>>[0]) => {
    const out: unknown[] = []
    collectorLog((line) => out.push(line), { service_name: 's', environment: 'e', mode: 'm' })(event)
    return out
  }
  test.each([
    [
      { event: 'fetch_retry', waitMs: 12.4, attempt: 2 },
      { event: 'backoff_retry', wait_ms: 12, attempt: 2 },
    ],
    [{ event: 'store_ensure', store: 'bigquery' }, { event: 'bq_ensure_table' }],
    [
      { event: 'store_commit', store: 'bigquery', rows: 5 },
      { event: 'bq_insert_ok', rows: 5 },
    ],
    [{ event: 'store_commit', store: 'parquet' }, { event: 'store_commit' }],
    [
      { event: 'fetch_ok', series: 'bybit:swap:BTC/USDT:USDT:1h@mark' },
      { exchange: 'bybit', market: 'swap', symbol: 'BTC/USDT:USDT', timeframe: '1h' },
    ],
  ])('%o', (event, expected) => expect(seen(event)[0]).toMatchObject(expected))

  test('a wait is told once', () => {
    expect(seen({ event: 'fetch_retry', waitMs: 12.4 })[0]).not.toHaveProperty('waitMs')
  })

  test('progress is for screens', () => expect(seen({ event: 'progress' })).toEqual([]))
})
