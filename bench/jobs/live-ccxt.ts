/**
 * The polling loop people write with ccxt: at every minute, once a bar is as old as everybar lets it get, the last two bars
 * of each symbol, the closed one inserted into PostgreSQL. `live-ccxt.ts URL POSTGRES SYMBOLS MINUTES`.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import ccxt from 'ccxt'
import pg from 'pg'

const SETTLE_MS = 5_000
const [url, postgres, count, minutes] = process.argv.slice(2) as [string, string, string, string]
const exchange = new ccxt.binance({
  enableRateLimit: true,
  options: { fetchMarkets: { types: ['spot'] }, fetchCurrencies: false, fetchMargins: false },
  urls: { api: { public: `${url}/api/v3` } },
})
await exchange.loadMarkets()
const client = new pg.Client({ connectionString: postgres })
await client.connect()
await client.query(
  `CREATE TABLE polled (symbol text, open_time timestamptz, open float8, high float8, low float8, close float8, volume float8,
    PRIMARY KEY (symbol, open_time))`,
)
const symbols = Array.from({ length: Number(count) }, (_, n) => `S${String(n).padStart(4, '0')}/USDT`)
const delays: number[] = []
await sleep(60_000 - (Date.now() % 60_000))
const before = process.cpuUsage()
const startedAt = Date.now()
for (let minute = 0; minute < Number(minutes); minute++) {
  const boundary = startedAt - (startedAt % 60_000) + (minute + 1) * 60_000
  await sleep(Math.max(0, boundary + SETTLE_MS - Date.now()))
  for (const symbol of symbols) {
    const rows = await exchange.fetchOHLCV(symbol, '1m', undefined, 2)
    for (const [openMs, ...values] of rows.slice(0, -1)) {
      await client.query(
        `INSERT INTO polled VALUES ($1, to_timestamp($2), $3, $4, $5, $6, $7) ON CONFLICT (symbol, open_time) DO UPDATE
          SET open = $3, high = $4, low = $5, close = $6, volume = $7`,
        [symbol, Number(openMs) / 1_000, ...values],
      )
      delays.push(Date.now() - Number(openMs) - 60_000)
    }
  }
}
const { user, system } = process.cpuUsage(before)
await client.end()
console.log(JSON.stringify({ delays, cpuMs: (user + system) / 1_000 }))
