import {
  appendFileSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { VerifyReport } from '../../src/app/api.ts'
import { runHere } from '../run-cli.ts'
import { type ProvedRoot, provedRoot } from '../support/proved-root.ts'

let place: ProvedRoot
beforeAll(async () => {
  place = await provedRoot()
})
afterAll(() => place.close())
afterEach(() => place.restore())

const full = (path: string) => join(place.root, path)
const named = ({ faults }: VerifyReport, path: string) => faults.filter((fault) => fault.path === path)

/** What a ledger that cannot even be opened says instead of a report. */
const verdict = () =>
  place.verify().catch((error: { code?: string; path?: string }) => {
    if (!error.code?.startsWith('ledger.')) throw error
    return {
      faultCount: 1,
      faults: [{ kind: error.code, path: '.everybar/ledger.db' }],
    } as unknown as VerifyReport
  })

test('a whole root has no fault', async () => {
  const report = await place.verify()
  expect(report).toMatchObject({ faultCount: 0, faults: [], complete: true, deep: false })
  expect(await place.verify({ deep: true })).toMatchObject({ faultCount: 0, complete: true, deep: true })
  expect(place.files().filter((path) => /\.\d+\.json$/.test(path)).length).toBeGreaterThan(0)
  expect(place.files().filter((path) => path.startsWith('lake/')).length).toBeGreaterThan(5)
})

describe('damage is found, and the file is named', () => {
  const damages = {
    flip: (bytes: Buffer, at: number) => {
      const flipped = Buffer.from(bytes)
      flipped[at]! ^= 1 << (at % 8)
      return flipped
    },
    cut: (bytes: Buffer, at: number) => bytes.subarray(0, at),
    'lose a byte': (bytes: Buffer, at: number) =>
      Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]),
    grow: (bytes: Buffer, at: number) => Buffer.concat([bytes, bytes.subarray(at, at + 1)]),
    blank: (bytes: Buffer, at: number) =>
      Buffer.concat([bytes.subarray(0, at), Buffer.alloc(bytes.length - at)]),
  }
  const damage = fc.constantFrom(...(Object.keys(damages) as (keyof typeof damages)[]))
  /** Kinds of files evenly, not their number: there are few ledgers. */
  const kinds = [
    /^lake\//,
    /responses\/[0-9a-f]+\.json$/,
    /responses\/.*\.\d+\.json$/,
    /evidence\//,
    /manifest\.json$/,
    /ledger\.db$/,
  ]

  for (const kind of kinds) {
    test(`in any byte of ${kind.source}`, async () => {
      const paths = place.files().filter((path) => kind.test(path))
      expect(paths.length).toBeGreaterThan(0)
      await fc.assert(
        fc.asyncProperty(
          fc.nat(),
          fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
          damage,
          async (n, where, how) => {
            const path = paths[n % paths.length]!
            const bytes = readFileSync(full(path))
            const changed = damages[how](bytes, Math.floor(where * bytes.length))
            if (changed.equals(bytes)) return
            writeFileSync(full(path), changed)
            const report = await verdict()
            expect(report.faultCount).toBeGreaterThan(0)
            expect(named(report, path), JSON.stringify(report.faults)).not.toEqual([])
            writeFileSync(full(path), bytes)
          },
        ),
        { numRuns: 20, seed: 20_240_301, endOnFailure: true },
      )
      expect((await place.verify()).faultCount).toBe(0)
    })
  }

  test('in the first and the last hundred bytes of a month file, one by one', async () => {
    const path = place.files().find((one) => one.startsWith('lake/'))!
    const bytes = readFileSync(full(path))
    for (const at of [...Array(10).keys()].flatMap((n) => [n * 10, bytes.length - 1 - n * 10])) {
      writeFileSync(full(path), damages.flip(bytes, at))
      const report = await place.verify()
      expect(named(report, path), `byte ${at}`).not.toEqual([])
    }
  })

  test('when any one file is deleted', async () => {
    for (const path of place.files()) {
      const bytes = readFileSync(full(path))
      rmSync(full(path))
      const report = await verdict()
      expect(named(report, path), `${path}: ${JSON.stringify(report.faults.slice(0, 3))}`).not.toEqual([])
      writeFileSync(full(path), bytes)
    }
  })

  test('when two files change places', async () => {
    const swap = (a: string, b: string) => {
      const bytes = readFileSync(full(a))
      copyFileSync(full(b), full(a))
      writeFileSync(full(b), bytes)
    }
    const found = (kind: RegExp, nth = 0) => place.files().filter((path) => kind.test(path))[nth]
    const pairs = [
      [found(/^lake\/.*BTCUSDT_5min/), found(/^lake\/.*BTCUSDT_5min/, 1)],
      [found(/^lake\/.*BTCUSDT_5min/), found(/^lake\/.*ETHUSDT_15min/)],
      [found(/\/5m\/responses\/[0-9a-f]+\.json$/), found(/\/5m\/responses\/[0-9a-f]+\.json$/, 1)],
      [found(/\/5m\/responses\/[0-9a-f]+\.json$/), found(/\/15m\/responses\/[0-9a-f]+\.json$/)],
      [found(/\/5m\/manifest\.json$/), found(/\/15m\/manifest\.json$/)],
      [found(/\/5m\/evidence\/first-bar/), found(/um-klines\/.*\/evidence\/first-bar/)],
    ] as const
    for (const [a, b] of pairs) {
      swap(a!, b!)
      const report = await place.verify()
      for (const path of [a!, b!]) expect(named(report, path)).not.toEqual([])
      swap(a!, b!)
    }
  })

  test('when an older answer takes the place of the current one', async () => {
    const older = place.files().find((path) => /\.1\.json$/.test(path))!
    const current = older.replace('.1.json', '.json')
    copyFileSync(full(older), full(current))
    expect(named(await place.verify(), current)).toMatchObject([{ kind: 'archive.differs' }])
  })

  test('when an answer lies among those of another series', async () => {
    const answer = place.files().find((path) => /\/5m\/responses\//.test(path))!
    const other = dirname(place.files().find((path) => /\/15m\/responses\//.test(path))!)
    const stray = `${other}/${answer.replace(/^.*\//, '')}`
    copyFileSync(full(answer), full(stray))
    expect(named(await place.verify(), stray)).toMatchObject([{ kind: 'archive.stray' }])
  })

  test('with its time of change set back, so that nobody sees it was touched', async () => {
    for (const kind of [/^lake\//, /responses\/[0-9a-f]+\.json$/]) {
      const path = place.files().find((one) => kind.test(one))!
      const { atime, mtime } = statSync(full(path))
      writeFileSync(full(path), damages.flip(readFileSync(full(path)), 700))
      utimesSync(full(path), atime, mtime)
      expect(named(await place.verify(), path)).not.toEqual([])
    }
  })

  const strays = [
    'lake/binance/2024/01/BTCUSDT_5min_h0_2024_01_0123456789abcdef.parquet',
    'lake/binance/2023/12/BTCUSDT_5min_h0_2023_12_HASH.parquet',
    'lake/stray.parquet',
  ]
  for (const stray of strays) {
    test(`when a file appears: ${stray}`, async () => {
      const like = place.files().find((path) => /^lake\/.*BTCUSDT_5min/.test(path))!
      const path = stray.replace('HASH', /_([0-9a-f]{16})\.parquet/.exec(like)![1]!)
      mkdirSync(dirname(full(path)), { recursive: true })
      copyFileSync(full(like), full(path))
      expect(named(await place.verify(), path)).toMatchObject([{ kind: 'store.file-unknown' }])
    })
  }

  test('what belongs to nobody is nobody’s fault', async () => {
    appendFileSync(full('lake/notes.txt'), 'mine')
    appendFileSync(full('.everybar/notes.txt'), 'mine')
    mkdirSync(full('exports'))
    appendFileSync(full('exports/bars.parquet'), 'mine')
    expect(await place.verify()).toMatchObject({ faultCount: 0, complete: true })
  })
})

describe('a ledger that was changed by SQL', () => {
  const changes = [
    "UPDATE slice SET findings = NULL WHERE findings LIKE '%missing%'",
    "UPDATE slice SET status = 'empty' WHERE id = 1",
    'UPDATE slice SET items = items + 1 WHERE id = 2',
    "UPDATE slice SET sha256 = replace(sha256, 'a', 'b')",
    'DELETE FROM slice WHERE id = 1',
    'DELETE FROM stored',
    'UPDATE stored SET row_count = row_count + 1',
    'DELETE FROM stored_file',
    "UPDATE stored_file SET sha256 = replace(sha256, 'a', 'b')",
    'DELETE FROM wanted',
    "DELETE FROM fact WHERE name = 'first-bar'",
    `UPDATE fact SET fact = replace(fact, '"openTimeMs":1', '"openTimeMs":2') WHERE name = 'first-bar'`,
    'DELETE FROM run',
    'DROP INDEX slice_notable',
    'DELETE FROM series',
  ]
  for (const sql of changes) {
    test(sql, async () => {
      const db = new DatabaseSync(full('.everybar/ledger.db'))
      db.exec('PRAGMA foreign_keys = OFF')
      db.exec(sql)
      db.close()
      const report = await verdict()
      expect(named(report, '.everybar/ledger.db')).not.toEqual([])
    })
  }

  test('and left open, with its changes still beside it', async () => {
    const db = new DatabaseSync(full('.everybar/ledger.db'))
    try {
      db.exec('PRAGMA wal_autocheckpoint = 0; UPDATE slice SET items = 5 WHERE id = 1')
      const report = await place.verify()
      expect(report.faults.map(({ kind }) => kind)).toEqual(
        expect.arrayContaining(['ledger.corrupt', 'ledger.differs']),
      )
    } finally {
      db.close()
    }
  })

  test('after its seal was lost: what the archive can show is found all the same', async () => {
    rmSync(full('.everybar/ledger.db.seal'))
    expect(await place.verify()).toMatchObject({ faultCount: 0, complete: true, deep: true })
    for (const sql of [
      "UPDATE slice SET findings = NULL WHERE findings LIKE '%missing%'",
      'UPDATE stored SET row_count = 1',
    ]) {
      const db = new DatabaseSync(full('.everybar/ledger.db'))
      db.exec(sql)
      db.close()
      expect((await place.verify()).faults.map(({ kind }) => kind)).toContain('ledger.differs')
    }
  })
})

test('the command line says it with exit code 4', async () => {
  const path = place.files().find((one) => one.startsWith('lake/'))!
  appendFileSync(full(path), '\0')
  const said = await runHere(['verify', '--root', place.root, '--json'])
  expect(said.code).toBe(4)
  expect(said.json().data.faults[0]).toMatchObject({ kind: 'store.file-differs', path })
  const plain = await runHere(['verify', '--root', place.root])
  expect(plain.stdout).toContain(`fault[store.file-differs]`)
  expect(plain.stdout).toContain(path)
})
