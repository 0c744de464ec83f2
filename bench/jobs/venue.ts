/**
 * A simulated venue without limits, with the bars of `FROM … TO` already made, as many as it keeps: what is measured is the
 * client. `venue.ts FROM TO`.
 */
import { startSimulator } from '../../src/simulator/simulator.ts'

const [from, to] = process.argv.slice(2).map((text) => Date.parse(text)) as [number, number]
const venue = await startSimulator({
  seed: 1,
  fromMs: from,
  nowMs: to + 86_400_000,
  weightLimit: Number.POSITIVE_INFINITY,
})
const KEPT_MS = 2_400_000 * 60_000
for (let at = from; at < Math.min(to, from + KEPT_MS); at += 60_000_000) {
  const answer = await fetch(
    `${venue.url}/api/v3/klines?symbol=BTCUSDT&interval=1m&startTime=${at}&limit=1000`,
  )
  await answer.arrayBuffer()
}
console.log(venue.url)
