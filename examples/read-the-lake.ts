/**
 * The lake is plain Parquet: any reader will do. Here DuckDB by itself, without everybar, and everybar's own reader,
 * which gives columns as typed arrays. Run it: `node examples/read-the-lake.ts`
 */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { openLake, parseSeries, startSimulator, sync, timeRange } from 'everybar'

const venue = await startSimulator({ nowMs: Date.UTC(2024, 2, 2) })
const root = mkdtempSync(join(tmpdir(), 'everybar-example-'))
const series = 'binance:spot:BTCUSDT:1h'
await sync({ root, baseUrl: venue.url, series, from: '2024-01', to: '2024-03' })
await venue.close()

// One file per series and month: lake/<venue>/<YYYY>/<MM>/<SYMBOL>_<TIMEFRAME>_h0_<YYYY>_<MM>_<HASH>.parquet
const connection = await (await DuckDBInstance.create()).connect()
const files = join(root, 'lake/binance/*/*/BTCUSDT_1h_h0_*.parquet')
const days = await connection.runAndReadAll(`
  SELECT strftime(open_time, '%Y-%m') AS month, count(*)::INT AS bars, arg_min(open, open_time) > 0 AS opened
  FROM read_parquet('${files}')
  WHERE open_time >= '2024-01-01' AND open_time < '2024-03-01'
  GROUP BY ALL ORDER BY ALL`)
for (const row of days.getRows()) console.log(...row)
// → 2024-01 744 true
// → 2024-02 696 true
connection.closeSync()

await using lake = await openLake({ root })
let bars = 0
let highest = 0
const february = timeRange(Date.UTC(2024, 1, 1), Date.UTC(2024, 2, 1))
for await (const batch of lake.scan(parseSeries(series), february)) {
  bars += batch.length
  for (const high of batch.high) highest = Math.max(highest, high)
}
console.log(bars, highest > 0) // → 696 true
