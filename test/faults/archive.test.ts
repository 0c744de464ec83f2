import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Archive, type ArchiveFolder, partsOf } from '../../src/archive/archive.ts'
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

describe('tails', () => {
  interface Step {
    readonly kind: 'put' | 'extend'
    readonly slice: number
    readonly body: string
  }
  const act = (archive: Archive, { kind, slice, body }: Step) => {
    const name = sliceOf(folder, slice)
    const answer = response(body)
    if (kind === 'put') return archive.put(folder, name, answer, 1_704_067_200_000)
    return archive.extend(folder, name, answer, 1_704_067_200_000, { startMs: 0, endMs: 60_000 })
  }

  /** Every body of a slice, oldest first. */
  async function historyOf(archive: Archive, slice: number): Promise<string[]> {
    const found: string[] = []
    const { id } = sliceOf(folder, slice)
    const take = async (version: number) => {
      const answer = await archive.get(folder, id, version)
      if (!answer) return false
      for (const { body } of partsOf(answer)) found.push(new TextDecoder().decode(body))
      return true
    }
    for (let version = 1; await take(version); version++);
    await take(0)
    return found
  }

  const steps = fc
    .array(
      fc.record({
        kind: fc.constantFrom('put', 'extend', 'extend', 'extend'),
        slice: fc.integer({ min: 0, max: 1 }),
      }),
      { minLength: 1, maxLength: 12 },
    )
    .map((list) =>
      list.map((one, n): Step => ({ ...(one as Step), body: n % 3 === 1 ? `<${n}>` : `[${n}]` })),
    )

  for (const compression of ['none', 'zstd'] as const) {
    test(`whatever power cuts leave, what was acknowledged is there in its order: ${compression}`, async () => {
      await fc.assert(
        fc.asyncProperty(
          steps,
          fc.array(fc.nat(60), { maxLength: 4 }),
          fc.infiniteStream(fc.boolean()),
          async (all, cuts, luck) => {
            const files = crashFileSystem()
            const done: Step[] = []
            const waits = [...cuts]
            let archive = open(files, compression)
            const nextCut = () =>
              files.cutAt(files.operations() + (waits.shift() ?? Number.POSITIVE_INFINITY))
            nextCut()
            for (let at = 0; at < all.length; ) {
              try {
                await act(archive, all[at]!)
                done.push(all[at]!)
                at++
              } catch (error) {
                expect((error as { cause?: unknown }).cause).toBeInstanceOf(PowerCut)
                files.restart(() => luck.next().value)
                archive = open(files, compression)
                nextCut()
              }
            }
            files.cutAt(Number.POSITIVE_INFINITY)
            for (const opened of [archive, open(files, compression)]) {
              for (const slice of [0, 1]) {
                const found = await historyOf(opened, slice)
                // What was not acknowledged may be there too, and is then done once more.
                let next = 0
                const wanted = done.filter((step) => step.slice === slice).map(({ body }) => body)
                for (const body of found) if (body === wanted[next]) next++
                expect(next).toBe(wanted.length)
                if (wanted.length > 0) expect(found.at(-1)).toBe(wanted.at(-1))
              }
            }
          },
        ),
        { numRuns: 100 },
      )
    })
  }

  test('one part costs one write and one sync, however long the tail is', async () => {
    const files = crashFileSystem()
    const archive = open(files)
    const extend = (n: number) => act(archive, { kind: 'extend', slice: 0, body: `[${n}]` })
    for (let n = 0; n < 50; n++) await extend(n)
    const before = files.counts()
    for (let n = 50; n < 60; n++) await extend(n)
    const after = files.counts()
    const more = Object.fromEntries(
      Object.entries(after).map(([name, count]) => [name, count - (before[name] ?? 0)]),
    )
    expect(more).toEqual({
      ...Object.fromEntries(Object.keys(after).map((name) => [name, 0])),
      extend: 10,
      write: 10,
      sync: 10,
    })
  })
})

test('what a dead process left half-written is swept by the one that holds the lock, and only by it', async () => {
  const files = crashFileSystem()
  await put(open(files), { slice: 0, body: '[1]' })
  // The power goes when the new file is written and has no name of its own yet.
  const calm = files.operations()
  await put(open(files), { slice: 1, body: '[1]' })
  const operations = files.operations() - calm
  files.cutAt(files.operations() + operations - 2)
  await expect(put(open(files), { slice: 2, body: '[1]' })).rejects.toThrow()
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
