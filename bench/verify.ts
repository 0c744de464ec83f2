/**
 * What a proof costs: `verify` of ten million minutes against a bare gap query by DuckDB over the same lake files, and
 * against `verify --deep`: `node --expose-gc bench/verify.ts [bars] [root]`. The query gets a warm instance and every
 * core; `verify` opens the root each time. A root that is there already is taken as it is. Budget: 3 times the query.
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { sync, verify } from '../src/index.ts'
import { startSimulator } from '../src/simulator/simulator.ts'

const BARS = Number(process.argv[2] ?? 10_000_000)
const given = process.argv[3]
const ROUNDS = 5
const BUDGET = 3
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
  console.log(`filled in ${seconds(performance.now() - began)}`)
}

const seconds = (ms: number) => `${(ms / 1_000).toFixed(2)} s`
const median = (times: readonly number[]) => [...times].sort((a, b) => a - b)[times.length >> 1]!

async function timed<T>(work: () => Promise<T>): Promise<{ ms: number; result: T }> {
  globalThis.gc?.()
  const began = performance.now()
  const result = await work()
  return { ms: performance.now() - began, result }
}

const root = given ?? mkdtempSync(join(tmpdir(), 'everybar-bench-verify-'))
try {
  if (!given || !existsSync(join(root, 'lake'))) await fill(root)
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
  const ratio = median(times.ours) / median(times.bare)
  const { barsChecked, filesChecked } = deep.result
  console.log(`${barsChecked} bars, ${filesChecked} files; ${availableParallelism()} × ${cpus()[0]!.model}`)
  console.log(`bare gap query  ${seconds(median(times.bare))}  (${times.bare.map(seconds).join(', ')})`)
  console.log(`verify          ${seconds(median(times.ours))}  (${times.ours.map(seconds).join(', ')})`)
  console.log(`ratio           ${ratio.toFixed(2)}, budget ${BUDGET}: ${ratio <= BUDGET ? 'met' : 'missed'}`)
  console.log(`verify --deep   ${seconds(deep.ms)}`)
  console.log(`memory          ${(process.resourceUsage().maxRSS / 1_000).toFixed(0)} MB at most`)
} finally {
  if (!given) rmSync(root, { recursive: true, force: true })
}
