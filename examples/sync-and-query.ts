/**
 * Keeps two series complete and asks the lake about them. The venue is a simulated one on localhost, so that this runs
 * anywhere; leave `baseUrl` out for the real one. Run it: `node examples/sync-and-query.ts`
 */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { query, startSimulator, sync, verify } from 'everybar'

const venue = await startSimulator({
  nowMs: Date.UTC(2024, 1, 1),
  outages: [{ startMs: Date.UTC(2024, 0, 2, 3), endMs: Date.UTC(2024, 0, 2, 5) }],
})
const at = { root: mkdtempSync(join(tmpdir(), 'everybar-example-')), baseUrl: venue.url }

const wanted = ['binance:spot:BTCUSDT:1m', 'binance:um:ETHUSDT:1h']
const report = await sync({ ...at, series: wanted, from: '2024-01-01', to: '2024-01-04' })
for (const { series, complete, missing } of report.series) console.log(series, complete, missing)
// → binance:spot:BTCUSDT:1m true { source_absent: 120 }
// → binance:um:ETHUSDT:1h true { source_absent: 2 }

// Again: no bar is asked for twice.
const again = await sync({ ...at, series: wanted, from: '2024-01-01', to: '2024-01-04' })
console.log(
  again.series.map(({ slices }) => slices.fetched),
  again.complete,
) // → [ 0, 0 ] true

const { faults, slicesChecked } = await verify(at)
console.log(faults.length, slicesChecked > 0) // → 0 true

const { rows } = await query({
  ...at,
  sql: `SELECT symbol, timeframe, count(*) AS bars FROM bars
        WHERE open_time >= '2024-01-01' AND open_time < '2024-01-04'
        GROUP BY ALL ORDER BY ALL`,
})
for (const { symbol, timeframe, bars } of rows) console.log(symbol, timeframe, bars)
// → BTCUSDT 1m 4200
// → ETHUSDT 1h 70

await venue.close()
