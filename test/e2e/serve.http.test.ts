import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readArrowColumns } from '../consumers.ts'
import { type Running, running } from '../support/data-server.ts'

const BTC = 'binance:spot:BTCUSDT:1m'
const bars = (parameters: Record<string, string>) => `/api/v1/bars?${new URLSearchParams(parameters)}`

describe('what a running server answers', () => {
  let at: Running
  beforeAll(async () => {
    at = await running()
    await at.until(
      () => at.get('/readyz'),
      ({ status }) => status === 200,
    )
  })
  afterAll(() => at.close())

  test('alive and ready, with every check by name', async () => {
    expect(await at.json('/livez')).toMatchObject({ alive: true, version: '0.1.0' })
    const { ready, checks } = await at.server.ready()
    expect(ready).toBe(true)
    expect(checks.map(({ name }) => name)).toEqual(['watching', 'fresh', 'ledger', 'root', 'store:parquet'])
    expect(checks.every(({ ok }) => ok)).toBe(true)
  })

  test('status: what `everybar status --json` says, and how things run', async () => {
    const found = await at.json('/api/v1/status')
    expect(found).toMatchObject({ version: '0.1.0', total: 1, jobs: [] })
    expect(found.series[0]).toMatchObject({
      series: BTC,
      coverage: expect.any(Number),
      lagMs: expect.any(Number),
    })
    expect(found.live.series[0]).toMatchObject({ series: BTC, failures: 0 })
    expect(found.live.cycles).toBeGreaterThanOrEqual(0)
    expect(await at.json('/api/v1/status?offset=1')).toMatchObject({ series: [], total: 1 })
  })

  test('gaps: what was asked for and cannot be there yet', async () => {
    const { gaps, total } = await at.json('/api/v1/gaps?from=2024-03-01&to=2024-03-01T10:00Z')
    expect(total).toBe(gaps.length)
    for (const gap of gaps) expect(gap).toMatchObject({ series: BTC, class: expect.any(String) })
  })

  test('bars as JSON, page by page, exactly those there are', async () => {
    const range = { series: BTC, from: '2024-03-01T10:00Z', to: '2024-03-01T11:00Z' }
    const whole = await at.json(bars(range))
    expect(whole.columns.slice(0, 6)).toEqual(['open_time', 'open', 'high', 'low', 'close', 'volume'])
    expect(whole.bars).toHaveLength(60)
    expect(whole.bars[0][0]).toBe('2024-03-01T10:00:00Z')
    expect(whole.bars.at(-1)[0]).toBe('2024-03-01T10:59:00Z')
    expect(whole.next).toBe(null)
    const paged: unknown[] = []
    for (let from: string | null = range.from; from !== null; ) {
      const page: typeof whole = await at.json(bars({ ...range, from, limit: '25' }))
      paged.push(...page.bars)
      from = page.next
    }
    expect(paged).toEqual(whole.bars)
  })

  test('without a start the latest; without a bar none', async () => {
    const latest = await at.json(bars({ series: BTC, limit: '3' }))
    expect(latest.bars).toHaveLength(3)
    expect(Date.parse(latest.bars[2][0])).toBeGreaterThan(Date.parse('2024-03-01T11:57Z'))
    const none = await at.json(bars({ series: BTC, from: '2020', to: '2021' }))
    expect(none).toMatchObject({ series: BTC, bars: [], next: null })
  })

  test.each([
    ['2024-03-01T10:00Z', '1', ['09:59']],
    ['2024-03-01T10:00:30Z', '1', ['10:00']],
    ['2024-03-01T10:00:30Z', '3', ['09:58', '09:59', '10:00']],
  ])('without a start the latest before %s, %s of them', async (to, limit, expected) => {
    const found = await at.json(bars({ series: BTC, to, limit }))
    expect(found.bars.map(([time]: [string]) => time.slice(11, 16))).toEqual(expected)
  })

  test('bars as CSV are the same bars', async () => {
    const range = { series: BTC, from: '2024-03-01T10:00Z', to: '2024-03-01T10:05Z' }
    const { columns, bars: rows } = await at.json(bars(range))
    const answer = await at.get(bars({ ...range, format: 'csv' }))
    expect(answer.headers.get('content-type')).toMatch(/^text\/csv/)
    const lines = (await answer.text()).trimEnd().split('\n')
    expect(lines[0]).toBe(columns.join(','))
    expect(lines.slice(1)).toEqual(rows.map((row: unknown[]) => row.join(',')))
  })

  test('bars as an Arrow file are the same bars', async () => {
    const range = { series: BTC, from: '2024-03-01T10:00Z', to: '2024-03-01T11:00Z' }
    const { columns, bars: rows } = await at.json(bars(range))
    const answer = await at.get(bars({ ...range, format: 'arrow' }))
    expect(answer.headers.get('content-type')).toBe('application/vnd.apache.arrow.file')
    const read = readArrowColumns(Buffer.from(await answer.arrayBuffer()))
    expect([...read.keys()]).toEqual(columns)
    for (const [c, name] of (columns as string[]).entries()) {
      const bytes = read.get(name)!
      const valueAt = (i: number) =>
        c === 0 ? Number(bytes.readBigInt64LE(i * 8) / 1000n) : bytes.readDoubleLE(i * 8)
      expect(bytes.length).toBe(rows.length * 8)
      const told = rows.map((row: unknown[]) => (typeof row[c] === 'string' ? Date.parse(row[c]) : row[c]))
      expect(
        rows.map((_: unknown, i: number) => valueAt(i)),
        name,
      ).toEqual(told)
    }
  })

  test('metrics are Prometheus text', async () => {
    const answer = await at.get('/metrics')
    expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
    const text = await answer.text()
    expect(text).toMatch(/^everybar_series_watched\{state="(level|behind)"\} 1$/m)
    expect(text).toMatch(/^everybar_series_lag_seconds\{venue="binance"\} \d+$/m)
    expect(text).toMatch(/^everybar_ledger_slices\{status="(ok|partial)"\} [1-9]/m)
    expect(text).toMatch(/^everybar_bars_written_total\{store="parquet"\} [1-9]/m)
    expect(text).toMatch(/^everybar_http_requests_total\{route="\/livez",status="200"\} [1-9]/m)
    for (const line of text.trimEnd().split('\n')) expect(line).toMatch(/^(# .*|[a-z_]+(\{[^{}]*\})? \S+)$/)
  })

  test('the dashboard asks for metrics there are, and the documentation lists each', async () => {
    const text = await (await at.get('/metrics')).text()
    const known = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name!)
    expect(new Set(known).size).toBe(known.length)
    const file = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
    const asked = [...file('docker/grafana/dashboards/everybar.json').matchAll(/everybar_[a-z_]+/g)]
    const names = asked.map(([name]) => name.replace(/_bucket$/, ''))
    expect(names.length).toBeGreaterThan(8)
    expect(names.filter((name) => !known.includes(name))).toEqual([])
    const documented = [...file('docs/logs.md').matchAll(/`(everybar_[a-z_]+)`/g)].map(([, name]) => name!)
    expect(known.filter((name) => !documented.includes(name))).toEqual([])
    expect(documented.filter((name) => !known.includes(name))).toEqual([])
  })

  test.each<[string, number, string]>([
    ['/api/v1/bars', 400, 'web.bad-parameter'],
    ['/api/v1/bars?series=BTCUSDT', 400, 'series.bad-selector'],
    ['/api/v1/bars?series=binance:spot:BTCUSDT:7q', 400, 'timeframe.unknown'],
    ['/api/v1/bars?series=binance:spot:ETHUSDT:1m', 404, 'web.unknown-series'],
    ['/api/v1/bars?series=binance:spot:*:1m', 404, 'web.unknown-series'],
    ['/api/v1/bars?series=binance:spot:..%2F..%2Fetc%2Fpasswd:1m', 404, 'web.unknown-series'],
    ["/api/v1/bars?series=binance:spot:'%3B%20DROP%20TABLE%20bars%3B--:1m", 404, 'web.unknown-series'],
    ['/api/v1/bars?series=binance:spot:A%00B:1m', 400, 'series.bad-selector'],
    [bars({ series: BTC, from: 'soon' }), 400, 'web.bad-parameter'],
    [bars({ series: BTC, from: '1709290800000' }), 400, 'web.bad-parameter'],
    [bars({ series: BTC, from: '2024-03-02', to: '2024-03-01' }), 400, 'time.bad-range'],
    [bars({ series: BTC, limit: '0' }), 400, 'web.bad-parameter'],
    [bars({ series: BTC, limit: '1e6' }), 400, 'web.bad-parameter'],
    [bars({ series: BTC, limit: '1000001' }), 400, 'web.bad-parameter'],
    [bars({ series: BTC, format: 'xml' }), 400, 'web.bad-parameter'],
    [bars({ series: BTC, form: 'csv' }), 400, 'web.bad-parameter'],
    [`${bars({ series: BTC, limit: '1' })}&limit=2`, 400, 'web.bad-parameter'],
    [`${bars({ series: BTC })}&series=${BTC}`, 400, 'web.bad-parameter'],
    ['/api/v1/gaps?to=listing', 400, 'web.bad-parameter'],
    ['/api/v1/status?limit=x', 400, 'web.bad-parameter'],
    ['/api/v1/events?level=loud', 400, 'web.bad-parameter'],
    ['/livez?verbose', 400, 'web.bad-parameter'],
    ['/', 404, 'web.not-found'],
    ['/api/v2/bars', 404, 'web.not-found'],
    ['/api/v1/bars/../status', 200, ''],
  ])('%s is %i %s', async (path, status, code) => {
    const answer = await at.get(path)
    const { error } = JSON.parse(await answer.text())
    expect([answer.status, error?.code ?? '']).toEqual([status, code])
    if (error)
      expect(error).toEqual({ code, message: expect.stringMatching(/./), hint: expect.stringMatching(/./) })
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
    expect(answer.headers.get('cache-control')).toBe('no-store')
    expect(answer.headers.get('access-control-allow-origin')).toBe(null)
  })

  test('nothing but reading; HEAD is GET without a body', async () => {
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
      const answer = await fetch(`${at.server.url}/api/v1/status`, { method })
      expect([answer.status, answer.headers.get('allow')], method).toEqual([405, 'GET, HEAD'])
    }
    for (let i = 0; i < 20; i++) {
      const head = await fetch(`${at.server.url}${bars({ series: BTC })}`, { method: 'HEAD' })
      expect([head.status, await head.text()]).toEqual([200, ''])
    }
    expect((await at.get(bars({ series: BTC, limit: '1' }))).status, 'no slot was lost').toBe(200)
  })

  test.each([
    ['localhost', 200],
    ['127.0.0.1:9999', 200],
    ['[::1]:80', 200],
    ['evil.example', 403],
    ['127.0.0.1.evil.example', 403],
    ['localhost.', 403],
    ['evil.example/@127.0.0.1', 400],
    ['', 400],
  ])('asked as "%s": %i', async (host, status) => {
    const { port } = new URL(at.server.url)
    const answer = await raw(
      Number(port),
      `GET /livez HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
    )
    expect(answer.split('\r\n')[0]).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
  })
})

/** What comes back for these bytes. */
function raw(port: number, sent: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = ''
    const socket = connect(port, '127.0.0.1', () => socket.end(sent))
    socket.setEncoding('utf8').on('data', (text) => (answer += text))
    socket.on('end', () => resolve(answer)).on('error', reject)
  })
}
