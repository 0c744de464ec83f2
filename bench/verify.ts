/**
 * What a proof costs: `verify` of ten million minutes against a bare gap query by DuckDB over the same lake files, and
 * against `verify --deep`: `node --expose-gc bench/verify.ts [--bars 10000000] [--rounds 5]`. The query gets a warm instance and
 * every core; `verify` opens the root each time.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { sync, verify } from '../src/index.ts'
import { startSimulator } from '../src/simulator/simulator.ts'
import { median, numbers, report, seconds } from './figure.ts'
import { scratchFolder } from './processes.ts'

const { bars: BARS, rounds: ROUNDS } = numbers({ bars: 10_000_000, rounds: 5 })
const SERIES = 'binance:spot:BTCUSDT:1m'
const end = Date.UTC(2024, 0, 1)
const start = end - BARS * 60_000

async function fill(root: string): Promise<void> {
  const venue = await startSimulator({
    fromMs: Math.floor(start / 60_000) * 60_000,
    nowMs: end + 86_400_000,
    weightLimit: Number.POSITIVE_INFINITY,
    outages: [{ startMs: end - 5_000_000_000, endMs: end - 4_990_000_000 }],
  })
  const began = performance.now()
  try {
    const { complete } = await sync({ root, baseUrl: venue.url, series: SERIES, from: start, to: end })
    if (!complete) throw new Error('the root is not complete')
  } finally {
    await venue.close()
  }
  console.error(`filled in ${seconds((performance.now() - began) / 1_000)}`)
}

async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; result: T }> {
  globalThis.gc?.()
  const began = performance.now()
  const result = await work()
  return { ms: performance.now() - began, result }
}

const root = join(scratchFolder(), 'root')
try {
  await fill(root)
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  const gaps = `
    SELECT count(*) AS gaps, coalesce(sum(epoch_ms(open_time) - epoch_ms(prev)), 0) AS ms, max(n) AS n FROM (
      SELECT open_time, lag(open_time) OVER w AS prev, row_number() OVER w AS n
      FROM read_parquet('${root}/lake/*/*/*/*.parquet') WINDOW w AS (ORDER BY open_time))
    WHERE open_time - prev > INTERVAL 1 MINUTE`
  const plain = gaps.replace(', row_number() OVER w AS n', '').replace(', max(n) AS n', '')
  const bare = async () => (await connection.runAndReadAll(plain)).getRowObjects()[0]!
  const ours = () => verify({ root, series: SERIES, from: start, to: end })
  const times = { bare: [] as number[], ours: [] as number[] }
  for (let round = 0; round < ROUNDS; round++) {
    const query = await timed(bare)
    const proof = await timed(ours)
    const { faultCount, deep, series } = proof.result
    const absent = Object.entries(series[0]!.missing).filter(([name]) => name !== 'before_listing')
    const missing = absent.reduce((sum, [, bars]) => sum + bars, 0)
    const found = Number(query.result.ms) / 60_000 - Number(query.result.gaps)
    if (faultCount > 0 || deep || found !== missing)
      throw new Error(`the two do not agree: ${found} missing by the query, ${missing} by verify`)
    times.bare.push(query.ms)
    times.ours.push(proof.ms)
  }
  const deep = await timed(() => verify({ root, series: SERIES, from: start, to: end, deep: true }))
  const { barsChecked, filesChecked } = deep.result
  const memory = (process.resourceUsage().maxRSS / 1_000).toFixed(0)
  console.error(`verify --deep ${seconds(deep.ms / 1_000)}, ${filesChecked} files, ${memory} MB at most`)
  report({
    figure: `verify, ${barsChecked / 1e6} M bars`,
    ours: seconds(median(times.ours) / 1_000),
    peer: `bare DuckDB gap query, ${seconds(median(times.bare) / 1_000)}`,
    ratio: median(times.ours) / median(times.bare),
    target: { atMost: 3 },
  })
} finally {
  rmSync(root, { recursive: true, force: true })
}
