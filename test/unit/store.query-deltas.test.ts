import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parseSeries } from '../../src/model/series.ts'
import type { Lake } from '../../src/store/lake.ts'
import { openLake } from '../../src/store/parquet/open-lake.ts'
import { type Cell, type OlderWindow, queryLake } from '../../src/store/query.ts'
import { minuteBars, minutes } from '../../src/testing/store-samples.ts'

const btc = parseSeries('test:spot:BTCUSDT:1m')
const mark = parseSeries('test:um:BTCUSDT:1m@mark')
const odd = parseSeries(`test:spot:O'HARA"; DROP TABLE bars;--:1m`)

let root: string
let lake: Lake
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "everybar's query [x]*-"))
  lake = await openLake({ root })
  await lake.commit(
    btc,
    minuteBars(50, 58, (minute) => ({ native: { trades: minute } })),
  )
  await lake.append([
    { series: btc, batch: minuteBars(58, 62, (minute) => ({ native: { trades: minute } })) },
    { series: mark, batch: minuteBars(0, 3) },
    { series: odd, batch: minuteBars(60, 61) },
  ])
  await lake.append([{ series: mark, batch: minuteBars(2, 4, () => ({ volume: 7 })) }])
})
afterEach(async () => {
  await lake[Symbol.asyncDispose]()
  await rm(root, { recursive: true, force: true })
})

async function ask(
  sql: string,
  options: { older?: AsyncIterable<OlderWindow>; onRows?: () => unknown } = {},
) {
  const all: (readonly Cell[])[] = []
  await queryLake({
    root,
    sql,
    ...(options.older && { older: options.older }),
    async onRows(some) {
      all.push(...some)
      await options.onRows?.()
    },
  })
  return all
}

const counts = [
  ['spot', 'BTCUSDT', 'trade', 12, 12, 660 + 6],
  ['spot', odd.instrument.symbol, 'trade', 1, 0, 60],
  ['um', 'BTCUSDT', 'mark', 4, 0, 15],
]
const countSql =
  'SELECT market, symbol, price, count(*), count(trades), sum(volume) FROM bars GROUP BY ALL ORDER BY ALL'

describe('the view bars', () => {
  test('has what waits in delta files, under the names of its series', async () => {
    expect(await ask(countSql)).toEqual(counts)
    const sql =
      "SELECT open_time, trades FROM bars WHERE symbol = 'BTCUSDT' AND market = 'spot' ORDER BY 1 DESC LIMIT 2"
    expect(await ask(sql)).toEqual([
      ['2024-02-01T00:01:00Z', 61],
      ['2024-02-01T00:00:00Z', 60],
    ])
  })

  test('has the columns and types it has without any', async () => {
    const before = await ask('DESCRIBE bars')
    await lake.compact()
    expect(await ask('DESCRIBE bars')).toEqual(before)
    expect(await ask(countSql)).toEqual(counts)
  })

  test('is the same after two foldings at once: the second finds nothing left', async () => {
    const both = await Promise.all([lake.compact(), lake.compact()])
    expect(both.map(({ files }) => files)).toEqual([2, 0])
    expect(await ask(countSql)).toEqual(counts)
    expect(await lake.deltaState()).toMatchObject({ files: 0, rows: 0 })
  })

  test('counts a bar once that was folded and whose delta file is still there, with the value of the month file', async () => {
    const folder = join(root, 'lake', '.delta')
    const names = await readdir(folder)
    const kept = await Promise.all(names.map((name) => readFile(join(folder, name))))
    await lake.compact()
    await lake.commit(
      btc,
      minuteBars(59, 60, () => ({ volume: 1 })),
    )
    await Promise.all(names.map((name, i) => writeFile(join(folder, name), kept[i]!)))
    const [first, ...rest] = counts
    expect(await ask(countSql)).toEqual([[...first!.slice(0, 4), 11, (first![5] as number) - 58], ...rest])
  })

  test('shows one moment of the lake, though it is folded while the query runs', async () => {
    await lake.replace(btc, minutes(-50_000, 50), minuteBars(-44_000, 50))
    let compacted = 0
    const sql = 'SELECT market, symbol, open_time FROM bars'
    const rows = await ask(sql, { onRows: async () => (compacted += (await lake.compact()).files) })
    expect(compacted).toBe(2)
    const names = rows.map((row) => JSON.stringify(row))
    expect(names).toHaveLength(44_050 + 12 + 1 + 4)
    expect(new Set(names).size).toBe(names.length)
  })

  test('goes back to an earlier time with them', async () => {
    async function* older(): AsyncGenerator<OlderWindow> {
      yield { series: btc, range: minutes(57, 61), bars: minuteBars(57, 59, () => ({ volume: 0.5 })) }
    }
    const sql = "SELECT count(*), sum(volume) FROM bars WHERE symbol = 'BTCUSDT' AND market = 'spot'"
    expect(await ask(sql, { older: older() })).toEqual([[10, 50 + 51 + 52 + 53 + 54 + 55 + 56 + 61 + 1]])
  })

  test('names a damaged delta file', async () => {
    const folder = join(root, 'lake', '.delta')
    const path = join(folder, (await readdir(folder)).sort()[0]!)
    const bytes = await readFile(path)
    bytes[bytes.length - 3]! ^= 4
    await writeFile(path, bytes)
    await expect(ask('SELECT 1 FROM bars')).rejects.toMatchObject({ code: 'store.corrupt' })
  })
})
