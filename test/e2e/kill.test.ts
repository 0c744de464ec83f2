import { type ChildProcess, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { inFolder, type RunOptions, runCli } from '../run-cli.ts'
import { lakeHashes } from '../support/root.ts'

const BTC = 'binance:spot:BTCUSDT:1m'
const SLICE_MS = 60_000_000
const SLICES = 60
/** Sixty slices, two ends of months among them. */
const firstMs = Math.ceil(Date.UTC(2023, 11, 20) / SLICE_MS) * SLICE_MS
const iso = (ms: number) => new Date(ms).toISOString()
const RANGE = ['--from', iso(firstMs), '--to', iso(firstMs + SLICES * SLICE_MS)]
const CONCURRENCY = 4
const RTT_MS = 40

/** mulberry32: the same moments every time. */
function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Start times of the slices whose answers are whole in the archive. */
function archivedStarts(root: string): string[] {
  const folder = join(root, 'binance/klines/raw/BTCUSDT/1m/responses')
  if (!statSync(folder, { throwIfNoEntry: false })) return []
  return readdirSync(folder)
    .filter((name) => /^[0-9a-f]{32}\.json$/.test(name))
    .map((name) => /"BTCUSDT:1m:(\d+)-\d+:1000"/.exec(readFileSync(join(folder, name), 'utf8'))![1]!)
}

describe('a backfill that is killed', () => {
  let venue: Simulator
  let undisturbed: Record<string, string>
  beforeAll(async () => {
    const nowMs = Date.UTC(2024, 5, 1)
    venue = await startSimulator({ seed: 11, nowMs, weightLimit: 1e9, rttMs: RTT_MS })
    undisturbed = await inFolder(async (root) => {
      expect((await sync(root)).code).toBe(0)
      return lakeHashes(root)
    })
  })
  afterAll(() => venue.close())

  const run = (root: string, args: readonly string[], options: RunOptions = {}) =>
    runCli([...args, '--root', root, '--json', '--no-progress'], {
      ...options,
      env: {
        EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url,
        EVERYBAR__FETCH__CONCURRENCY: String(CONCURRENCY),
      },
    })
  const sync = (root: string, onSpawn?: RunOptions['onSpawn']) =>
    run(root, ['sync', BTC, ...RANGE], onSpawn && { onSpawn })
  const pages = () =>
    venue.log().flatMap(({ parameters: { startTime, limit } }) => (limit === '1000' ? [startTime!] : []))

  /** Kills the process once it has asked for so many pages, and a moment has passed. */
  const killAfter = (requests: number, momentMs: number) => async (child: ChildProcess) => {
    const ended = new Promise((resolve) => child.once('exit', resolve))
    let over = false
    void ended.then(() => {
      over = true
    })
    while (!over && pages().length < requests) await sleep(1)
    await sleep(momentMs)
    child.kill('SIGKILL')
  }

  async function expectWhole(root: string): Promise<void> {
    const whole = await sync(root)
    expect(whole.json()).toMatchObject({ ok: true, code: 0, data: { complete: true } })
    expect(lakeHashes(root)).toEqual(undisturbed)
    const { code, data } = (await run(root, ['verify', BTC, ...RANGE])).json()
    expect({ code, complete: data.complete, faults: data.faults }).toEqual({
      code: 0,
      complete: true,
      faults: [],
    })
    expect(data.slicesChecked).toBe(SLICES)
  }

  test('at twenty moments on the way, one after another', async () => {
    await inFolder(async (root) => {
      const random = randomFrom(20)
      const asked = new Map<string, number>()
      let kills = 0
      for (let i = 0; i < 20; i++) {
        const before = new Set(archivedStarts(root))
        venue.resetStats()
        // Mostly among the requests; sometimes before the first, sometimes while the lake is written.
        const { signal } = await sync(root, killAfter(Math.floor(random() * 5), random() * 60))
        if (signal === 'SIGKILL') kills++
        expect(
          pages().filter((start) => before.has(start)),
          'what was archived is asked again',
        ).toEqual([])
        for (const start of pages()) asked.set(start, (asked.get(start) ?? 0) + 1)
      }
      expect(kills).toBeGreaterThanOrEqual(15)
      venue.resetStats()
      await expectWhole(root)
      const twice = [...asked.values()].reduce((sum, times) => sum + times - 1, 0)
      expect(twice, 'only what was in flight is asked again').toBeLessThanOrEqual(kills * CONCURRENCY)
    })
  }, 240_000)

  test.each(Array.from({ length: 5 }, (_, i) => i))(
    'while its answers are being settled: moment %i',
    async (i) => {
      await inFolder(async (root) => {
        const random = randomFrom(100 + i)
        venue.resetStats()
        await sync(root, killAfter(SLICES - 1, RTT_MS + random() * 250))
        const before = new Set(archivedStarts(root))
        venue.resetStats()
        await expectWhole(root)
        expect(
          pages()
            .slice(0, SLICES - before.size)
            .filter((start) => before.has(start)),
        ).toEqual([])
      })
    },
  )

  const old = olderNode()
  test.skipIf(!old || !existsSync(built))(
    'by its launcher, on a host whose Node is older (skipped without one, or without a build): no orphan works on',
    async () => {
      await inFolder(async (root) => {
        venue.resetStats()
        let inner: number[] = []
        const launched = (onSpawn?: RunOptions['onSpawn']) =>
          run(root, ['sync', BTC, ...RANGE], { command: [old!, launcher], ...(onSpawn && { onSpawn }) })
        const killed = await launched(async (child) => {
          while (pages().length < 8) await sleep(5)
          inner = childrenOf(child.pid!)
          child.kill('SIGKILL')
        })
        expect(killed.signal).toBe('SIGKILL')
        expect(inner).toHaveLength(1)
        for (let waits = 0; waits < 100 && works(inner[0]!); waits++) await sleep(20)
        expect(works(inner[0]!), 'the process inside is gone').toBe(false)
        expect((await launched()).json()).toMatchObject({ ok: true, code: 0 })
        expect(lakeHashes(root)).toEqual(undisturbed)
      })
    },
  )
})

const launcher = fileURLToPath(new URL('../../bin/everybar.js', import.meta.url))
const built = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

function olderNode(): string | undefined {
  return ['/usr/bin/node', '/usr/local/bin/node'].find((path) => {
    const { stdout } = spawnSync(path, ['--version'], { encoding: 'utf8' })
    const major = Number(/^v(\d+)/.exec(stdout ?? '')?.[1])
    return major >= 18 && major < 24
  })
}

const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number)

/** A dead process that nobody has asked after yet (a zombie) works no more. */
function works(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}
