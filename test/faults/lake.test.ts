import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type BarBatch, barsOf, concatBatches } from '../../src/model/bar.ts'
import { parseSeries } from '../../src/model/series.ts'
import type { Lake } from '../../src/store/lake.ts'
import { Engine } from '../../src/store/parquet/engine.ts'
import { writeError } from '../../src/store/parquet/errors.ts'
import { type LakeFilesystem, nodeFilesystem } from '../../src/store/parquet/filesystem.ts'
import { openLake } from '../../src/store/parquet/open-lake.ts'
import { minuteBars } from '../../src/testing/store-samples.ts'

const series = parseSeries('test:spot:BTCUSDT:1m')
const always = { startMs: 0, endMs: Date.UTC(2100, 0, 1) }
const before = minuteBars(0, 80)
const after = minuteBars(0, 100, (minute) => (minute < 80 ? {} : { volume: 1 }))

let root: string
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'everybar-faults-'))
})
afterEach(() => rm(root, { recursive: true, force: true }))

/** Fails the n-th call of those that change the disk, before or after it is done; `calls` counts them. */
function failing(nth: number, moment: 'before' | 'after', code: string) {
  const state = { calls: 0 }
  const changes = new Set<keyof LakeFilesystem>(['makeFolder', 'create', 'sync', 'rename', 'syncFolder'])
  const filesystem = new Proxy(nodeFilesystem, {
    get(target, name: keyof LakeFilesystem) {
      const call = target[name] as (...args: unknown[]) => Promise<unknown>
      if (!changes.has(name)) return call
      return async (...args: unknown[]) => {
        const fails = ++state.calls === nth
        if (!fails || moment === 'after') await call(...args)
        if (fails) throw Object.assign(new Error(`${code}: injected into ${name}`), { code })
      }
    },
  })
  return { state, filesystem }
}

async function content(lake: Lake) {
  const runs: BarBatch[] = []
  for await (const run of lake.scan(series, always)) runs.push(run)
  return barsOf(concatBatches(runs))
}

async function committed(options: { filesystem?: LakeFilesystem } = {}) {
  const lake = await openLake({ root, ...options })
  try {
    return await lake.commit(series, after)
  } finally {
    await lake[Symbol.asyncDispose]()
  }
}

describe('a disk that fails at any step of a commit', () => {
  for (const moment of ['before', 'after'] as const) {
    test(`${moment} the step: old bars or new, nothing left over, and the next run is as if nothing had been`, async () => {
      let failures = 0
      for (let nth = 1; ; nth++) {
        const lake = await openLake({ root })
        await lake.replace(series, always, before)
        const { state, filesystem } = failing(nth, moment, 'EIO')
        const outcome = await committed({ filesystem }).catch((error: unknown) => error)
        if (state.calls < nth) break
        failures++
        expect(outcome).toMatchObject({ code: 'store.write-failed', recovery: 'retry' })
        const seen = await content(lake)
        expect([barsOf(before), barsOf(after)]).toContainEqual(seen)
        expect(await readdir(join(root, 'lake', '.tmp'))).toEqual([])
        await committed()
        expect(await content(lake)).toEqual(barsOf(after))
        await lake[Symbol.asyncDispose]()
      }
      expect(failures).toBeGreaterThanOrEqual(5)
    })
  }
})

const kinds: readonly (readonly [string, string])[] = [
  ['ENOSPC', 'store.disk-full'],
  ['EDQUOT', 'store.disk-full'],
  ['EACCES', 'store.not-writable'],
  ['EROFS', 'store.not-writable'],
  ['EIO', 'store.write-failed'],
]
for (const [code, expected] of kinds) {
  test(`${code} is told as ${expected}`, async () => {
    const { filesystem } = failing(2, 'before', code)
    await expect(committed({ filesystem })).rejects.toMatchObject({
      code: expected,
      hint: expect.any(String),
    })
  })
}

test('a disk that fills up while DuckDB writes is told as store.disk-full', async () => {
  const engine = new Engine('128MB')
  const error = await engine
    .writeFile('/dev/full', minuteBars(0, 10), { series: 'x' })
    .catch((e: unknown) => e)
  await engine.close()
  expect(writeError(error, '/lake/file')).toMatchObject({ code: 'store.disk-full', path: '/lake/file' })
})

test('killed at any moment: every file whole, nothing left after the next opening, and the rest is made as ever', async () => {
  const script = `
    import { openLake } from ${JSON.stringify(new URL('../../src/store/parquet/open-lake.ts', import.meta.url))}
    import { allocateBatch } from ${JSON.stringify(new URL('../../src/model/bar.ts', import.meta.url))}
    import { parseSeries } from ${JSON.stringify(new URL('../../src/model/series.ts', import.meta.url))}
    const lake = await openLake({ root: process.argv[1] })
    for (let month = 0; month < 40; month++) {
      const bars = allocateBatch(20_000)
      for (let i = 0; i < bars.length; i++) {
        bars.openTimeMs[i] = Date.UTC(2020, month, 1) + i * 60_000
        for (const field of ['open', 'high', 'low', 'close']) bars[field][i] = 100 + (i % 50)
        bars.volume[i] = i % 7
      }
      await lake.commit(parseSeries('test:spot:BTCUSDT:1m'), bars)
    }
    await lake[Symbol.asyncDispose]()`
  const run = (where: string) =>
    spawn(process.execPath, ['--input-type=module', '-e', script, where], { stdio: 'ignore' })
  const ended = (child: ChildProcess) => new Promise<number | null>((done) => child.once('exit', done))

  const undisturbed = join(root, 'undisturbed')
  expect(await ended(run(undisturbed))).toBe(0)
  const killed = join(root, 'killed')
  let kills = 0
  for (const afterMs of [250, 300, 350, 400, 450, 500]) {
    const child = run(killed)
    const end = ended(child)
    const timer = setTimeout(() => child.kill('SIGKILL'), afterMs)
    if ((await end) === null) kills++
    clearTimeout(timer)
    const lake = await openLake({ root: killed })
    for await (const { month } of lake.files(series))
      expect((await lake.readMonth(series, month))?.length).toBe(20_000)
    expect(await nodeFilesystem.list(join(killed, 'lake', '.tmp'))).toEqual([])
    await lake[Symbol.asyncDispose]()
  }
  expect(kills).toBeGreaterThan(0)
  expect(await ended(run(killed))).toBe(0)
  expect(await digests(killed)).toEqual(await digests(undisturbed))
})

async function digests(where: string): Promise<[string, string][]> {
  const lake = await openLake({ root: where })
  const out: [string, string][] = []
  for await (const { path } of lake.files(series))
    out.push([path, await nodeFilesystem.digest(join(where, path))])
  await lake[Symbol.asyncDispose]()
  return out
}
