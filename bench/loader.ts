/**
 * The loader against hyparquet and against DuckDB alone, the speed of exports, and memory from 1 to 50 million rows:
 * `node bench/loader.ts [--millions 50] [--rounds 5]` (the rates are taken over 4). The bars of the first series are the simulator's, the others are made of them.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { zstdDecompressSync } from 'node:zlib'
import { DuckDBInstance } from '@duckdb/node-api'
import { parquetRead } from 'hyparquet'
import { exportDataset } from '../src/loader/index.ts'
import { Engine } from '../src/loader/read/engine.ts'
import { scan } from '../src/loader/read/scan.ts'
import { lakePath } from '../src/model/lake.ts'
import { parseSeries, type Series } from '../src/model/series.ts'
import { monthOf, type TimeRange } from '../src/model/time.ts'
import { syntheticFeed } from '../src/simulator/market/synthetic.ts'
import { megabytes, numbers, report } from './figure.ts'

const MILLION = 1_000_000
const FROM = Date.UTC(2020, 0, 1)
const TO = Date.UTC(2022, 0, 1) // 1,052,640 minutes
const ROWS_PER_SERIES = (TO - FROM) / 60_000
const columns = ['open', 'high', 'low', 'close', 'volume']
const range: TimeRange = { startMs: FROM, endMs: TO }
const seriesOf = (n: number): Series => parseSeries(`bench:spot:S${n}:1m`)

const monthsIn = (): number[] => {
  const out: number[] = []
  for (let ms = FROM; ms < TO; ms = monthOf(ms).endMs) out.push(ms)
  return out
}
const filesOf = (root: string, n: number) => monthsIn().map((ms) => join(root, lakePath(seriesOf(n), ms)))

/** A lake of `count` series under `root`. */
async function makeLake(root: string, count: number): Promise<void> {
  const connection = await (await DuckDBInstance.create(':memory:')).connect()
  const feed = syntheticFeed({
    symbols: ['S0'],
    seed: 7,
    listedMs: FROM,
    outages: [],
    cacheBytesMax: 1 << 24,
  })
  const minutes = feed.series('spot', 'S0', parseSeries('x:spot:S0:1m').timeframe)!
  await connection.run(
    'CREATE TABLE bars (open_time TIMESTAMP, open DOUBLE, high DOUBLE, low DOUBLE, close DOUBLE, volume DOUBLE)',
  )
  const appender = await connection.createAppender('bars')
  const { rowsOfBlock } = await import('../src/simulator/market/rows.ts')
  const { DuckDBTimestampValue } = await import('@duckdb/node-api')
  for (let ms = FROM; ms < TO; ) {
    const rows = rowsOfBlock(await minutes.block(ms)).filter((row) => row[0] >= ms && row[0] < TO)
    for (const row of rows) {
      appender.appendTimestamp(new DuckDBTimestampValue(BigInt(row[0]) * 1000n))
      for (const text of row.slice(1, 6)) appender.appendDouble(Number(text))
      appender.endRow()
    }
    ms = rows.at(-1)![0] + 60_000
  }
  appender.closeSync()
  for (let n = 0; n < count; n++) {
    for (const [i, ms] of monthsIn().entries()) {
      const path = filesOf(root, n)[i]!
      mkdirSync(dirname(path), { recursive: true })
      const scaled = columns.map((name) => `round(${name} * ${1 + n / 10}, 4) AS ${name}`)
      await connection.run(
        `COPY (SELECT open_time, ${scaled.join(', ')} FROM bars
          WHERE open_time >= make_timestamp_ms(${ms}) AND open_time < make_timestamp_ms(${monthOf(ms).endMs}) ORDER BY open_time)
         TO '${path}' (FORMAT parquet, COMPRESSION zstd)`,
      )
    }
  }
  connection.closeSync()
}

async function load(paths: readonly string[]): Promise<number> {
  const engine = new Engine()
  let rows = 0
  for await (const frame of scan(engine, { paths }, { time: 'open_time', columns })) rows += frame.length
  await engine.close()
  return rows
}

async function bareScan(paths: readonly string[]): Promise<number> {
  const connection = await (await DuckDBInstance.create(':memory:')).connect()
  const list = columns.map((name) => `${name}::DOUBLE`).join(', ')
  const files = paths.map((path) => `'${path}'`).join(', ')
  const result = await connection.stream(
    `SELECT epoch_ms(open_time)::DOUBLE, ${list} FROM read_parquet([${files}])`,
  )
  let rows = 0
  for (
    let chunk = await result.fetchChunk();
    chunk && chunk.rowCount > 0;
    chunk = await result.fetchChunk()
  ) {
    for (let i = 0; i <= columns.length; i++) chunk.getColumnVector(i)
    rows += chunk.rowCount
  }
  connection.closeSync()
  return rows
}

async function byHyparquet(paths: readonly string[]): Promise<number> {
  const compressors = { ZSTD: (input: Uint8Array) => new Uint8Array(zstdDecompressSync(input)) }
  let rows = 0
  for (const path of paths) {
    const bytes = readFileSync(path)
    const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)
    await parquetRead({
      file,
      compressors,
      onChunk: ({ columnName, columnData }) => {
        const isTime = columnName === 'open_time'
        const out = new Float64Array(columnData.length)
        for (let i = 0; i < out.length; i++) {
          out[i] = isTime ? (columnData[i] as Date).getTime() : (columnData[i] as number)
        }
        if (isTime) rows += out.length
      },
    })
  }
  return rows
}

/** Rows per second of each, the best of so many rounds, one after the other so that all see the same machine. */
async function bestOf(
  rounds: number,
  works: readonly (() => Promise<number>)[],
): Promise<[number, number, number]> {
  const best = works.map(() => 0)
  for (let round = 0; round < rounds; round++) {
    for (const [i, work] of works.entries()) {
      const startedMs = performance.now()
      const rows = await work()
      best[i] = Math.max(best[i]!, (rows / (performance.now() - startedMs)) * 1_000)
    }
  }
  return best as [number, number, number]
}

const millions = (rows: number) => `${(rows / MILLION).toFixed(2)} M rows/s`

async function rates(root: string, rounds: number): Promise<void> {
  // Series by series: times ascend within one only.
  const series = [0, 1, 2, 3].map((n) => filesOf(root, n))
  const each = (work: (paths: readonly string[]) => Promise<number>) => async () => {
    let rows = 0
    for (const paths of series) rows += await work(paths)
    return rows
  }
  const [own, bare, other] = await bestOf(rounds, [each(load), each(bareScan), each(byHyparquet)])
  const figure = 'load to columns'
  const ours = millions(own)
  report({
    figure,
    ours,
    peer: `hyparquet, ${millions(other)}`,
    ratio: own / other,
    target: { atLeast: 3.5 },
  })
  report({
    figure,
    ours,
    peer: `DuckDB alone, ${millions(bare)}`,
    ratio: own / bare,
    target: { atLeast: 0.8 },
  })
}

/** One job in a process of its own: its peak memory and time. */
function measured(root: string, job: string, count: number): { megabytes: number; seconds: number } {
  const self = fileURLToPath(import.meta.url)
  const child = spawnSync(process.execPath, [self, '--job', root, job, String(count)], { encoding: 'utf8' })
  if (child.status !== 0) throw new Error(child.stderr)
  return JSON.parse(child.stdout) as { megabytes: number; seconds: number }
}

async function job([root, name, count]: readonly string[]): Promise<void> {
  const numbers = Array.from({ length: Number(count) }, (_, n) => n)
  const startedMs = performance.now()
  if (name === 'load') {
    for (const n of numbers) await load(filesOf(root!, n))
  } else {
    const out = mkdtempSync(join(root!, 'out-'))
    const settings = name === 'long' ? { columns } : { gluonts: { shards: 4 } }
    const format = name as 'long' | 'gluonts'
    await exportDataset({
      root: root!,
      out,
      series: numbers.map(seriesOf),
      range,
      format,
      require: 'any',
      ...settings,
    })
    rmSync(out, { recursive: true })
  }
  const seconds = (performance.now() - startedMs) / 1_000
  console.log(JSON.stringify({ megabytes: process.resourceUsage().maxRSS / 1024, seconds }))
}

async function main(million: number, rounds: number): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'everybar-bench-'))
  try {
    const many = Math.max(4, Math.ceil((million * MILLION) / ROWS_PER_SERIES))
    await makeLake(root, many)
    await rates(root, rounds)
    const what = { load: 'loading', long: 'export to long Parquet', gluonts: 'export to GluonTS' } as const
    for (const name of ['load', 'long', 'gluonts'] as const) {
      const one = measured(root, name, 1)
      const all = measured(root, name, many)
      const rows = many * ROWS_PER_SERIES
      const times = all.megabytes / one.megabytes
      console.error(`${name}: ${millions(rows / all.seconds)} over ${(rows / MILLION).toFixed(0)} M rows`)
      report({
        figure: `memory, ${what[name]} of ${(rows / MILLION).toFixed(0)} M rows`,
        ours: megabytes(all.megabytes),
        peer: `of 1 M rows, ${megabytes(one.megabytes)}`,
        ratio: times,
        target: { atMost: 1.2 },
      })
    }
  } finally {
    rmSync(root, { recursive: true })
  }
}

if (process.argv[2] === '--job') await job(process.argv.slice(3))
else {
  const { millions: many, rounds } = numbers({ millions: 50, rounds: 5 })
  await main(many, rounds)
}
