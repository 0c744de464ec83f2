import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Archive, ArchiveFolder } from '../../src/archive/archive.ts'
import { openFsArchive } from '../../src/archive/fs/fs-archive.ts'
import type { Compression } from '../../src/archive/paths.ts'
import { response, sliceOf } from '../../src/testing/archive-samples.ts'
import { collect } from '../../src/testing/collect.ts'
import { type CrashFileSystem, crashFileSystem, PowerCut } from '../../src/testing/crash-filesystem.ts'

const folder: ArchiveFolder = { venue: 'binance', directory: 'klines', symbol: 'BTCUSDT', timeframe: '1m' }

interface Put {
  readonly slice: number
  readonly body: string
}

const open = (files: CrashFileSystem, compression: Compression = 'none', sweep = true) =>
  openFsArchive({ root: '/home/data', compression, files, sweep })

const put = (archive: Archive, { slice, body }: Put) =>
  archive.put(folder, sliceOf(folder, slice), response(body), 1_704_067_200_000)

/** Does the puts, some side by side, until the power goes; gives those that had resolved. */
async function putUntilCut(archive: Archive, groups: readonly (readonly Put[])[]): Promise<Put[]> {
  const done: Put[] = []
  for (const group of groups) {
    const results = await Promise.allSettled(
      group.map(async (one) => {
        await put(archive, one)
        done.push(one)
      }),
    )
    for (const result of results) {
      if (result.status === 'fulfilled') continue
      expect((result.reason as { cause?: unknown }).cause).toBeInstanceOf(PowerCut)
      return done
    }
  }
  return done
}

async function bodiesOf(archive: Archive, slice: number): Promise<string[]> {
  const bodies: string[] = []
  for (let version = 0; ; version++) {
    const found = await archive.get(folder, sliceOf(folder, slice).id, version)
    if (!found) return bodies
    bodies.push(new TextDecoder().decode(found.body))
  }
}

const oneOf = (...groups: readonly (readonly (readonly [number, string])[])[]) =>
  groups.map((group) => group.map(([slice, body]) => ({ slice, body })))

const history = oneOf(
  [
    [0, '[1]'],
    [1, '[1]'],
    [2, '<html>'],
  ],
  [[0, '[2]']],
  [
    [0, '[3]'],
    [1, '[1]'],
  ],
  [[0, '[2]']],
)

describe('power cut at every operation', () => {
  for (const compression of ['none', 'zstd'] as const) {
    test(`what was acknowledged is there, nothing is torn, and going on gives the same: ${compression}`, async () => {
      const calm = crashFileSystem()
      await putUntilCut(open(calm, compression), history)
      const expected = await Promise.all([0, 1, 2].map((slice) => bodiesOf(open(calm, compression), slice)))
      expect(expected).toEqual([['[2]', '[1]', '[2]', '[3]'], ['[1]'], ['<html>']])
      for (let cut = 0; cut < calm.operations(); cut++) {
        for (const survives of [() => false, () => true, alternating()]) {
          const files = crashFileSystem()
          files.cutAt(cut)
          const done = await putUntilCut(open(files, compression), history)
          files.restart(survives)
          const archive = open(files, compression)
          for (const { slice, body } of done) expect(await bodiesOf(archive, slice)).toContain(body)
          // The run after a crash goes on where the acknowledged ones ended.
          const rest = history.map((group) => group.filter((one) => !done.includes(one)))
          await putUntilCut(archive, rest)
          const found = await Promise.all([0, 1, 2].map((slice) => bodiesOf(archive, slice)))
          expect(found, `cut at ${cut}`).toEqual(expected)
          const files0 = await collect(archive.list(folder))
          expect(files0.length).toBe(6)
        }
      }
    })
  }

  test('any history, any moment, whatever survives', async () => {
    const puts = fc.array(
      fc.array(
        fc.record({ slice: fc.integer({ min: 0, max: 2 }), body: fc.constantFrom('[1]', '[2]', '[3]', 'x') }),
        { minLength: 1, maxLength: 4 },
      ),
      { minLength: 1, maxLength: 5 },
    )
    await fc.assert(
      fc.asyncProperty(puts, fc.nat(150), fc.infiniteStream(fc.boolean()), async (groups, cut, luck) => {
        const files = crashFileSystem()
        files.cutAt(cut)
        const done = await putUntilCut(open(files), groups)
        files.restart(() => luck.next().value)
        const archive = open(files)
        for (const { slice, body } of done) expect(await bodiesOf(archive, slice)).toContain(body)
        // Every file that has an answer's name holds a whole answer.
        for (const { sliceId, version } of await collect(archive.list(folder)))
          expect(await archive.get(folder, sliceId, version)).toBeDefined()
      }),
      { numRuns: 300 },
    )
  })
})

test('what a dead process left half-written is swept by the one that holds the lock, and only by it', async () => {
  const files = crashFileSystem()
  await put(open(files), { slice: 0, body: '[1]' })
  files.cutAt(files.operations() + 6)
  await expect(put(open(files), { slice: 1, body: '[1]' })).rejects.toThrow()
  files.restart(() => true)
  const directory = '/home/data/binance/klines/raw/BTCUSDT/1m/responses'
  const leftovers = async () =>
    (await collect(files.list(directory))).filter(({ name }) => name.startsWith('.tmp-')).length
  expect(await leftovers()).toBe(1)
  await collect(open(files, 'none', false).list(folder))
  expect(await leftovers()).toBe(1)
  await collect(open(files, 'none', true).list(folder))
  expect(await leftovers()).toBe(0)
})

test('puts that come together share the syncs of their directory', async () => {
  const files = crashFileSystem()
  const archive = open(files)
  await put(archive, { slice: 999, body: '[1]' })
  const before = files.counts()
  await Promise.all(Array.from({ length: 64 }, (_, slice) => put(archive, { slice, body: '[1]' })))
  const after = files.counts()
  const more = (name: string) => after[name]! - before[name]!
  expect(more('sync')).toBe(64)
  expect(more('syncDirectory')).toBeLessThanOrEqual(8)
})

function alternating(): () => boolean {
  let odd = false
  return () => {
    odd = !odd
    return odd
  }
}
