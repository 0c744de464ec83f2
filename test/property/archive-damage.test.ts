import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { nodeFileSystem } from '../../src/app/filesystem.ts'
import { openFsArchive } from '../../src/archive/fs/fs-archive.ts'
import { response, sliceOf } from '../../src/testing/archive-samples.ts'

const folder = { venue: 'binance', directory: 'klines', symbol: 'BTCUSDT', timeframe: '1m' }
const roots: string[] = []
afterAll(() => {
  for (const root of roots) rmSync(root, { recursive: true })
})

const klines = JSON.stringify([
  [1704067200000, '42283.58', '42298.62', '42261.02', '42298.61', '35.92724', 0],
])
const bodies = { json: Buffer.from(klines), 'not JSON': Buffer.from([0, 1, 2, 250, 251, 252, 253]) }
const forms = ['none', 'zstd'] as const

describe('any change to any byte of an answer is seen, and the file is named', () => {
  for (const compression of forms) {
    for (const [what, body] of Object.entries(bodies)) {
      test(`${what}, ${compression}`, async () => {
        const root = mkdtempSync(join(tmpdir(), 'everybar-damage-'))
        roots.push(root)
        const archive = openFsArchive({ root, compression, files: nodeFileSystem })
        const { id } = sliceOf(folder)
        await archive.put(folder, sliceOf(folder), response(body), 1_704_067_200_000)
        const path = join(root, archive.pathOf(folder, id))
        const whole = readFileSync(path)
        const refused = async (damaged: Buffer) => {
          writeFileSync(path, damaged)
          await expect(archive.get(folder, id)).rejects.toMatchObject({
            code: 'archive.corrupt',
            recovery: 'quarantine',
            path,
            message: expect.stringContaining(path),
          })
          const [checked] = await archive.check(folder, [{ sliceId: id, version: 0 }])
          expect(checked).toMatchObject({ path: archive.pathOf(folder, id), damage: expect.any(String) })
          expect(checked?.answer).toBe(undefined)
        }

        for (let at = 0; at < whole.length; at++) {
          const flipped = Buffer.from(whole)
          flipped[at]! ^= 1 << (at % 8)
          await refused(flipped)
          await refused(whole.subarray(0, at))
          await refused(Buffer.concat([whole.subarray(0, at), whole.subarray(at + 1)]))
        }
        await refused(Buffer.concat([whole, Buffer.from('\n')]))
        await refused(Buffer.from(''))

        const position = fc.nat(whole.length - 1)
        const edit = fc.tuple(position, fc.nat(8), fc.uint8Array({ maxLength: 8 }))
        await fc.assert(
          fc.asyncProperty(edit, async ([at, removed, inserted]) => {
            const changed = Buffer.concat([whole.subarray(0, at), inserted, whole.subarray(at + removed)])
            if (!changed.equals(whole)) await refused(changed)
          }),
          { numRuns: 200 },
        )
        writeFileSync(path, whole)
        expect(Buffer.compare((await archive.get(folder, id))!.body, body)).toBe(0)
      })
    }
  }

  test('evidence', async () => {
    const root = mkdtempSync(join(tmpdir(), 'everybar-damage-'))
    roots.push(root)
    const archive = openFsArchive({ root, compression: 'none', files: nodeFileSystem })
    await archive.putEvidence(folder, 'first-bar', { openTimeMs: 1, answer: '[[1]]' })
    const path = join(root, 'binance/klines/raw/BTCUSDT/1m/evidence/first-bar.json')
    const whole = readFileSync(path)
    for (let at = 0; at < whole.length; at++) {
      const flipped = Buffer.from(whole)
      flipped[at]! ^= 1 << (at % 8)
      for (const damaged of [flipped, whole.subarray(0, at)]) {
        writeFileSync(path, damaged)
        await expect(archive.evidence(folder, 'first-bar')).rejects.toMatchObject({
          code: 'archive.corrupt',
          path,
        })
      }
    }
    writeFileSync(path, whole)
    expect(await archive.evidence(folder, 'first-bar')).toEqual({ openTimeMs: 1, answer: '[[1]]' })
  })

  test('a file under another slice’s name', async () => {
    const root = mkdtempSync(join(tmpdir(), 'everybar-damage-'))
    roots.push(root)
    const archive = openFsArchive({ root, compression: 'none', files: nodeFileSystem })
    await archive.put(folder, sliceOf(folder, 0), response('[1]'), 0)
    await archive.put(folder, sliceOf(folder, 1), response('[2]'), 0)
    const path = (n: number) => join(root, archive.pathOf(folder, sliceOf(folder, n).id))
    writeFileSync(path(0), readFileSync(path(1)))
    await expect(archive.get(folder, sliceOf(folder, 0).id)).rejects.toMatchObject({
      code: 'archive.corrupt',
      message: expect.stringContaining('holds another slice'),
    })
  })
})
