import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import type { startLive } from '../../src/app/live.ts'
import type { LiveRun, LiveSeriesState } from '../../src/app/live-state.ts'
import { startDataServer } from '../../src/index.ts'
import { inFolder } from '../run-cli.ts'
import { NOW, type Running, type RunningOptions, running } from '../support/data-server.ts'

const BTC = 'binance:spot:BTCUSDT:1m'
const TOKEN = 'a-token-of-some-length'
const MINUTE = 60_000

let open: Running[] = []
afterEach(async () => {
  for (const one of open) await one.close()
  open = []
})
async function start(options: RunningOptions = {}): Promise<Running> {
  const one = await running(options)
  open.push(one)
  return one
}

/** In place of what follows series live: they stand as `states` says. */
const standing =
  (states: () => readonly Partial<LiveSeriesState>[]): typeof startLive =>
  (_house, _selection, stop): LiveRun => {
    const state = () => ({
      startedAtMs: NOW,
      cycles: 1,
      lastCycleAtMs: NOW,
      series: states().map((one) => ({
        series: BTC,
        doneMs: NOW,
        dueMs: NOW,
        lagMs: 0,
        behind: [],
        failures: 0,
        ...one,
      })),
    })
    const done = new Promise<void>((resolve) => stop.addEventListener('abort', () => resolve()))
    return {
      state,
      done: done.then(() => ({ runId: 'r', cycles: 1, bars: 0, durationMs: 1, state: state() })),
    }
  }

const failing = async (one: Running) => {
  const answer = await one.get('/readyz')
  const { checks } = JSON.parse(await answer.text())
  const wrong = checks.filter(({ ok }: { ok: boolean }) => !ok)
  return {
    status: answer.status,
    wrong: Object.fromEntries(wrong.map((c: { name: string; message: string }) => [c.name, c.message])),
  }
}

describe('readiness', () => {
  test('nothing watched is never ready, though all else is well', async () => {
    const one = await start({ follow: standing(() => []) })
    const { status, wrong } = await failing(one)
    expect(status).toBe(503)
    expect(Object.keys(wrong)).toEqual(['watching'])
    expect(wrong.watching).toContain('nothing is watched')
    expect((await one.get('/livez')).status, 'it is alive all the same').toBe(200)
  })

  test('nor is it while no series was ever reached, and it says why', async () => {
    const lastError = { code: 'source.blocked', message: 'not from here' }
    const one = await start({
      follow: standing(() => [{ doneMs: null, dueMs: null, failures: 3, lastError }]),
    })
    const { status, wrong } = await failing(one)
    expect(status).toBe(503)
    expect(wrong.watching).toContain('none of 1 series has been reached')
    expect(wrong.watching).toContain('source.blocked: not from here')
  })

  test('a venue that is away makes it late; one that is back makes it ready again', async () => {
    const one = await start({ settings: { serve: { overdue_max_seconds: 120 } } })
    await one.until(
      () => failing(one),
      ({ status }) => status === 200,
    )
    one.venue.setFaults('503')
    const late = await one.until(
      () => failing(one),
      ({ wrong }) => 'fresh' in wrong,
    )
    expect(late.status).toBe(503)
    expect(late.wrong.fresh).toMatch(
      /^serve\.not-ready: 1 of 1 series late: binance:spot:BTCUSDT:1m complete up to /,
    )
    const behind = await (await one.get('/metrics')).text()
    expect(behind).toMatch(/^everybar_series_watched\{state="behind"\} 1$/m)
    expect(
      Number(/^everybar_series_lag_seconds\{venue="binance"\} (\d+)$/m.exec(behind)![1]),
    ).toBeGreaterThanOrEqual(120)
    one.venue.setFaults('')
    await one.until(
      () => failing(one),
      ({ status }) => status === 200,
    )
  })

  test('a store that is down is named', async () => {
    const stores = { postgres: { url: 'postgres://nobody@127.0.0.1:1/nothing' } }
    const one = await start({ settings: { stores }, follow: standing(() => [{}]) })
    const { status, wrong } = await failing(one)
    expect(status).toBe(503)
    expect(Object.keys(wrong)).toEqual(['store:postgres'])
    expect(wrong['store:postgres']).toMatch(/^store\./)
  })
})

describe('who may ask', () => {
  test('with a token nobody else learns more than whether it is well', async () => {
    const one = await start({ settings: { serve: { token: TOKEN } }, follow: standing(() => []) })
    for (const path of ['/metrics', '/api/v1/status', '/api/v1/events', '/nothing']) {
      for (const headers of [
        {},
        { authorization: 'Bearer nope' },
        { authorization: TOKEN },
        { authorization: `Basic ${TOKEN}` },
      ]) {
        const answer = await one.get(path, headers as Record<string, string>)
        expect([answer.status, answer.headers.get('www-authenticate')], path).toEqual([
          401,
          'Bearer realm="everybar"',
        ])
        expect(await answer.text()).not.toContain(TOKEN)
      }
    }
    expect((await one.get('/livez')).status).toBe(200)
    const bare = await (await one.get('/readyz')).text()
    expect(JSON.parse(bare).checks).toContainEqual({ name: 'watching', ok: false })
    const authorization = `Bearer ${TOKEN}`
    expect((await one.get('/api/v1/status', { authorization })).status).toBe(200)
    expect(await (await one.get('/readyz', { authorization })).text()).toContain('nothing is watched')
    expect((await one.get('/metrics')).status).toBe(401)
    expect((await one.get('/metrics', { authorization })).status).toBe(200)
  })

  test('an address that others reach is refused without one, before anything is opened', async () => {
    const refused = start({ settings: { serve: { host: '0.0.0.0' } } })
    await expect(refused).rejects.toMatchObject({
      code: 'serve.no-token',
      hint: expect.stringContaining('EVERYBAR_TOKEN'),
    })
    const one = await start({
      settings: { serve: { host: '0.0.0.0', token: TOKEN } },
      follow: standing(() => []),
    })
    const answer = await one.get('/api/v1/status', { authorization: `Bearer ${TOKEN}` })
    expect(answer.status).toBe(200)
  })

  test('a port that is taken is told before a venue is asked or a root is made', async () => {
    const one = await start({ follow: standing(() => []) })
    const { port } = new URL(one.server.url)
    await inFolder(async (folder) => {
      const root = `${folder}/root`
      const second = startDataServer({ root, series: BTC, port: Number(port), baseUrl: one.venue.url })
      await expect(second).rejects.toMatchObject({ code: 'serve.port-in-use' })
    })
    expect(one.venue.stats().requests).toBe(0)
  })
})

describe('events', () => {
  test('live bars as they come; ended when the server closes', async () => {
    const one = await start()
    const answer = await one.get('/api/v1/events?level=debug')
    expect(answer.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    const bytes = new TextDecoder()
    let text = ''
    let closing: Promise<unknown> | undefined
    for await (const piece of answer.body!) {
      text += bytes.decode(piece, { stream: true })
      const seen = text.includes('"event":"live_cycle_complete"') && text.includes('"event":"store_commit"')
      if (seen) closing ??= one.server.close()
    }
    expect(closing, 'it ended because it was closed').toBeDefined()
    await closing
    for (const [, data] of text.matchAll(/^data: (.*)$/gm)) {
      expect(JSON.parse(data!)).toMatchObject({
        event: expect.any(String),
        time: expect.stringMatching(/^2024-03-01T/),
      })
    }
  })

  test('one that stops reading is dropped, and the others hear all', async () => {
    const one = await start({ follow: standing(() => []) })
    const { port } = new URL(one.server.url)
    const slow = connect(Number(port), '127.0.0.1', () => {
      slow.write('GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n')
    })
    slow.once('data', () => slow.pause())
    const clients = async (name: string) =>
      Number(
        new RegExp(`^everybar_event_${name} (\\d+)$`, 'm').exec(await (await one.get('/metrics')).text())![1],
      )
    await one.until(
      () => clients('clients'),
      (count) => count === 1,
    )
    const filler = 'x'.repeat(10_000)
    for (let i = 0; i < 3_000; i++) {
      one.server.publish({ event: 'filler', filler })
      if (i % 100 === 0) await sleep(0)
    }
    await one.until(
      () => clients('clients_dropped'),
      (count) => count === 1,
    )
    expect(await clients('clients')).toBe(0)
    slow.destroy()
  })
})

describe('the end of it', () => {
  test('closing finishes what is under way, lets the root go and says how things stood', async () => {
    const one = await start()
    await one.until(
      () => failing(one),
      ({ status }) => status === 200,
    )
    const report = await one.server.close()
    expect(report.live!.state.series[0]!.doneMs).toBeGreaterThan(NOW - 10 * MINUTE)
    await expect(one.get('/livez')).rejects.toThrow()
    expect(await one.server.close(), 'again is harmless').toEqual(report)
    await using again = await startDataServer({
      root: one.root,
      series: BTC,
      port: 0,
      baseUrl: one.venue.url,
    })
    expect((await fetch(`${again.url}/livez`)).status).toBe(200)
  })

  test('the signal of its options stops it; what ended by itself is thrown', async () => {
    const one = await start()
    one.stop.abort(new Error('enough'))
    await one.server.done
    const broken: typeof startLive = () => ({
      state: () => ({ startedAtMs: NOW, cycles: 0, lastCycleAtMs: null, series: [] }),
      done: sleep(20).then(() => Promise.reject(new Error('the ledger is gone'))),
    })
    const other = await start({ follow: broken })
    await expect(other.server.done).rejects.toThrow('the ledger is gone')
    await expect(other.get('/livez')).rejects.toThrow()
  })

  test('a root that is in use is told, and the port let go', async () => {
    const one = await start({ follow: standing(() => []) })
    const second = startDataServer({ root: one.root, series: BTC, port: 0, baseUrl: one.venue.url })
    await expect(second).rejects.toMatchObject({ code: 'root.locked' })
  })

  test('nothing to keep is no server', async () => {
    await inFolder(async (root) => {
      await expect(startDataServer({ root, port: 0 })).rejects.toMatchObject({ code: 'series.none-named' })
    })
  })
})
