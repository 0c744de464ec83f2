/**
 * Follows every symbol of a venue live, into the lake and PostgreSQL, and prints how long after its close each bar was
 * committed in each: `live-everybar.ts URL POSTGRES SYMBOLS MINUTES ROOT`.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { openHouse } from '../../src/app/house.ts'
import { startLive } from '../../src/app/live.ts'
import { configSchema } from '../../src/config/schema.ts'
import { parseSeries } from '../../src/model/series.ts'
import type { Store } from '../../src/store/store.ts'

const [url, postgres, count, minutes, root] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
]
const config = configSchema.parse({
  root,
  sources: { binance: { base_url: url } },
  stores: { postgres: { url: postgres } },
})
const house = await openHouse({ config, onEvent: () => {}, access: 'write', command: 'live' })
const series = Array.from({ length: Number(count) }, (_, n) =>
  parseSeries(`binance:spot:S${String(n).padStart(4, '0')}USDT:1m`),
)
const delays: Record<string, number[]> = {}
let counting = false

/** The same store; each append says when its bars were durable. */
const timed = (store: Store): Store =>
  new Proxy(store, {
    get: (target, name) => {
      if (name !== 'append') {
        const value: unknown = Reflect.get(target, name)
        return typeof value === 'function' ? value.bind(target) : value
      }
      const append: Store['append'] = async (entries, signal) => {
        const result = await target.append(entries, signal)
        const now = Date.now()
        const own = (delays[target.name] ??= [])
        if (counting)
          for (const { batch } of entries) for (const ms of batch.openTimeMs) own.push(now - ms - 60_000)
        return result
      }
      return append
    },
  })

const stop = new AbortController()
const run = startLive({ ...house, stores: house.stores.map(timed) }, { series }, stop.signal)
while (run.state().series.some(({ doneMs }) => doneMs === null)) await sleep(250)
await sleep(60_000 - (Date.now() % 60_000))
counting = true
const before = process.cpuUsage()
await sleep(Number(minutes) * 60_000 + 30_000)
const { user, system } = process.cpuUsage(before)
counting = false
stop.abort()
await run.done
await house[Symbol.asyncDispose]()
console.log(JSON.stringify({ delays, cpuMs: (user + system) / 1_000 }))
