import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { inFolder, type RunOptions, runCli, runHere } from '../run-cli.ts'
import { lakeHashes } from '../support/root.ts'

const BTC = 'binance:spot:BTCUSDT:1m'
const MINUTE_MS = 60_000
const nowMs = Date.UTC(2024, 1, 2, 15, 20, 6)
const RANGE = ['--from', '2024-01-30']
const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const preload = (name: string) => fileURLToPath(new URL(`../support/${name}.ts`, import.meta.url))
const HOUR_MS = 3_600_000

let venue: Simulator
let undisturbed: Record<string, string>
beforeAll(async () => {
  venue = await startSimulator({
    seed: 4,
    weightLimit: 1e9,
    rttMs: 20,
    nowMs,
    outages: [{ startMs: nowMs - 30 * HOUR_MS, endMs: nowMs - 29 * HOUR_MS }],
  })
  venue.setNow(nowMs, { held: true })
  undisturbed = await inFolder(async (root) => {
    expect((await sync(root)).code).toBe(0)
    return lakeHashes(root)
  })
})
afterAll(() => venue.close())

function sync(root: string, options: RunOptions = {}) {
  const env = { EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url, ...options.env }
  return runCli(['sync', BTC, ...RANGE, '--root', root, '--json', '--no-progress'], { ...options, env })
}

const preloaded = (name: string, env: Readonly<Record<string, string>>): RunOptions => ({
  command: [process.execPath, '--import', preload(name), main],
  env,
})

describe('this machine’s clock', () => {
  test.each([
    ['an hour behind', { CLOCK_SHIFT_MS: String(-HOUR_MS) }],
    ['an hour ahead', { CLOCK_SHIFT_MS: String(HOUR_MS) }],
    ['ten years ahead', { CLOCK_SHIFT_MS: String(87_600 * HOUR_MS) }],
    ['set back an hour during the run', { CLOCK_STEP_MS: String(-HOUR_MS) }],
    ['set forward an hour during the run', { CLOCK_STEP_MS: String(HOUR_MS) }],
  ])('%s: the same bars, the same end, and the next run asks for nothing', async (_name, env) => {
    await inFolder(async (root) => {
      const wrong = await sync(root, preloaded('shift-clock', env))
      expect(wrong.json()).toMatchObject({ code: 0, data: { complete: true } })
      expect(wrong.json().data.series[0].slices.partial).toBe(1)
      expect(lakeHashes(root)).toEqual(undisturbed)
      venue.resetStats()
      const next = await sync(root)
      expect(next.json().data).toMatchObject({ complete: true, series: [{ slices: { fetched: 0 } }] })
      expect(venue.stats().klines.requests).toBe(0)
      expect(lakeHashes(root)).toEqual(undisturbed)
      const to = new Date(nowMs - 6_000).toISOString()
      expect((await runHere(['verify', BTC, ...RANGE, '--to', to, '--root', root])).code).toBe(0)
    })
  })

  test('an hour ahead: no bar that has not closed at the venue is stored', async () => {
    await inFolder(async (root) => {
      await sync(root, preloaded('shift-clock', { CLOCK_SHIFT_MS: String(HOUR_MS) }))
      const sql = 'SELECT max(epoch_ms(open_time)) AS last FROM bars'
      const { data } = (await runHere(['query', sql, '--root', root, '--json'])).json()
      expect(data).toEqual([{ last: nowMs - 6_000 - MINUTE_MS }])
    })
  })
})

describe('this machine’s time zone', () => {
  test.each(['America/New_York', 'Pacific/Apia'])(
    '%s: the same bars, the same words, days that begin at midnight UTC',
    async (TZ) => {
      await inFolder(async (root) => {
        expect((await sync(root, { env: { TZ } })).json()).toMatchObject({
          code: 0,
          data: { complete: true },
        })
        expect(lakeHashes(root)).toEqual(undisturbed)
        const said = async (zone: string, ...args: string[]) =>
          (await runCli([...args, '--root', root], { env: { TZ: zone } })).stdout
        for (const command of [
          ['gaps'],
          ['status'],
          ['query', 'SELECT min(open_time), max(open_time) FROM bars'],
        ])
          expect(await said(TZ, ...command)).toBe(await said('UTC', ...command))
        const day = ['verify', BTC, '--from', '2024-01-31', '--to', '2024-02-01', '--json']
        expect(JSON.parse(await said(TZ, ...day)).data.series[0]).toMatchObject({
          range: { startMs: Date.UTC(2024, 0, 31), endMs: Date.UTC(2024, 1, 1) },
          complete: true,
        })
      })
    },
  )
})

test('a run that is killed goes on under another configuration: other pages, packing, pace and range', async () => {
  await inFolder(async (root) => {
    venue.resetStats()
    const killed = await runCli(['sync', BTC, '--from', '2024-01-31', '--root', root], {
      env: { EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url, EVERYBAR__FETCH__CONCURRENCY: '1' },
      onSpawn: async (child) => {
        while (venue.stats().klines.requests < 3) await sleep(2)
        child.kill('SIGKILL')
      },
    })
    expect(killed.signal).toBe('SIGKILL')
    const other = {
      EVERYBAR__ARCHIVE__COMPRESSION: 'zstd',
      EVERYBAR__SETTINGS__HISTORY_PAGE_LIMIT: '300',
      EVERYBAR__FETCH__CONCURRENCY: '4',
    }
    expect((await sync(root, { env: other })).json()).toMatchObject({ code: 0, data: { complete: true } })
    expect((await sync(root)).json()).toMatchObject({ code: 0, data: { complete: true } })
    const to = new Date(nowMs - 6_000).toISOString()
    expect((await runCli(['verify', BTC, ...RANGE, '--to', to, '--deep', '--root', root])).code).toBe(0)
    const fresh = await inFolder(async (folder) => {
      await sync(folder)
      return rowsIn(folder)
    })
    expect(await rowsIn(root)).toEqual(fresh)
  })
})

/** Bars of the range: smaller pages begin nearer to it. */
async function rowsIn(root: string): Promise<unknown> {
  const sql =
    "SELECT md5(string_agg(b::VARCHAR, ' ' ORDER BY open_time)) AS all FROM bars b WHERE open_time >= '2024-01-30'"
  return (await runCli(['query', sql, '--root', root, '--json'])).json().data
}

describe('a run that crosses midnight, the end of a month', () => {
  test('has only bars that had closed when they were asked for; the next one has the rest', async () => {
    const midnight = Date.UTC(2024, 1, 1)
    const live = await startSimulator({ seed: 4, weightLimit: 1e9, rttMs: 150, nowMs: midnight - 2_500 })
    try {
      await inFolder(async (root) => {
        const env = { EVERYBAR__SOURCES__BINANCE__BASE_URL: live.url, EVERYBAR__FETCH__CONCURRENCY: '1' }
        const run = (...args: string[]) => runCli([...args, '--root', root, '--json'], { env })
        const wanted = ['binance:spot:BTCUSDT:1m', 'binance:spot:BTCUSDT:1h', 'binance:spot:BTCUSDT:1d']
        expect((await run('sync', ...wanted, '--from', '2024-01-20')).json()).toMatchObject({ code: 0 })
        const asked = live.log().map(({ atMs }) => atMs)
        expect([Math.min(...asked) < midnight, Math.max(...asked) > midnight]).toEqual([true, true])
        const sql = `SELECT count(*)::INTEGER AS early FROM bars WHERE timeframe = '1m' AND open_time >= '2024-02-01'`
        expect((await run('query', sql)).json().data).toEqual([{ early: 0 }])
        live.setNow(midnight + 3_600_000 + 30_000, { held: true })
        expect((await run('sync', ...wanted, '--from', '2024-01-20')).json()).toMatchObject({ code: 0 })
        const hashes = lakeHashes(root)
        expect((await run('verify')).json().data.faults).toEqual([])
        await inFolder(async (fresh) => {
          await runCli(['sync', ...wanted, '--from', '2024-01-20', '--root', fresh], { env })
          expect(lakeHashes(fresh)).toEqual(hashes)
        })
      })
    } finally {
      await live.close()
    }
  })
})

test('a process that stands still longer than its timeouts finishes all the same', async () => {
  await inFolder(async (root) => {
    const options = preloaded('stall', {
      STALL_MS: '250',
      EVERYBAR__FETCH__HEADERS_TIMEOUT_MS: '150',
      EVERYBAR__FETCH__BODY_TIMEOUT_MS: '150',
      EVERYBAR__FETCH__BACKOFF_BASE_MS: '1',
      EVERYBAR__FETCH__BACKOFF_MAX_MS: '20',
      EVERYBAR__FETCH__ATTEMPTS: '20',
    })
    expect((await sync(root, options)).json()).toMatchObject({ code: 0, data: { complete: true } })
    expect(lakeHashes(root)).toEqual(undisturbed)
  })
})

test.each([50, 150, 300, 450])(
  'a rejection nobody waits for, after %i ms: exit 1 and a word, no secret, and the next run mends it',
  async (ms) => {
    await inFolder(async (root) => {
      const { code, stderr, stdout } = await sync(
        root,
        preloaded('stray-rejection', { STRAY_MS: String(ms) }),
      )
      // A run that is quicker than the rejection is a whole one.
      expect([0, 1]).toContain(code)
      if (code === 1) expect(stderr).toContain('error[cli.unexpected] stray')
      expect(stderr + stdout).not.toContain('hunter2')
      expect((await sync(root)).json()).toMatchObject({ code: 0, data: { complete: true } })
      expect(lakeHashes(root)).toEqual(undisturbed)
    })
  },
)

describe('few descriptors', () => {
  const limited = (count: number): RunOptions => ({
    command: ['/bin/sh', '-c', `ulimit -n ${count} && exec "$0" "$@"`, process.execPath, main],
  })
  test.skipIf(!existsSync('/bin/sh')).each([40, 48, 64])(
    '%i: complete, or an error that says so and a next run that mends it',
    async (count) => {
      await inFolder(async (root) => {
        const { code, stderr, stdout } = await sync(root, limited(count))
        expect(code, stderr + stdout).not.toBeNull()
        if (code !== 0)
          expect(stderr + stdout).toMatch(/EMFILE|too many open files|descriptor|unable to open/i)
        expect(stderr + stdout).not.toContain('cli.unexpected')
        expect((await sync(root)).json()).toMatchObject({ code: 0, data: { complete: true } })
        expect(lakeHashes(root)).toEqual(undisturbed)
      })
    },
  )
})
