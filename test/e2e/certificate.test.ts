import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { readCertificate } from '../../src/coverage/certificate.ts'
import type { BarBatch } from '../../src/model/bar.ts'
import { parseSeries } from '../../src/model/series.ts'
import { DAY_MS, type TimeRange } from '../../src/model/time.ts'
import { encodeDelta } from '../../src/store/parquet/delta-format.ts'
import { openLake } from '../../src/store/parquet/open-lake.ts'
import { contentOf } from '../../src/testing/store-samples.ts'
import { runHere } from '../run-cli.ts'
import { liveHouse } from '../support/live-house.ts'
import { startPostgres } from '../support/postgres-server.ts'
import { type ProvedRoot, provedRoot } from '../support/proved-root.ts'

const BTC = 'binance:spot:BTCUSDT:5m'
const LATE = 'binance:spot:BTCUSDT:1m'

let place: ProvedRoot
beforeAll(async () => {
  place = await provedRoot()
})
afterAll(() => place.close())
afterEach(() => place.restore())

const full = (path: string) => join(place.root, path)
const run = (...args: string[]) => runHere(['verify', '--root', place.root, '--json', ...args])
let made = 0
const fresh = () => join(tmpdir(), `everybar-certificate-${process.pid}-${made++}.json`)
async function certify(...args: string[]): Promise<string> {
  const file = fresh()
  const { code, stderr } = await run('--certificate', file, ...args)
  expect(`${code} ${stderr}`).toBe('0 ')
  return file
}
const read = (file: string) => readCertificate(readFileSync(file, 'utf8'), file)
const faultsOf = (json: { data?: { faults: { kind: string; path: string; openTimeMs?: number }[] } }) =>
  json.data!.faults
const flip = (path: string) => {
  const bytes = readFileSync(full(path))
  bytes[bytes.length >> 1]! ^= 1
  writeFileSync(full(path), bytes)
}

const venueEnv = () => ({ EVERYBAR__SOURCES__BINANCE__BASE_URL: place.venue.url })
const recheck = async (series: string, ...args: string[]) => {
  const { code, stderr } = await runHere(
    ['sync', series, '--root', place.root, '--recheck', '100%', ...args],
    { env: venueEnv() },
  )
  expect(`${code} ${stderr}`).toMatch(/^0 /)
}
const range = (from: string, to: string): TimeRange => ({ startMs: Date.parse(from), endMs: Date.parse(to) })
/** Real bars, moved to another time: nothing in the archive shows them there. */
async function inventedBars(from: TimeRange, byMs: number): Promise<BarBatch> {
  const lake = await openLake({ root: place.root })
  const batch = await contentOf(lake, parseSeries(BTC), from)
  await lake[Symbol.asyncDispose]()
  return { ...batch, openTimeMs: batch.openTimeMs.map((ms) => ms + byMs) }
}
/** Puts bars into a month file, past everything that would know of it. */
async function slipIn(batch: BarBatch): Promise<void> {
  const lake = await openLake({ root: place.root })
  await lake.commit(parseSeries(BTC), batch)
  await lake[Symbol.asyncDispose]()
}
/** Puts bars into a delta file, past everything that would know of it. */
function slipInDelta(batch: BarBatch): void {
  const bytes = encodeDelta([{ series: parseSeries(BTC), batch }])
  const name = `000000000001-${createHash('sha256').update(bytes).digest('hex').slice(0, 32)}.delta`
  mkdirSync(full('lake/.delta'), { recursive: true })
  writeFileSync(full(`lake/.delta/${name}`), bytes)
}

describe('a certificate', () => {
  test('says what there is, and holds while nothing changes', async () => {
    const file = await certify()
    const certificate = read(file)
    expect(certificate.series.map(({ series }) => series)).toEqual([
      LATE,
      BTC,
      'binance:spot:ETHUSDT:15m',
      'binance:um:BTCUSDT:1h',
    ])
    const one = certificate.series[1]!
    expect(one).toMatchObject({ start: '2024-01-29T00:00:00Z', end: '2024-03-02T00:00:00Z', complete: true })
    expect(one.absent.venue_outage ?? one.absent.source_absent).toBeGreaterThan(20)
    const absent = Object.entries(one.absent).filter(([name]) => name !== 'before_listing')
    expect(one.present + absent.reduce((sum, [, bars]) => sum + bars, 0)).toBe(one.expected)
    expect(one.bars.reduce((sum, { bars }) => sum + bars, 0)).toBe(one.present)
    expect(one.files.map(({ path }) => path)).toEqual(
      place.files().filter((path) => /^lake\/.*BTCUSDT_5min/.test(path)),
    )
    expect(one.slices.length).toBe(
      place.files().filter((path) => /BTCUSDT\/5m\/responses\/[0-9a-f]+\.json$/.test(path)).length,
    )
    expect(certificate.series[0]!.slices.some(({ older }) => older?.length === 1)).toBe(true)
    const against = await run('--against', file)
    expect(against.code).toBe(0)
    expect(against.json().data).toMatchObject({ complete: true, faultCount: 0 })
    expect(against.json().data.certificates[0].digest).toBe(certificate.digest)
  })

  test('is the same for the same bars, but for its time', async () => {
    const [a, b] = [read(await certify(BTC)), read(await certify(BTC))]
    expect(a.series).toEqual(b.series)
  })

  test('is not written where something is damaged, nor over an older one', async () => {
    const file = await certify(BTC)
    const before = readFileSync(file, 'utf8')
    flip(place.files().find((path) => path.startsWith('lake/'))!)
    expect((await run('--certificate', file)).code).toBe(4)
    expect(readFileSync(file, 'utf8')).toBe(before)
  })

  test('of a range that is not complete says so', async () => {
    const file = fresh()
    expect((await run('--certificate', file, BTC, '--from', '2024-01-29', '--to', '2024-04')).code).toBe(3)
    expect(read(file).series[0]).toMatchObject({
      complete: false,
      absent: { never_fetched: expect.any(Number) },
    })
    expect((await run('--against', file)).code).toBe(3)
  })

  test('holds no bar that is not final', async () => {
    const file = fresh()
    await run('--certificate', file, LATE, '--from', '2024-03-02T12:00Z', '--to', '2024-03-02T13:00Z')
    const [one] = read(file).series
    expect(one!.bars.reduce((sum, { bars }) => sum + bars, 0)).toBe(one!.present)
    expect(one!.present).toBeLessThan(60)
    expect(one!.absent.not_yet_final).toBe(60 - one!.present)
  })
})

describe('against a certificate', () => {
  const damages: readonly (readonly [string, RegExp, string])[] = [
    ['a flipped byte in an answer', /BTCUSDT\/5m\/responses\/[0-9a-f]+\.json$/, 'certificate.slice-differs'],
    ['a flipped byte in a month', /^lake\/.*BTCUSDT_5min/, 'certificate.bars-differ'],
  ]
  for (const [what, kind, fault] of damages) {
    for (const how of ['flipped', 'deleted']) {
      test(`${what}, ${how}`, async () => {
        const file = await certify(BTC)
        const path = place.files().filter((one) => kind.test(one))[1]!
        if (how === 'flipped') flip(path)
        else rmSync(full(path))
        const { code, json } = await run('--against', file)
        expect(code).toBe(4)
        expect(faultsOf(json()).every((one) => one.kind === fault && one.path === path)).toBe(true)
        expect(faultsOf(json()).length).toBeGreaterThan(0)
      })
    }
  }

  test('a month that went on, and slices asked once more, are no difference', async () => {
    const file = await certify(LATE, '--to', '2024-03-02T12:00Z')
    place.venue.setNow(Date.parse('2024-03-02T15:00:30Z'))
    await place.sync({ series: LATE })
    const { code, json } = await run('--against', file)
    expect(code).toBe(0)
    expect(json().data.series[0]).toMatchObject({ superseded: 1, rewritten: 1, series: LATE })
  })

  test('a bar restated since is named', async () => {
    const file = await certify(LATE, '--to', '2024-03-02T12:00Z')
    place.venue.restate({ symbol: 'BTCUSDT', openTimeMs: Date.parse('2024-03-02T10:10:00Z'), volume: '55.5' })
    const sync = await runHere(
      ['sync', LATE, '--root', place.root, '--recheck', '2024-03-02T10:00Z/2024-03-02T11:00Z'],
      {
        env: { EVERYBAR__SOURCES__BINANCE__BASE_URL: place.venue.url },
      },
    )
    expect(sync.code).toBe(0)
    const { code, json } = await run('--against', file)
    expect(code).toBe(4)
    expect(faultsOf(json())).toMatchObject([
      { kind: 'certificate.bars-differ', openTimeMs: Date.parse('2024-03-02T10:10:00Z') },
    ])
  })

  test('certificates that adjoin are one', async () => {
    const cut = '2024-02-14T12:34Z'
    const [a, b] = [await certify(BTC, '--to', cut), await certify(BTC, '--from', cut)]
    const whole = fresh()
    const { code, json } = await run('--against', a, '--against', b, '--certificate', whole)
    expect(code).toBe(0)
    expect(json().data.certificates).toHaveLength(2)
    const [one] = read(whole).series
    const [asOne] = read(await certify(BTC)).series
    const { bars: _a, gaps: _b, ...rest } = one!
    expect(asOne).toMatchObject(rest)
    expect(read(whole).composed_of).toEqual([read(a).digest, read(b).digest])
    expect((await run('--against', whole)).code).toBe(0)
    expect((await run('--against', a, '--against', a)).code).toBe(2)
  })

  test('a file whose name claims the hundred-millionth answer to a slice costs nothing', async () => {
    const file = await certify(BTC)
    const answer = place.files().find((path) => /BTCUSDT\/5m\/responses\/[0-9a-f]+\.json$/.test(path))!
    writeFileSync(full(answer.replace('.json', '.100000000.json')), readFileSync(full(answer)))
    const { code, json } = await run('--against', file)
    expect([code, json().data.series[0].superseded]).toEqual([0, 0])
  })

  test('bars in a delta file, where a gap was certified, are named', async () => {
    const file = await certify(BTC)
    const shift = Date.parse('2024-02-01T00:00Z') - Date.parse('2024-02-05T00:00Z')
    slipInDelta(await inventedBars(range('2024-02-05T00:00Z', '2024-02-05T00:30Z'), shift))
    const { code, json } = await run('--against', file)
    expect(code).toBe(4)
    expect(faultsOf(json()).map(({ kind }) => kind)).toEqual(Array(6).fill('certificate.bars-differ'))
  })

  const empty: readonly (readonly [string, string, string, number, number])[] = [
    ['before the first bar', '2023-12-01', '2024-03-02', 0, -60 * DAY_MS],
    ['of a time that had not come', '2024-01-29', '2024-05-01', 3, 70 * DAY_MS],
  ]
  for (const [what, from, to, certified, shift] of empty) {
    test(`bars in a month that was certified to have none are named: one ${what}`, async () => {
      const file = fresh()
      expect((await run('--certificate', file, BTC, '--from', from, '--to', to)).code).toBe(certified)
      expect((await run('--against', file)).code).toBe(certified)
      await slipIn(await inventedBars(range('2024-02-05', '2024-02-06'), shift))
      const { code, json } = await run('--against', file)
      expect(code).toBe(4)
      expect(faultsOf(json())).toHaveLength(288)
      expect(faultsOf(json())[0]).toMatchObject({
        kind: 'certificate.bars-differ',
        openTimeMs: Date.parse('2024-02-05') + shift,
      })
    })
  }

  test('bars that had not been answered yet may come, and no others', async () => {
    const file = fresh()
    const [from, to] = ['2024-02-25', '2024-03-04']
    await recheck(BTC, '--from', '2024-03-01', '--to', '2024-03-02T12:00Z')
    expect((await run('--certificate', file, BTC, '--from', from, '--to', to)).code).toBe(3)
    place.venue.setNow(Date.parse('2024-03-04T00:10:00Z'))
    await place.sync({ series: BTC, from, to: '2024-03-03T12:00Z' })
    expect((await run('--against', file)).json().data).toMatchObject({ faultCount: 0, complete: false })
    const shift = Date.parse('2024-03-03T20:00Z') - Date.parse('2024-02-26T20:00Z')
    await slipIn(await inventedBars(range('2024-02-26T20:00Z', '2024-02-26T20:10Z'), shift))
    const { code, json } = await run('--against', file)
    expect(code).toBe(4)
    expect(faultsOf(json()).map(({ openTimeMs }) => openTimeMs)).toEqual([
      Date.parse('2024-03-03T20:00Z'),
      Date.parse('2024-03-03T20:05Z'),
    ])
  })

  test('a bar restated before the next part was certified is named by both together too', async () => {
    const a = await certify(BTC, '--from', '2024-02-01', '--to', '2024-02-14')
    const openTimeMs = Date.parse('2024-02-03T10:10:00Z')
    place.venue.restate({ symbol: 'BTCUSDT', openTimeMs, volume: '55.5' })
    await recheck(BTC, '--from', '2024-02-01', '--to', '2024-02-14')
    const b = await certify(BTC, '--from', '2024-02-14', '--to', '2024-03-01')
    const whole = fresh()
    for (const parts of [[a], [a, b], [b, a]]) {
      const { code, json } = await run(
        ...parts.flatMap((part) => ['--against', part]),
        '--certificate',
        whole,
      )
      expect([code, faultsOf(json())]).toMatchObject([4, [{ kind: 'certificate.bars-differ', openTimeMs }]])
    }
    expect(() => readFileSync(whole)).toThrow()
  })

  test('parts of parts are one, though a slice was asked again between them', async () => {
    const [a, b] = [
      await certify(LATE, '--from', '2024-03-02T11:00Z', '--to', '2024-03-02T11:30Z'),
      await certify(LATE, '--from', '2024-03-02T11:30Z', '--to', '2024-03-02T12:00Z'),
    ]
    place.venue.setNow(Date.parse('2024-03-02T13:50:30Z'))
    await place.sync({ series: LATE, from: '2024-03-01T22:00Z' })
    const c = await certify(LATE, '--from', '2024-03-02T12:00Z', '--to', '2024-03-02T13:00Z')
    const ab = fresh()
    expect((await run('--against', a, '--against', b, '--certificate', ab)).code).toBe(0)
    const [atOnce, partOfParts] = [fresh(), fresh()]
    expect((await run('--against', a, '--against', b, '--against', c, '--certificate', atOnce)).code).toBe(0)
    expect((await run('--against', c, '--against', ab, '--certificate', partOfParts)).code).toBe(0)
    expect(read(partOfParts).series).toEqual(read(atOnce).series)
  })

  test('a tail that grew over the seam is one answer', async () => {
    const live = await liveHouse({ seed: 5 })
    try {
      const cli = (...args: string[]) => runHere(['verify', '--root', live.root, '--json', ...args])
      const [a, b, whole] = [fresh(), fresh(), fresh()]
      await live.follow([LATE], { from: '2024-03-01T11:00Z', minutes: 4 })
      await cli('--certificate', a, LATE, '--from', '2024-03-01T11:00Z', '--to', '2024-03-01T12:02Z')
      await live.follow([LATE], { minutes: 5 })
      await cli('--certificate', b, LATE, '--from', '2024-03-01T12:02Z', '--to', '2024-03-01T12:05Z')
      const both = await cli('--against', a, '--against', b, '--certificate', whole)
      expect(`${both.code} ${both.stderr}`).toBe('0 ')
      expect((await cli('--against', whole)).code).toBe(0)
    } finally {
      await live.close()
    }
  })

  test('a certificate that was changed is none', async () => {
    const file = await certify(BTC)
    writeFileSync(file, readFileSync(file, 'utf8').replace('"present":', '"present":1'))
    expect((await run('--against', file)).code).toBe(4)
    expect((await run('--against', '/nowhere.json')).code).toBe(2)
    expect((await run(BTC, '--against', file)).code).toBe(2)
  })
})

test('without the lake, the bars of the first store are certified', async () => {
  const server = await startPostgres()
  const root = mkdtempSync(join(tmpdir(), 'everybar-certificate-'))
  try {
    const url = await server.freshDatabase()
    const env = {
      ...venueEnv(),
      EVERYBAR__STORES__POSTGRES__URL: url,
      EVERYBAR__STORES__PARQUET__ENABLED: 'false',
    }
    const cli = (...args: string[]) => runHere([...args, '--root', root, '--json'], { env })
    const file = fresh()
    await cli('sync', BTC, '--from', '2024-01-30', '--to', '2024-02-05')
    expect((await cli('verify', '--certificate', file)).code).toBe(0)
    const one = read(file).series[0]!
    expect(one.files).toEqual([])
    expect(one.bars.map(({ path, start }) => [path, start])).toEqual([
      ['postgres', '2024-01-30T00:00:00Z'],
      ['postgres', '2024-02-01T00:00:00Z'],
    ])
    expect(one.bars.reduce((sum, { bars }) => sum + bars, 0)).toBe(one.present)
    expect((await cli('verify', '--against', file)).code).toBe(0)
    await server.query('delete from public.bars', new URL(url).pathname.slice(1))
    expect((await cli('verify', '--against', file)).code).toBe(4)
    // The same bars in the lake are as good.
    env.EVERYBAR__STORES__PARQUET__ENABLED = 'true'
    await cli('sync', BTC, '--from', '2024-01-30', '--to', '2024-02-05')
    expect((await cli('verify', '--against', file)).code).toBe(0)
  } finally {
    await server.stop()
    rmSync(root, { recursive: true })
  }
})
