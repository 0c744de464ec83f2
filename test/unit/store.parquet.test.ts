import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { zstdDecompressSync } from 'node:zlib'
import { parquetMetadata, parquetReadObjects } from 'hyparquet'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { barsOf, batchFromBars } from '../../src/model/bar.ts'
import { lakePath } from '../../src/model/lake.ts'
import { parseSeries, seriesId } from '../../src/model/series.ts'
import { monthOf } from '../../src/model/time.ts'
import type { Lake } from '../../src/store/lake.ts'
import { openLake } from '../../src/store/parquet/open-lake.ts'
import { minuteBars } from '../../src/testing/store-samples.ts'

const series = parseSeries('test:spot:BTCUSDT:1m')
const always = { startMs: 0, endMs: Date.UTC(2100, 0, 1) }
const january = monthOf(Date.UTC(2024, 0, 1))
const february = monthOf(Date.UTC(2024, 1, 1))

let root: string
let lake: Lake
async function rowsScanned(): Promise<number> {
  let rows = 0
  for await (const run of lake.scan(series, always)) rows += run.length
  return rows
}
const pathOf = (month = january) => join(root, lakePath(series, month.startMs))

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'everybar-parquet-'))
  lake = await openLake({ root })
})
afterEach(async () => {
  await lake[Symbol.asyncDispose]()
  await rm(root, { recursive: true, force: true })
})

describe('a month file', () => {
  test('stands where the layout says, and nothing is left beside it', async () => {
    await lake.commit(series, minuteBars(50, 70))
    const files = (await readdir(root, { recursive: true, withFileTypes: true })).filter((entry) =>
      entry.isFile(),
    )
    const paths = files.map((entry) => join(entry.parentPath, entry.name)).sort()
    expect(paths).toEqual([pathOf(january), pathOf(february)])
    const listed: unknown[] = []
    for await (const { path, month } of lake.files(series)) listed.push([join(root, path), month])
    expect(listed).toEqual([
      [pathOf(january), january],
      [pathOf(february), february],
    ])
  })

  test('is read the same by another reader', async () => {
    const bars = batchFromBars(
      barsOf(minuteBars(0, 50)).map((bar, i) => ({
        ...bar,
        native: { closeTimeMs: bar.openTimeMs + 59_999, trades: i % 3 === 0 ? Number.NaN : i },
      })),
    )
    await lake.commit(series, bars)
    const file = await readFile(pathOf())
    const buffer = file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength)
    const rows = await parquetReadObjects({
      file: buffer,
      compressors: { ZSTD: (input: Uint8Array) => new Uint8Array(zstdDecompressSync(input)) },
    })
    expect(Object.keys(rows[0]!)).toEqual([
      'open_time',
      'open',
      'high',
      'low',
      'close',
      'volume',
      'close_time',
      'trades',
    ])
    expect(rows.map((row) => [row.open_time, row.close, row.close_time, row.trades])).toEqual(
      barsOf(bars).map((bar, i) => [
        new Date(bar.openTimeMs),
        bar.close,
        new Date(bar.openTimeMs + 59_999),
        i % 3 === 0 ? null : BigInt(i),
      ]),
    )
    const { key_value_metadata: metadata } = parquetMetadata(buffer)
    expect(metadata).toEqual([
      { key: 'series', value: seriesId(series) },
      { key: 'schema', value: '1' },
    ])
  })

  test('keeps the native columns of old and new bars', async () => {
    await lake.commit(
      series,
      minuteBars(0, 3, () => ({ native: { trades: 1 } })),
    )
    await lake.commit(
      series,
      minuteBars(3, 5, () => ({ native: { openInterest: 2 } })),
    )
    const read = (await lake.readMonth(series, january))!
    expect(Object.keys(read.native)).toEqual(['trades', 'openInterest'])
    expect([...read.native.trades!]).toEqual([1, 1, 1, Number.NaN, Number.NaN])
    expect([...read.native.openInterest!]).toEqual([Number.NaN, Number.NaN, Number.NaN, 2, 2])
  })

  test('a reader during replacement sees the old bars or the new, never a part', async () => {
    const versions = [minuteBars(0, 60), minuteBars(0, 60, () => ({ volume: 1 }))]
    await lake.commit(series, versions[0]!)
    const reader = await openLake({ root })
    let writing = true
    const seen = new Set<number>()
    const read = async () => {
      while (writing) {
        const month = (await reader.readMonth(series, january))!
        expect(month.length).toBe(60)
        const changed = month.volume.every((volume) => volume === 1)
        if (!changed) expect([...month.volume]).toEqual([...versions[0]!.volume])
        seen.add(changed ? 1 : 0)
      }
    }
    const reading = read()
    for (let i = 1; i <= 20; i++) await lake.commit(series, versions[i % 2]!)
    writing = false
    await reading
    await reader[Symbol.asyncDispose]()
    expect(seen.size).toBe(2)
  })
})

describe('the list of series', () => {
  test('tells them by what the files say, not by a name alone', async () => {
    const ids = [
      "test:spot:O'HARA/X:1m",
      'test:spot:btcusdt:1M',
      'test:um:BTCUSDT:1m',
      'test:um:BTCUSDT:1m@mark',
      'other:spot:BTCUSDT:1m',
    ]
    for (const id of ids) await lake.commit(parseSeries(id), minuteBars(0, 2))
    await writeFile(join(dirname(pathOf()), 'notes.txt'), 'not a lake file')
    expect((await lake.seriesList()).map(seriesId)).toEqual([...ids].sort())
  })

  test('of a lake that was never written is empty', async () => {
    expect(await lake.seriesList()).toEqual([])
    expect(await readdir(root)).toEqual([])
  })
})

describe('a damaged file is named, with what to do', () => {
  const damages: readonly (readonly [string, (path: string) => Promise<void>])[] = [
    ['empty', (path) => writeFile(path, '')],
    ['text', (path) => writeFile(path, 'this is no parquet file, but long enough to be one')],
    ['truncated', async (path) => writeFile(path, (await readFile(path)).subarray(0, -20))],
    [
      'its start overwritten',
      async (path) => {
        const bytes = await readFile(path)
        await writeFile(path, bytes.fill(0xff, 4, Math.floor(bytes.length / 3)))
      },
    ],
    [
      'another series',
      async (path) => {
        const other = parseSeries('test:spot:ETHUSDT:1m')
        await lake.commit(other, minuteBars(0, 60))
        await copyFile(join(root, lakePath(other, january.startMs)), path)
      },
    ],
    ['another month', async (path) => copyFile(pathOf(february), path)],
  ]
  for (const [what, damage] of damages) {
    test(what, async () => {
      await lake.commit(series, minuteBars(0, 90))
      await damage(pathOf())
      const corrupt = {
        code: 'store.corrupt',
        recovery: 'abort',
        path: pathOf(),
        hint: expect.stringContaining('rebuild'),
      }
      await expect(lake.readMonth(series, january)).rejects.toMatchObject(corrupt)
      await expect(lake.commit(series, minuteBars(0, 5))).rejects.toMatchObject(corrupt)
      await expect(rowsScanned()).rejects.toMatchObject(corrupt)
      expect((await lake.readMonth(series, february))?.length).toBe(30)
      await lake.replace(series, january, minuteBars(0, 60))
      expect((await lake.readMonth(series, january))?.length).toBe(60)
      expect(await lake.commit(series, minuteBars(0, 90))).toMatchObject({ unchanged: 90 })
    })
  }

  test('extent names it too', async () => {
    await lake.commit(series, minuteBars(0, 90))
    await writeFile(pathOf(february), 'oh no')
    await expect(lake.extent(series)).rejects.toMatchObject({ code: 'store.corrupt', path: pathOf(february) })
  })

  test('a part of a damaged month cannot be replaced', async () => {
    await lake.commit(series, minuteBars(0, 60))
    await writeFile(pathOf(), 'oh no')
    const part = { startMs: january.startMs, endMs: january.endMs - 60_000 }
    await expect(lake.replace(series, part, minuteBars(0, 5))).rejects.toMatchObject({
      code: 'store.corrupt',
    })
  })
})

describe('a root that cannot be written', () => {
  test('is a file', async () => {
    const file = join(root, 'file')
    await writeFile(file, '')
    const there = await openLake({ root: file })
    expect(await there.extent(series)).toBeUndefined()
    await expect(there.commit(series, minuteBars(0, 1))).rejects.toMatchObject({
      code: 'store.not-writable',
      recovery: 'abort',
    })
    await there[Symbol.asyncDispose]()
  })
})

describe('what killed writers left', () => {
  const host = hostname()
    .replace(/[^A-Za-z0-9]/g, '-')
    .slice(0, 40)
  const old = new Date(Date.now() - 3 * 86_400_000)
  const cases: readonly (readonly [string, string, Date, boolean])[] = [
    ['of a dead process goes', `${host}.4194000.0123456789ab.tmp`, new Date(), true],
    ['of a living process stays', `${host}.${process.ppid}.0123456789ab.tmp`, old, false],
    ['of this process stays', `${host}.${process.pid}.0123456789ab.tmp`, new Date(), false],
    ['of an earlier process with our number goes', `${host}.${process.pid}.0123456789ab.tmp`, old, true],
    ['of another machine stays for a day', 'elsewhere.1.0123456789ab.tmp', new Date(), false],
    ['of another machine goes after that', 'elsewhere.1.0123456789ab.tmp', old, true],
    ['by another name is not ours', 'precious.tmp', old, false],
  ]
  for (const [what, name, changed, goes] of cases) {
    test(what, async () => {
      const path = join(root, 'lake', '.tmp', name)
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, 'PAR1')
      await utimes(path, changed, changed)
      await (await openLake({ root }))[Symbol.asyncDispose]()
      expect(
        await stat(path).then(
          () => false,
          () => true,
        ),
      ).toBe(goes)
    })
  }
})
