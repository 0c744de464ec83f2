/**
 * What a year of daily runs leaves to be scanned: the lake, appended to four times a day and compacted when that is due,
 * against one Parquet file for each series and day. The same DuckDB reads all columns of both:
 * `node --expose-gc bench/layout.ts [--series 3] [--days 365] [--rounds 7]`.
 */
import { mkdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api'
import { allocateBatch, type BarBatch, sliceBatch } from '../src/model/bar.ts'
import { lakeColumns } from '../src/model/lake.ts'
import { parseSeries, type Series } from '../src/model/series.ts'
import { compactionDue } from '../src/store/lake.ts'
import { Engine } from '../src/store/parquet/engine.ts'
import { openLake } from '../src/store/parquet/open-lake.ts'
import { median, numbers, report, seconds } from './figure.ts'
import { scratchFolder } from './processes.ts'

const { series: SERIES, days: DAYS, rounds: ROUNDS } = numbers({ series: 3, days: 365, rounds: 7 })
const start = Date.UTC(2023, 0, 1)
const MINUTE_MS = 60_000
const DAY_MINUTES = 1_440
const RUN_MINUTES = 360

const all = Array.from({ length: SERIES }, (_, i) => parseSeries(`binance:spot:BENCH${i}USDT:1m`))

/** A day of minutes that walk at random, the same every time. */
function day(n: number, of: number): BarBatch {
  const batch = allocateBatch(DAY_MINUTES, [
    'closeTimeMs',
    'quoteVolume',
    'trades',
    'takerBuyBaseVolume',
    'takerBuyQuoteVolume',
  ])
  let state = (n * 7_919 + of * 104_729 + 1) >>> 0
  const random = () => (state = (state * 1_664_525 + 1_013_904_223) >>> 0) / 2 ** 32
  let price = 20_000 + 1_000 * random()
  for (let i = 0; i < DAY_MINUTES; i++) {
    const openTimeMs = start + (n * DAY_MINUTES + i) * MINUTE_MS
    const close = Math.round((price + 20 * (random() - 0.5)) * 100) / 100
    const volume = Math.round(random() * 1e7) / 1e5
    batch.openTimeMs[i] = openTimeMs
    batch.open[i] = price
    batch.high[i] = Math.max(price, close) + 1
    batch.low[i] = Math.min(price, close) - 1
    batch.close[i] = close
    batch.volume[i] = volume
    batch.native.closeTimeMs![i] = openTimeMs + MINUTE_MS - 1
    batch.native.quoteVolume![i] = volume * close
    batch.native.trades![i] = Math.round(random() * 2_000)
    batch.native.takerBuyBaseVolume![i] = volume / 3
    batch.native.takerBuyQuoteVolume![i] = (volume * close) / 3
    price = close
  }
  return batch
}

async function writeBoth(root: string): Promise<void> {
  const lake = await openLake({ root })
  const engine = new Engine('512MB')
  const spent = { ours: 0, daily: 0 }
  let compactions = 0
  for (let n = 0; n < DAYS; n++) {
    const bars = all.map((_, of) => day(n, of))
    const began = process.cpuUsage()
    for (let at = 0; at < DAY_MINUTES; at += RUN_MINUTES) {
      await lake.append(
        all.map((series, of) => ({ series, batch: sliceBatch(bars[of]!, at, at + RUN_MINUTES) })),
      )
      const nowMs = start + (n * DAY_MINUTES + at + RUN_MINUTES) * MINUTE_MS
      if (!compactionDue(await lake.deltaState(), nowMs)) continue
      await lake.compact()
      compactions++
    }
    const between = process.cpuUsage()
    for (const [of, series] of all.entries()) {
      const path = join(root, dailyPath(series, n))
      await mkdir(dirname(path), { recursive: true })
      await engine.writeFile(path, bars[of]!, { series: series.instrument.symbol })
    }
    spent.ours += (between.user + between.system - began.user - began.system) / 1e6
    const daily = process.cpuUsage(between)
    spent.daily += (daily.user + daily.system) / 1e6
  }
  await lake.compact()
  await lake[Symbol.asyncDispose]()
  await engine.close()
  console.error(
    `written: ${seconds(spent.ours)} of processor time for the lake, ${compactions + 1} compactions among it; ${seconds(spent.daily)} for daily files`,
  )
}

const dailyPath = ({ instrument: { symbol } }: Series, n: number): string =>
  `daily/${symbol}/${new Date(start + n * 86_400_000).toISOString().slice(0, 10)}.parquet`

const files = {
  ours: ({ instrument: { symbol } }: Series) => `lake/binance/*/*/${symbol}_1min_h0_*.parquet`,
  daily: ({ instrument: { symbol } }: Series) => `daily/${symbol}/*.parquet`,
}
type Layout = keyof typeof files

const names = lakeColumns.map(({ name }) => name).filter((name) => name !== 'open_interest')
const from = (root: string, layout: Layout, series: Series) =>
  `(SELECT ${names.join(', ')} FROM read_parquet('${join(root, files[layout](series))}'))`

/** Every bar of one layout has to be in the other, as often. */
async function mustBeTheSame(connection: DuckDBConnection, root: string): Promise<void> {
  for (const series of all) {
    const [ours, daily] = [from(root, 'ours', series), from(root, 'daily', series)]
    const rows = async (sql: string) =>
      Number((await connection.runAndReadAll(`SELECT count(*)::DOUBLE FROM ${sql}`)).getRows()[0]![0])
    const counts = [
      await rows(ours),
      await rows(daily),
      await rows(`(${ours} EXCEPT ALL ${daily})`),
      await rows(`(${daily} EXCEPT ALL ${ours})`),
    ]
    if (counts.join() !== [DAYS * DAY_MINUTES, DAYS * DAY_MINUTES, 0, 0].join())
      throw new Error(`the two layouts differ: ${counts.join(', ')}`)
  }
}

/** Reads every column of every bar, series after series; wall clock and processor time, in seconds. */
async function scan(connection: DuckDBConnection, root: string, layout: Layout) {
  globalThis.gc?.()
  const [began, used] = [performance.now(), process.cpuUsage()]
  for (const series of all) {
    const columns = names.map((name) => `max(${name})`)
    await connection.run(`SELECT count(*), ${columns.join(', ')} FROM ${from(root, layout, series)}`)
  }
  const { user, system } = process.cpuUsage(used)
  return { wall: (performance.now() - began) / 1_000, cpu: (user + system) / 1e6 }
}

const root = scratchFolder()
try {
  await writeBoth(root)
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  await mustBeTheSame(connection, root)
  const times = { ours: [] as number[], daily: [] as number[] }
  const cpu = { ours: [] as number[], daily: [] as number[] }
  for (let round = 0; round < ROUNDS; round++) {
    for (const layout of ['ours', 'daily'] as const) {
      const cost = await scan(connection, root, layout)
      times[layout].push(cost.wall)
      cpu[layout].push(cost.cpu)
    }
  }
  console.error(`processor time: ${seconds(median(cpu.ours))} and ${seconds(median(cpu.daily))}`)
  report({
    figure: `scan of a year of daily runs, ${SERIES} series of minutes`,
    ours: seconds(median(times.ours)),
    peer: `a file a day, ${seconds(median(times.daily))}`,
    ratio: median(times.daily) / median(times.ours),
    target: { atLeast: 2.5 },
  })
} finally {
  await rm(root, { recursive: true, force: true })
}
