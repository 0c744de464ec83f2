/** The loop ccxt's manual shows: page by page, everything in one array, written as CSV. `ccxt-csv.ts URL FROM TO FILE`. */
import { writeFileSync } from 'node:fs'
import ccxt from 'ccxt'

const [url, from, to, file] = process.argv.slice(2) as [string, string, string, string]
const exchange = new ccxt.binance({
  enableRateLimit: false,
  options: { fetchMarkets: { types: ['spot'] }, fetchCurrencies: false, fetchMargins: false },
  urls: { api: { public: `${url}/api/v3` } },
})
await exchange.loadMarkets()
let since = Date.parse(from)
const until = Date.parse(to)
let all: unknown[][] = []
while (since < until) {
  const page = await exchange.fetchOHLCV('BTC/USDT', '1m', since, 1_000)
  if (page.length === 0) break
  since = Number(page.at(-1)![0]) + 60_000
  all = all.concat(page.filter(([openMs]) => Number(openMs) < until))
}
writeFileSync(file, all.map((row) => row.join(',')).join('\n'))
