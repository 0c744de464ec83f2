import { copyFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { openSqliteLedger } from '../../src/ledger/sqlite/sqlite-ledger.ts'
import { collect } from '../../src/testing/collect.ts'
import { runHere } from '../run-cli.ts'
import { type ProvedRoot, provedRoot } from '../support/proved-root.ts'
import { filesIn, lakeHashes } from '../support/root.ts'

let place: ProvedRoot
let lake: Record<string, string>
beforeAll(async () => {
  place = await provedRoot()
  lake = lakeHashes(place.root)
})
afterAll(() => place.close())
afterEach(() => place.restore())

const full = (path: string) => join(place.root, path)
const some = (kind: RegExp) => place.files().filter((path) => kind.test(path))
const remove = (path: string) => void rmSync(full(path))
const flip = (path: string, at = 0.5) => {
  const bytes = readFileSync(full(path))
  bytes[Math.floor(bytes.length * at)]! ^= 4
  writeFileSync(full(path), bytes)
}
const sql = (text: string) => {
  const db = new DatabaseSync(full('.everybar/ledger.db'))
  db.exec('PRAGMA foreign_keys = OFF')
  db.exec(text)
  db.close()
}
const answers = /responses\/[0-9a-f]+\.json$/
const months = /^lake\/.*BTCUSDT_5min/

/** Requests for bars; the clock and the first bar do not count. */
const asked = () =>
  place.venue.log().filter(({ path, parameters }) => path.endsWith('klines') && parameters.limit !== '1')
    .length

interface Case {
  readonly damage: () => void
  /** Bars asked for again. */
  readonly requests: number
  /** Whether the lake is as it was, byte for byte. */
  readonly sameLake?: boolean
}

const cases: Readonly<Record<string, Case>> = {
  'a flipped byte in an answer': { damage: () => flip(some(answers)[3]!), requests: 1 },
  'two deleted answers': {
    damage: () => some(answers).slice(1, 3).forEach(remove),
    requests: 2,
  },
  'an older answer in the place of the current': {
    damage: () => {
      const older = some(/\.1\.json$/)[0]!
      copyFileSync(full(older), full(older.replace('.1.json', '.json')))
    },
    requests: 1,
  },
  'a deleted older answer': { damage: () => rmSync(full(some(/\.1\.json$/)[0]!)), requests: 0 },
  'a damaged older answer': { damage: () => flip(some(/\.1\.json$/)[0]!), requests: 0 },
  'a deleted month': { damage: () => rmSync(full(some(months)[1]!)), requests: 0 },
  'a damaged month': { damage: () => flip(some(months)[0]!), requests: 0 },
  'a month in the place of another': {
    damage: () => copyFileSync(full(some(months)[0]!), full(some(months)[1]!)),
    requests: 0,
  },
  'a month that nobody wrote': {
    damage: () => {
      const to = some(months)[0]!.replace('2024/01', '2023/11').replace('2024_01', '2023_11')
      mkdirSync(dirname(full(to)), { recursive: true })
      copyFileSync(full(some(months)[0]!), full(to))
    },
    requests: 0,
  },
  'a file that belongs to nobody': {
    damage: () => copyFileSync(full(some(months)[0]!), full('lake/copy.parquet')),
    requests: 0,
  },
  'a month in the place of another series’': {
    damage: () => copyFileSync(full(some(months)[0]!), full(some(/^lake\/.*ETHUSDT_15min/)[0]!)),
    requests: 0,
  },
  'an answer among those of another series': {
    damage: () => {
      const answer = some(/5m\/responses/)[0]!
      const other = dirname(some(/15m\/responses/)[0]!)
      copyFileSync(full(answer), full(`${other}/${answer.slice(-37)}`))
    },
    requests: 0,
  },
  'a folder where an answer was': {
    damage: () => {
      const answer = some(answers)[2]!
      rmSync(full(answer))
      mkdirSync(full(answer))
      writeFileSync(full(`${answer}/mine`), '')
    },
    requests: 1,
  },
  'a folder where a month was': {
    damage: () => {
      const month = some(months)[1]!
      rmSync(full(month))
      mkdirSync(full(month))
    },
    requests: 0,
  },
  'damaged evidence': { damage: () => flip(some(/evidence\/first-bar/)[0]!), requests: 0 },
  'deleted evidence': { damage: () => some(/evidence\//).forEach(remove), requests: 0 },
  'a changed manifest': { damage: () => flip(some(/manifest\.json$/)[0]!), requests: 0 },
  'changed records': { damage: () => sql('UPDATE slice SET items = 1, findings = NULL'), requests: 0 },
  'lost records': { damage: () => sql('DELETE FROM slice WHERE id % 3 = 0'), requests: 0 },
  'a lost series': { damage: () => sql('DELETE FROM slice; DELETE FROM series'), requests: 0 },
  'lost notes of what is stored': {
    damage: () => sql('DELETE FROM stored; DELETE FROM stored_file'),
    requests: 0,
  },
  'changed facts and ranges': {
    damage: () =>
      sql(
        `DELETE FROM wanted; UPDATE fact SET fact = '{"openTimeMs":5,"askedAtMs":1}' WHERE name = 'first-bar'`,
      ),
    requests: 0,
  },
  'a lost index': { damage: () => sql('DROP INDEX slice_notable'), requests: 0 },
  'a ledger that is no database': {
    damage: () => writeFileSync(full('.everybar/ledger.db'), 'no'),
    requests: 0,
  },
  'a ledger that is gone': { damage: () => rmSync(full('.everybar/ledger.db')), requests: 0 },
  'all at once': {
    damage: () => {
      flip(some(/5m\/responses/)[0]!)
      rmSync(full(some(months)[0]!))
      sql("UPDATE slice SET status = 'empty' WHERE id = 2")
    },
    requests: 1,
  },
}

describe('repair', () => {
  for (const [what, { damage, requests }] of Object.entries(cases)) {
    test(what, async () => {
      damage()
      const broken = filesIn(place.root)
      const unreadable = /no database|lost index/.test(what)
      if (!unreadable) {
        place.venue.resetStats()
        const plan = await place.repair({ dryRun: true })
        expect(plan.faultCount).toBeGreaterThan(0)
        expect(plan.requests).toBe(requests)
        expect(place.venue.stats().requests).toBe(0)
        expect(filesIn(place.root).filter((path) => !/-(wal|shm)$/.test(path))).toEqual(
          broken.filter((path) => !/-(wal|shm)$/.test(path)),
        )
      }
      place.venue.resetStats()
      const report = await place.repair()
      expect(report.proof.faults).toEqual([])
      expect(report.problems).toEqual([])
      expect(report.proof.complete).toBe(true)
      expect(asked()).toBe(requests)
      expect(lakeHashes(place.root)).toEqual(lake)
      const after = await place.verify()
      expect(after).toMatchObject({ faultCount: 0, complete: true, deep: false })
      expect((await place.repair()).faultCount).toBe(0)
    })
  }

  test('what the venue does not give again stays a fault, and the bars there are stay', async () => {
    const path = some(answers)[2]!
    flip(path)
    const { code, json } = await runHere(['repair', '--root', place.root, '--json'], {
      env: { EVERYBAR__SOURCES__BINANCE__BASE_URL: 'http://127.0.0.1:9', EVERYBAR__FETCH__ATTEMPTS: '1' },
    })
    expect(code).toBe(4)
    expect(lakeHashes(place.root)).toEqual(lake)
    expect(json().data.problems.length).toBeGreaterThan(0)
    expect(json().data.setAside).toEqual([path])
    expect(readFileSync(full(`.everybar/quarantine/${path}`)).length).toBeGreaterThan(0)
    expect((await place.repair()).proof).toMatchObject({ faultCount: 0 })
  })

  test('on the command line', async () => {
    rmSync(full(some(months)[0]!))
    const env = { EVERYBAR__SOURCES__BINANCE__BASE_URL: place.venue.url }
    const dry = await runHere(['repair', '--root', place.root, '--dry-run'], { env })
    expect(dry.code).toBe(4)
    expect(dry.stdout).toContain('2024-01…2024-01')
    const wet = await runHere(['repair', '--root', place.root], { env })
    expect(`${wet.code} ${wet.stderr}`).toBe('0 ')
    expect((await runHere(['repair', '--root', place.root], { env })).stdout).toContain('nothing to repair')
  })
})

test('an answer of another market is named, taken in by nobody, and goes out of the way', async () => {
  const hours = 'binance:spot:BTCUSDT:1h'
  const env = {
    EVERYBAR__SOURCES__BINANCE__BASE_URL: place.venue.url,
    EVERYBAR__SETTINGS__HISTORY_PAGE_LIMIT: '499',
  }
  const run = async (...args: string[]) =>
    (await runHere([...args, '--root', place.root, '--json'], { env })).json()
  const lakeOf = async () => {
    const all = await run('sync', hours, '--from', '2024-01-31', '--to', '2024-03-02')
    expect(all.code).toBe(0)
    return { fetched: all.data.series[0].slices.fetched, lake: lakeHashes(place.root) }
  }
  await run('sync', hours, '--from', '2024-02-20', '--to', '2024-03-02')
  const right = await lakeOf()
  expect(right.fetched).toBeGreaterThan(0)
  place.restore()
  for (const repaired of [true, false]) {
    await run('sync', hours, '--from', '2024-02-20', '--to', '2024-03-02')
    const others = some(/um-klines\/raw\/BTCUSDT\/1h\/responses\//)
    const strays = others
      .map((path) => path.replace('um-klines', 'klines'))
      .filter((path) => !filesIn(place.root).includes(path))
    for (const path of strays) copyFileSync(full(path.replace('klines', 'um-klines')), full(path))
    expect(strays).not.toEqual([])
    const named = (await place.verify()).faults.map(({ kind, path }) => `${kind} ${path}`)
    expect(named.sort()).toEqual(strays.map((path) => `archive.stray ${path}`))
    if (repaired) expect((await run('repair')).data.setAside.sort()).toEqual(strays)
    expect(await lakeOf()).toEqual(right)
    // Where nothing was asked for, one that nobody took out of the way still lies.
    const left = (await place.verify({ deep: true })).faults.map(({ kind }) => kind)
    expect(left).toEqual(repaired ? [] : ['archive.stray'])
    place.restore()
  }
})

describe('a folder of answers under another name', () => {
  const stranger = 'binance/klines/raw/XYZUSDT/5m'
  const copy = () => cpSync(full('binance/klines/raw/BTCUSDT/5m'), full(stranger), { recursive: true })
  const known = async () => {
    const ledger = openSqliteLedger({ path: full('.everybar/ledger.db'), readOnly: true })
    try {
      return (await ledger.series()).map(({ seriesId }) => seriesId)
    } finally {
      await ledger[Symbol.asyncDispose]()
    }
  }

  test('goes out of the way, and no series is made of it', async () => {
    copy()
    const missing = [{ kind: 'ledger.series-missing', path: `${stranger}/responses` }]
    expect((await place.verify()).faults).toMatchObject(missing)
    expect((await place.repair({ dryRun: true })).setAside).toEqual([stranger])
    const before = await known()
    await place.rebuild({ ledger: true })
    expect(await known()).toEqual(before)
    expect((await place.verify()).faults).toMatchObject(missing)
    const report = await place.repair()
    expect(report.setAside).toEqual([stranger])
    expect(report.proof).toMatchObject({ faultCount: 0, complete: true })
    expect(await known()).toEqual(before)
    expect(filesIn(full(`.everybar/quarantine/${stranger}`)).length).toBeGreaterThan(0)
  })

  test('is looked at too where a series of that name is known, and was never asked for', async () => {
    const ledger = openSqliteLedger({ path: full('.everybar/ledger.db') })
    const ref = { seriesId: 'binance:spot:XYZUSDT:5m', endpoint: 'binance.klines' }
    await ledger.putFact(ref, 'archive-listing', {})
    await ledger[Symbol.asyncDispose]()
    copy()
    const { faults } = await place.verify()
    expect(new Set(faults.map(({ kind, series }) => `${kind} ${series}`))).toEqual(
      new Set([`archive.stray ${ref.seriesId}`]),
    )
    expect((await place.repair()).proof).toMatchObject({ faultCount: 0, complete: true })
    expect(filesIn(full(`${stranger}/responses`))).toEqual([])
  })
})

/** All a ledger knows, but for runs. */
async function ledgerContent() {
  const ledger = openSqliteLedger({ path: full('.everybar/ledger.db'), readOnly: true })
  try {
    const all: unknown[] = []
    for (const series of await ledger.series()) {
      all.push({
        series,
        slices: await collect(ledger.slices(series)),
        stored: await collect(ledger.stored(series, 'parquet')),
        files: await collect(ledger.storedFiles(series, 'parquet')),
        wanted: await ledger.wanted(series),
        first: await ledger.getFact(series, 'first-bar'),
        last: await ledger.getFact(series, 'last-bar'),
      })
    }
    return { all, runs: await ledger.runs() }
  } finally {
    await ledger[Symbol.asyncDispose]()
  }
}

describe('rebuild, without a request', () => {
  test('the lake, byte for byte', async () => {
    rmSync(full('lake'), { recursive: true })
    place.venue.resetStats()
    const report = await place.rebuild({ lake: true })
    expect(report).toMatchObject({ ledger: false, stores: ['parquet'] })
    expect(lakeHashes(place.root)).toEqual(lake)
    expect(place.venue.stats().requests).toBe(0)
    expect(await place.verify({ deep: true })).toMatchObject({ faultCount: 0, complete: true })
  })

  test('the ledger, with all it knew', async () => {
    const before = await ledgerContent()
    rmSync(full('.everybar'), { recursive: true })
    place.venue.resetStats()
    const report = await place.rebuild({ ledger: true })
    expect(report.series.map(({ slices }) => slices).every((slices) => slices > 0)).toBe(true)
    expect((await ledgerContent()).all).toEqual(before.all)
    expect(before.all.length).toBe(4)
    expect(place.venue.stats().requests).toBe(0)
    expect(lakeHashes(place.root)).toEqual(lake)
    expect(await place.verify()).toMatchObject({ faultCount: 0, complete: true, deep: false })
  })

  test('the ledger, keeping the runs of one that can be read, and the old one', async () => {
    const before = await ledgerContent()
    const report = await place.rebuild({ ledger: true })
    expect(await ledgerContent()).toEqual(before)
    expect(report.setAside).toContain('.everybar/ledger.db')
    expect(readFileSync(full('.everybar/quarantine/.everybar/ledger.db')).length).toBeGreaterThan(0)
  })

  test('both, from nothing but answers', async () => {
    const before = await ledgerContent()
    for (const folder of ['lake', '.everybar']) rmSync(full(folder), { recursive: true })
    await place.rebuild({ ledger: true, store: 'parquet' })
    expect((await ledgerContent()).all).toEqual(before.all)
    expect(lakeHashes(place.root)).toEqual(lake)
  })

  test('with a ledger of manifests', async () => {
    const env = { EVERYBAR__LEDGER: 'manifest', EVERYBAR__SOURCES__BINANCE__BASE_URL: place.venue.url }
    const run = (...args: string[]) => runHere([...args, '--root', place.root], { env })
    rmSync(full('.everybar'), { recursive: true })
    expect((await run('rebuild', '--ledger', '--lake')).code).toBe(0)
    const verified = await run('verify')
    expect(`${verified.code} ${verified.stderr}`).toBe('0 ')
    expect(lakeHashes(place.root)).toEqual(lake)
  })

  test('has to be told what', async () => {
    expect((await runHere(['rebuild', '--root', place.root])).code).toBe(2)
    expect((await runHere(['rebuild', '--root', place.root, '--store', 'nowhere'])).code).toBe(2)
  })
})
