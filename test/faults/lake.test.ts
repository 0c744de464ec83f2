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
import { minuteBars } from '../../src/testing/store-contract.ts'

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
