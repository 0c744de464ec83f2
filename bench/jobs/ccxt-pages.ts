/**
 * Pages by ccxt with its own rate limiter, so many in flight: `ccxt-pages.ts URL FROM PAGES IN_FLIGHT`. Where it is refused all
 * the same, it waits as long as the venue says and asks again.
 */
import { setTimeout as sleep } from 'node:timers/promises'
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
async function pageFrom(since: number) {
  for (;;) {
    try {
      return await exchange.fetchOHLCV('BTC/USDT', '1m', since, 1_000)
    } catch (error) {
      if (!(error instanceof ccxt.DDoSProtection)) throw error
      const headers = exchange.last_response_headers as Record<string, string> | undefined
      await sleep(Number(headers?.['Retry-After'] ?? 1) * 1_000)
    }
  }
}

async function work(): Promise<void> {
  while (next < Number(pages)) {
    const since = Date.parse(from) + next++ * 60_000_000
    const page = await pageFrom(since)
    rows += page.length
    for (const bar of page) sumOfCloses += Number(bar[4])
  }
}
await Promise.all(Array.from({ length: Number(inFlight) }, work))
console.log(JSON.stringify({ rows, sumOfCloses }))
