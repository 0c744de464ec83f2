import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Simulator, startSimulator } from '../../src/simulator/simulator.ts'
import { inFolder, runHere } from '../run-cli.ts'
import { keptFiles, lakeHashes } from '../support/root.ts'

const BTC = 'binance:spot:BTCUSDT:1m'
/** Three slices; the month ends in the second. */
const RANGE = ['--from', '2024-01-31', '--to', '2024-02-02']

/** One way to damage a file. */
const damages: Readonly<Record<string, (path: string) => void>> = {
  'a bit flipped at the start': (path) => flip(path, 0.001),
  'a bit flipped in the middle': (path) => flip(path, 0.5),
  'a bit flipped near the end': (path) => flip(path, 0.997),
  'its last bytes cut off': (path) => truncateSync(path, statSync(path).size - 7),
  emptied: (path) => truncateSync(path, 0),
  'a byte more': (path) => appendFileSync(path, 'x'),
  deleted: (path) => rmSync(path),
}

function flip(path: string, share: number): void {
  const bytes = readFileSync(path)
  const at = Math.floor(bytes.length * share)
  bytes[at] = bytes[at]! ^ 0b100
  writeFileSync(path, bytes)
}

describe('damage to what is kept', () => {
  let venue: Simulator
  beforeAll(async () => {
    venue = await startSimulator({ seed: 5, nowMs: Date.UTC(2024, 2, 1), weightLimit: 1e9 })
  })
  afterAll(() => venue.close())
  const run = (root: string, ...args: string[]) =>
    runHere([...args, '--root', root, '--json'], {
      env: { EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url },
    })

  test('verify names exactly the file that was changed, and nothing else', { timeout: 240_000 }, () =>
    inFolder(async (root) => {
      await run(root, 'sync', BTC, ...RANGE)
      const files = keptFiles(root).filter((path) => /responses\/|lake\//.test(path))
      expect(files).toHaveLength(4 + 2)
      const spare = join(root, '.everybar', 'spare')
      const found: string[] = []
      const expected: string[] = []
      for (const [i, file] of files.entries()) {
        const path = join(root, file)
        copyFileSync(path, spare)
        for (const [j, [name, damage]] of Object.entries(damages).entries()) {
          // Each way is tried on an answer and on a lake file; the others take turns.
          if (i > 0 && i < files.length - 1 && (i + j) % 3 !== 0) continue
          damage(path)
          const { code, data } = (await run(root, 'verify')).json()
          const named = new Set(data.faults.map((fault: { path: string }) => fault.path))
          found.push(`${file} ${name}: ${code} ${[...named].join(' ')}`)
          expected.push(`${file} ${name}: 4 ${file}`)
          copyFileSync(spare, path)
        }
      }
      expect(found).toEqual(expected)
      expect((await run(root, 'verify')).code).toBe(0)
    }),
  )

  test('a person is told what, where and what to do', () =>
    inFolder(async (root) => {
      await run(root, 'sync', BTC, ...RANGE)
      const [answer] = keptFiles(root).filter((path) => path.includes('responses/'))
      flip(join(root, answer!), 0.5)
      const { code, stdout } = await runHere(['verify', '--root', root])
      expect(code).toBe(4)
      expect(stdout).toContain(`fault[archive.corrupt] ${BTC} ${answer}`)
      expect(stdout).toMatch(/^hint: Run "everybar repair"/m)
    }))

  test('sync after an answer was deleted asks for it again; the lake stays as it was', () =>
    inFolder(async (root) => {
      await run(root, 'sync', BTC, ...RANGE)
      const before = lakeHashes(root)
      const [, answer] = keptFiles(root).filter((path) => path.includes('responses/'))
      rmSync(join(root, answer!))
      venue.resetStats()
      expect((await run(root, 'sync', BTC, ...RANGE)).json()).toMatchObject({
        code: 0,
        data: { complete: true },
      })
      expect(venue.log().filter(({ parameters }) => parameters.limit === '1000')).toHaveLength(1)
      expect(lakeHashes(root)).toEqual(before)
      expect((await run(root, 'verify')).code).toBe(0)
    }))

  test('deleting a series’ folder makes it new; deleting the lake or the ledger costs no request for bars', () =>
    inFolder(async (root) => {
      await run(root, 'sync', BTC, ...RANGE)
      const before = lakeHashes(root)
      for (const [folder, asked] of [
        ['binance', 4],
        ['.everybar', 0],
        ['lake', 0],
        ['lake/binance/2024/02', 0],
      ] as const) {
        rmSync(join(root, folder), { recursive: true })
        venue.resetStats()
        const again = await run(root, 'sync', BTC, ...RANGE)
        expect(again.json(), folder).toMatchObject({ code: 0, data: { complete: true } })
        expect(
          venue.log().filter(({ parameters }) => parameters.limit === '1000'),
          folder,
        ).toHaveLength(asked)
        expect(lakeHashes(root), folder).toEqual(before)
        expect((await run(root, 'verify')).code, folder).toBe(0)
      }
    }))

  test.each(['evidence/first-bar.json', 'manifest.json'])(
    'a folder where %s was is named and mended',
    (name) =>
      inFolder(async (root) => {
        await run(root, 'sync', BTC, ...RANGE)
        const path = `binance/klines/raw/BTCUSDT/1m/${name}`
        rmSync(join(root, path))
        mkdirSync(join(root, path))
        const { code, data } = (await run(root, 'verify')).json()
        expect([code, data.faults.map((fault: { path: string }) => fault.path)]).toEqual([4, [path]])
        expect((await run(root, 'repair')).code).toBe(0)
        expect((await run(root, 'verify')).code).toBe(0)
      }),
  )

  test('what was moved to another disk, and a link left in its place, is where it was', () =>
    inFolder((away) =>
      inFolder(async (root) => {
        await run(root, 'sync', BTC, ...RANGE)
        const lake = lakeHashes(root)
        const responses = 'binance/klines/raw/BTCUSDT/1m/responses'
        const answer = keptFiles(root).find((path) => path.includes('/responses/'))!
        for (const path of [answer, responses, 'binance']) {
          const to = join(away, path.replaceAll('/', '-'))
          renameSync(join(root, path), to)
          symlinkSync(to, join(root, path))
          const { data, code } = (await run(root, 'verify', '--deep')).json()
          expect([path, code, data.faults]).toEqual([path, 0, []])
        }
        const { data } = (await run(root, 'rebuild', '--ledger', '--lake')).json()
        expect(data.series).toHaveLength(1)
        expect((await run(root, 'verify')).code).toBe(0)
        expect(lakeHashes(root)).toEqual(lake)
      }),
    ))
})
