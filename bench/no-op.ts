/**
 * A sync of 1,000 series that has nothing to do: its time, and what it asks the venue: `node bench/no-op.ts [--series 1000]
 * [--rounds 5]`. The range reaches the present, so the venue's clock has to be asked.
 */
import { join } from 'node:path'
import { startSimulator } from '../src/simulator/simulator.ts'
import { count, median, numbers, report, seconds } from './figure.ts'
import { measured, scratchFolder, syncArgs, venueAt } from './processes.ts'

const { series: many, rounds } = numbers({ series: 1_000, rounds: 5 })
const nowMs = Date.UTC(2024, 0, 2)
const symbols = Array.from({ length: many }, (_, n) => `S${n}USDT`)
const venue = await startSimulator({
  symbols,
  fromMs: nowMs - 7 * 86_400_000,
  nowMs,
  weightLimit: Number.POSITIVE_INFINITY,
})
// The last bar of the range is final by now, and no bar closes while this runs.
venue.setNow(nowMs + 60_000, { held: true })
const root = join(scratchFolder(), 'root')
const series = symbols.map((symbol) => `binance:spot:${symbol}:1h`)
const args = syncArgs(series, '2023-12-31', '2024-01-02', root)

/** The whole answer of a sync of everything, which has to be complete. */
async function sync() {
  const cost = await measured(args, venueAt(venue.url))
  const { data } = JSON.parse(cost.stdout) as { data: { complete: boolean } }
  if (!data.complete) throw new Error('the root is not complete')
  return cost
}

const first = await sync()
console.error(`filled in ${seconds(first.seconds)}`)
const times: number[] = []
const requests: number[] = []
for (let round = 0; round < rounds; round++) {
  venue.resetStats()
  const cost = await sync()
  times.push(cost.seconds)
  requests.push(venue.stats().requests)
  const told = `${seconds(cost.seconds)} (${seconds(cost.cpuSeconds)} of processor)`
  console.error(`${told}, requests ${JSON.stringify(venue.stats().requestsByPath)}`)
}
await venue.close()
report({
  figure: `no-op sync of ${count(many)} series`,
  ours: seconds(median(times)),
  peer: '',
  ratio: median(times),
  target: { atMost: 2 },
})
report({
  figure: 'its requests to the venue',
  ours: String(median(requests)),
  peer: '',
  ratio: median(requests),
  target: { atMost: 1 },
})
