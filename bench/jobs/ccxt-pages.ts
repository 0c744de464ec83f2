/** Pages by ccxt with its own rate limiter, so many in flight: `ccxt-pages.ts URL FROM PAGES IN_FLIGHT`. */
import ccxt from 'ccxt'

const [url, from, pages, inFlight] = process.argv.slice(2) as [string, string, string, string]
const exchange = new ccxt.binance({
  enableRateLimit: true,
  options: { fetchMarkets: { types: ['spot'] }, fetchCurrencies: false, fetchMargins: false },
  urls: { api: { public: `${url}/api/v3` } },
})
await exchange.loadMarkets()
let next = 0
let rows = 0
let sumOfCloses = 0
async function work(): Promise<void> {
  while (next < Number(pages)) {
    const since = Date.parse(from) + next++ * 60_000_000
    const page = await exchange.fetchOHLCV('BTC/USDT', '1m', since, 1_000)
    rows += page.length
    for (const bar of page) sumOfCloses += Number(bar[4])
  }
}
await Promise.all(Array.from({ length: Number(inFlight) }, work))
console.log(JSON.stringify({ rows, sumOfCloses }))
