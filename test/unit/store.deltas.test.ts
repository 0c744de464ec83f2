import { copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type BarBatch, barsOf, concatBatches, emptyBatch } from '../../src/model/bar.ts'
import { lakePath } from '../../src/model/lake.ts'
import { parseSeries, type Series, seriesId } from '../../src/model/series.ts'
import { monthOf } from '../../src/model/time.ts'
import { compactionDue, deltaLimits, type Lake } from '../../src/store/lake.ts'
import { type LakeFilesystem, nodeFilesystem } from '../../src/store/parquet/filesystem.ts'
import { openLake } from '../../src/store/parquet/open-lake.ts'
import { contentOf, everything, minuteBars, minutes, rows } from '../../src/testing/store-samples.ts'
import { lakeHashes } from '../support/root.ts'

const btc = parseSeries('test:spot:BTCUSDT:1m')
const eth = parseSeries('test:spot:ETH/USDT:1m')
const january = monthOf(Date.UTC(2024, 0, 1))
const february = monthOf(Date.UTC(2024, 1, 1))

let root: string
let lake: Lake
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'everybar-deltas-'))
  lake = await openLake({ root })
})
afterEach(async () => {
  await lake[Symbol.asyncDispose]()
  await rm(root, { recursive: true, force: true })
})

const folder = () => join(root, 'lake', '.delta')
const deltaNames = async () => (await readdir(folder()).catch(() => [])).sort()
const appendOne = (minute: number, ...all: Series[]) =>
  lake.append(all.map((series) => ({ series, batch: minuteBars(minute, minute + 1) })))
const content = async (series: Series, of: Lake = lake) => rows(await contentOf(of, series))

async function withLake<T>(use: (other: Lake) => Promise<T>, filesystem?: LakeFilesystem): Promise<T> {
  const other = await openLake({ root, ...(filesystem && { filesystem }) })
  try {
    return await use(other)
  } finally {
    await other[Symbol.asyncDispose]()
  }
}

describe('an append', () => {
  test('of many series is one file, out of sight of whoever reads Parquet, and leaves every month file alone', async () => {
    const all = Array.from({ length: 50 }, (_, i) => parseSeries(`test:spot:S${i}:1m`))
    for (const series of all) await lake.commit(series, minuteBars(0, 3))
    const before = lakeHashes(root)
    await appendOne(3, ...all)
    await appendOne(4, ...all)
    expect(await deltaNames()).toHaveLength(2)
    const months = Object.entries(lakeHashes(root)).filter(([path]) => !path.startsWith('.delta/'))
    expect(Object.fromEntries(months)).toEqual(before)
    const visible: string[] = []
    for await (const path of lake.allFiles()) visible.push(path)
    expect(visible).toHaveLength(50)
    expect(await lake.deltaState()).toEqual({ files: 2, rows: 100, firstMs: minutes(3, 4).startMs })
    for (const series of all) expect(await content(series)).toEqual(rows(minuteBars(0, 5)))
  })

  test('of bars that are there already is no file', async () => {
    await lake.commit(btc, minuteBars(0, 5))
    await appendOne(5, btc, eth)
    await appendOne(5, btc, eth)
    await appendOne(4, btc)
    expect(await deltaNames()).toHaveLength(1)
  })

  test('of an older bar, a revised one of a month file, or of very many is a commit', async () => {
    await lake.commit(btc, minuteBars(10, 20))
    await appendOne(5, btc)
    await lake.append([{ series: btc, batch: minuteBars(19, 21, () => ({ volume: 9 })) }])
    const [result] = await lake.append([{ series: eth, batch: minuteBars(0, 600) }])
    expect(result!.files!.map(({ range }) => range)).toEqual([january, february])
    expect(await deltaNames()).toEqual([])
    const revised = minuteBars(19, 21, () => ({ volume: 9 }))
    expect(await content(btc)).toEqual([minuteBars(5, 6), minuteBars(10, 19), revised].flatMap(rows))
  })

  test('knows in a new process what month files and delta files hold', async () => {
    await lake.commit(btc, minuteBars(0, 20))
    await appendOne(20, btc)
    await withLake(async (next) => {
      const known = await next.append([{ series: btc, batch: minuteBars(17, 22) }])
      expect(known).toMatchObject([{ inserted: 1, revised: 0, unchanged: 4 }])
      expect(await deltaNames()).toHaveLength(2)
      expect(await content(btc, next)).toEqual(rows(minuteBars(0, 22)))
    })
  })

  test('is held up for no series by a month file of another that cannot be read', async () => {
    await lake.commit(btc, minuteBars(0, 5))
    await lake.commit(eth, minuteBars(0, 5))
    await writeFile(join(root, lakePath(btc, january.startMs)), 'no parquet')
    await withLake(async (next) => {
      const entries = [btc, eth].map((series) => ({ series, batch: minuteBars(5, 6) }))
      await expect(next.append(entries)).rejects.toMatchObject({ code: 'store.corrupt' })
      expect(await content(eth, next)).toEqual(rows(minuteBars(0, 6)))
    })
  })
})

describe('readers', () => {
  beforeEach(async () => {
    await lake.commit(btc, minuteBars(50, 55))
    await appendOne(55, btc)
    await lake.append([{ series: btc, batch: minuteBars(56, 63) }])
    await appendOne(3, eth)
  })

  test('see both kinds of files as one', async () => {
    expect((await lake.seriesList()).map(seriesId)).toEqual([btc, eth].map(seriesId))
    expect(await content(btc)).toEqual(rows(minuteBars(50, 63)))
    expect(rows(await contentOf(lake, btc, minutes(54, 61)))).toEqual(rows(minuteBars(54, 61)))
    expect(await lake.extent(btc)).toEqual({
      rows: 13,
      firstMs: minutes(50, 51).startMs,
      lastMs: minutes(62, 63).startMs,
    })
    expect(await lake.extent(eth)).toMatchObject({ rows: 1 })
    expect(rows((await lake.readMonth(btc, january))!)).toEqual(rows(minuteBars(50, 60)))
    expect(rows((await lake.readMonth(btc, february))!)).toEqual(rows(minuteBars(60, 63)))
    expect(await lake.readMonth(eth, february)).toBeUndefined()
    expect(rows(await lake.pendingBars(btc))).toEqual(rows(minuteBars(55, 63)))
  })

  test('get open times of files and of delta files in order, each once', async () => {
    await lake.commit(btc, minuteBars(57, 58))
    const pending = (await lake.pendingBars(btc)).openTimeMs
    const paths = [january].map(({ startMs }) => lakePath(btc, startMs))
    const times: number[] = []
    for await (const run of lake.openTimes(paths, pending)) times.push(...run)
    expect(times).toEqual([...minuteBars(50, 63).openTimeMs])
    const alone: number[] = []
    for await (const run of lake.openTimes([], pending)) alone.push(...run)
    expect(alone).toEqual([...pending])
  })

  test('of another process see each append at once', async () => {
    await withLake(async (other) => {
      expect(await content(btc, other)).toHaveLength(13)
      await appendOne(63, btc)
      expect(await content(btc, other)).toHaveLength(14)
      await lake.compact()
      expect(await content(btc, other)).toEqual(rows(minuteBars(50, 64)))
      await appendOne(64, btc)
      expect(await content(btc, other)).toEqual(rows(minuteBars(50, 65)))
    })
  })

  test('miss nothing when files are folded between the listing and the reading', async () => {
    let folding = true
    const filesystem = {
      ...nodeFilesystem,
      async read(path: string) {
        if (folding) {
          folding = false
          await lake.compact()
        }
        return nodeFilesystem.read(path)
      },
    }
    await withLake(async (other) => expect(await content(btc, other)).toHaveLength(13), filesystem)
    expect(folding).toBe(false)
  })

  test('count the bars of a month file and of a delta file that both have once', async () => {
    const kept = await Promise.all(
      (await deltaNames()).map(async (name) => [name, await readFile(join(folder(), name))] as const),
    )
    await lake.compact()
    for (const [name, bytes] of kept) await writeFile(join(folder(), name), bytes)
    expect(await lake.isFolded(btc, january)).toBe(true)
    expect(await lake.extent(btc)).toMatchObject({ rows: 13 })
    expect(await content(btc)).toEqual(rows(minuteBars(50, 63)))
    await lake.append([{ series: btc, batch: minuteBars(62, 63, () => ({ volume: 1 })) }])
    expect((await content(btc)).at(-1)).toMatchObject({ volume: 1 })
    await lake.compact()
    expect((await content(btc)).at(-1)).toMatchObject({ volume: 1 })
    expect(await lake.isFolded(btc, january)).toBe(false)
  })
})

describe('a compaction', () => {
  const native = (minute: number) => ({ native: minute % 2 === 0 ? { trades: minute } : {} })

  test('leaves the very files that commits would have made, and no delta file', async () => {
    for (const series of [btc, eth]) await lake.commit(series, minuteBars(40, 55, native))
    for (let minute = 55; minute < 65; minute++)
      await lake.append(
        [btc, eth].map((series) => ({ series, batch: minuteBars(minute, minute + 1, native) })),
      )
    await lake.append([{ series: btc, batch: minuteBars(64, 65, () => ({ close: 100.4, volume: -0 })) }])
    expect(await lake.compact()).toEqual({ files: 11, rows: 21, series: 2, months: 4 })
    expect(await deltaNames()).toEqual([])
    const found = lakeHashes(root)

    const other = await mkdtemp(join(tmpdir(), 'everybar-deltas-'))
    const plain = await openLake({ root: other })
    for (const series of [btc, eth]) await plain.commit(series, minuteBars(40, 65, native))
    await plain.commit(
      btc,
      minuteBars(64, 65, () => ({ close: 100.4, volume: 0 })),
    )
    await plain[Symbol.asyncDispose]()
    expect(found).toEqual(lakeHashes(other))
    await rm(other, { recursive: true })
    expect(await lake.compact()).toEqual({ files: 0, rows: 0, series: 0, months: 0 })
  })

  test('tells each month file, and keeps the delta files until it was listened to', async () => {
    await lake.append([{ series: btc, batch: minuteBars(55, 65) }])
    await appendOne(0, eth)
    const seen: unknown[] = []
    const stopped = lake.compact({
      async each(series, fold) {
        const files = await fold()
        for (const { path, sha256 } of files) {
          expect(await lake.fileState(path)).toMatchObject({ sha256 })
          seen.push([seriesId(series), path])
        }
        expect(await deltaNames()).toHaveLength(2)
        if (series.instrument.symbol.startsWith('ETH')) throw new Error('the ledger is gone')
      },
    })
    await expect(stopped).rejects.toThrow('the ledger is gone')
    const months = [january, february].map(({ startMs }) => [seriesId(btc), lakePath(btc, startMs)])
    expect(seen).toEqual([...months, [seriesId(eth), lakePath(eth, january.startMs)]])
    expect(await deltaNames()).toHaveLength(2)
    await expect(lake.compact({ each: async () => {} })).rejects.toThrow('was not folded')
    expect(await deltaNames()).toHaveLength(2)
    await lake.compact()
    expect(await deltaNames()).toEqual([])
    expect(await content(btc)).toEqual(rows(minuteBars(55, 65)))
  })

  test('lets appends go on, also of bars it is about to fold', async () => {
    await lake.commit(btc, minuteBars(0, 5))
    for (const minute of [5, 6]) await appendOne(minute, btc, eth)
    const revised = minuteBars(6, 8, () => ({ volume: 3 }))
    await lake.compact({
      async each(series, fold) {
        await lake.append([{ series, batch: revised }])
        await fold()
        await lake.append([{ series, batch: concatBatches([revised, minuteBars(8, 9)]) }])
        await lake.append([{ series, batch: minuteBars(7, 8, () => ({ volume: 4 })) }])
      },
    })
    const tail = [
      minuteBars(6, 7, () => ({ volume: 3 })),
      minuteBars(7, 8, () => ({ volume: 4 })),
      minuteBars(8, 9),
    ]
    for (const [series, from] of [
      [btc, 0],
      [eth, 5],
    ] as const) {
      const expected = [minuteBars(from, 6), ...tail].flatMap(rows)
      expect(await content(series)).toEqual(expected)
    }
    await lake.compact()
    expect(await content(btc)).toEqual([minuteBars(0, 6), ...tail].flatMap(rows))
    expect(await deltaNames()).toEqual([])
  })

  test('stopped half way goes on with the next', async () => {
    await appendOne(0, btc, eth)
    const stop = new AbortController()
    const stopped = lake.compact({
      signal: stop.signal,
      async each(_, fold) {
        await fold()
        stop.abort(new Error('stop'))
      },
    })
    await expect(stopped).rejects.toThrow('stop')
    expect(await deltaNames()).toHaveLength(1)
    expect((await lake.compact()).series).toBe(2)
    for (const series of [btc, eth]) expect(await content(series)).toEqual(rows(minuteBars(0, 1)))
  })

  test('is due by files, by rows and when a month has ended', () => {
    const firstMs = minutes(59, 60).startMs
    const few = { files: 1, rows: 1, firstMs }
    expect(compactionDue({ files: 0, rows: 0, firstMs: undefined }, february.startMs)).toBe(false)
    expect(compactionDue(few, february.startMs - 1)).toBe(false)
    expect(compactionDue(few, february.startMs)).toBe(true)
    expect(compactionDue({ ...few, files: deltaLimits.files }, firstMs)).toBe(true)
    expect(compactionDue({ ...few, rows: deltaLimits.rows }, firstMs)).toBe(true)
  })
})

describe('replacing', () => {
  test('takes bars out of delta files for good, those of that series and month alone', async () => {
    await lake.append([
      { series: btc, batch: minuteBars(50, 70) },
      { series: eth, batch: minuteBars(50, 70) },
    ])
    await appendOne(70, btc)
    await lake.replace(btc, minutes(55, 65), emptyBatch)
    const left = [minuteBars(50, 55), minuteBars(65, 71)].flatMap(rows)
    expect(await content(btc)).toEqual(left)
    expect(await lake.pendingBars(btc)).toHaveLength(0)
    expect(rows(await lake.pendingBars(eth))).toEqual(rows(minuteBars(50, 70)))
    await lake.compact()
    expect(await content(btc)).toEqual(left)
    await withLake(async (other) => expect(await content(btc, other)).toEqual(left))
  })
})

describe('damage', () => {
  let path: string
  let whole: Buffer
  beforeEach(async () => {
    await lake.commit(btc, minuteBars(0, 5))
    await appendOne(5, btc, eth)
    await appendOne(6, eth)
    path = join(folder(), (await deltaNames())[0]!)
    whole = await readFile(path)
  })
  const flipped = (at: number) => {
    const bytes = Buffer.from(whole)
    bytes[at]! ^= 1
    return bytes
  }

  test('of any byte is named, and whatever reads or folds stops at it', async () => {
    for (const bytes of [
      ...[0, 9, 13, 20, 60, whole.length - 1].map(flipped),
      whole.subarray(0, whole.length - 8),
      Buffer.concat([whole, Buffer.alloc(8)]),
      Buffer.alloc(0),
    ]) {
      await writeFile(path, bytes)
      await withLake(async (other) => {
        const corrupt = { code: 'store.corrupt', recovery: 'abort', path }
        await expect(content(btc, other)).rejects.toMatchObject(corrupt)
        await expect(other.extent(eth)).rejects.toMatchObject(corrupt)
        await expect(other.commit(btc, minuteBars(0, 1))).rejects.toMatchObject(corrupt)
        await expect(other.append([{ series: eth, batch: minuteBars(7, 8) }])).rejects.toMatchObject(corrupt)
        await expect(other.replace(btc, everything, emptyBatch)).rejects.toMatchObject(corrupt)
        await expect(other.compact()).rejects.toMatchObject(corrupt)
      })
    }
    await writeFile(path, whole)
    expect(await content(btc)).toEqual(rows(minuteBars(0, 6)))
  })

  test('can be passed over: what the file held is missing, and nothing is folded around it', async () => {
    await writeFile(path, flipped(100))
    await withLake(async (other) => {
      const [damage, ...more] = await other.skipDamagedDeltas()
      expect(damage).toMatchObject({ path: `lake/.delta/${(await deltaNames())[0]}` })
      expect(damage!.detail).toContain('is damaged')
      expect(more).toEqual([])
      expect(await content(btc, other)).toEqual(rows(minuteBars(0, 5)))
      expect(await content(eth, other)).toEqual(rows(minuteBars(6, 7)))
      expect(await other.skipDamagedDeltas()).toEqual([damage])
      await expect(other.compact()).rejects.toMatchObject({ code: 'store.corrupt' })
      await rm(path)
      expect(await other.compact()).toMatchObject({ files: 1, series: 1 })
    })
  })

  test('a file under another’s name is damage too; a newer version is not guessed at', async () => {
    const [first, second] = await deltaNames()
    await copyFile(join(folder(), second!), path)
    await withLake((other) => expect(content(eth, other)).rejects.toMatchObject({ code: 'store.corrupt' }))
    await writeFile(path, whole)
    const newer = flipped(8)
    newer[8] = 2
    const { createHash } = await import('node:crypto')
    const hash = createHash('sha256').update(newer).digest('hex').slice(0, 32)
    await writeFile(path, newer)
    await rename(path, join(folder(), first!.replace(/-.*/, `-${hash}.delta`)))
    await withLake((other) => expect(content(eth, other)).rejects.toThrow('version 2'))
  })

  test('other files in the folder are let be', async () => {
    await mkdir(join(folder(), 'folder'))
    await writeFile(join(folder(), 'notes.txt'), 'x')
    expect(await content(btc)).toEqual(rows(minuteBars(0, 6)))
    await lake.compact()
    expect(await deltaNames()).toEqual(['folder', 'notes.txt'])
    expect((await stat(join(folder(), 'notes.txt'))).size).toBe(1)
  })
})

test('what was read is the reader’s own', async () => {
  await appendOne(0, btc)
  const spoil = async (read: Promise<BarBatch | undefined>) => (await read)!.close.fill(-1)
  await spoil(contentOf(lake, btc))
  await spoil(lake.pendingBars(btc))
  await spoil(lake.readMonth(btc, january))
  expect(barsOf(await contentOf(lake, btc))).toEqual(barsOf(minuteBars(0, 1)))
})
