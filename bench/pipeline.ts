/**
 * The whole way of a bar (archive with hash, validation, lake, ledger) against the loop ccxt's manual shows, which writes
 * CSV: `node bench/pipeline.ts [--bars 2000000] [--rounds 5]`. A simulated venue without limits and each side in processes
 * of their own, rounds in turn.
 */
import { readFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { type Bars, count, median, megabytes, mustAgree, numbers, report, seconds } from './figure.ts'
import {
  barsIn,
  type Cost,
  file,
  measured,
  scratchFolder,
  startVenue,
  syncArgs,
  venueAt,
} from './processes.ts'

const { bars, rounds } = numbers({ bars: 2_000_000, rounds: 5 })
const from = '2020-01-01T00:00:00Z'
const to = new Date(Date.parse(from) + bars * 60_000).toISOString()
const scratch = scratchFolder()
const { url, stop } = await startVenue(from, to)

async function ours(round: number): Promise<Cost & Bars> {
  const root = join(scratch, `root-${round}`)
  const cost = await measured(syncArgs(['binance:spot:BTCUSDT:1m'], from, to, root), venueAt(url))
  // The root stays until the end: a disk that has just dropped thousands of files makes new ones slowly.
  return { ...cost, ...barsIn(root, from, to) }
}

async function peer(round: number): Promise<Cost & Bars> {
  const csv = join(scratch, `ccxt-${round}.csv`)
  const cost = await measured([file('jobs/ccxt-csv.ts'), url, from, to, csv])
  let rows = 0
  let sumOfCloses = 0
  for (const line of readFileSync(csv, 'utf8').split('\n')) {
    rows++
    sumOfCloses += Number(line.split(',')[4])
  }
  return { ...cost, rows, sumOfCloses }
}

const sides: { readonly ours: Cost[]; readonly peer: Cost[] } = { ours: [], peer: [] }
for (let round = 0; round < rounds; round++) {
  const [a, b] = [await ours(round), await peer(round)]
  mustAgree(a, b, bars)
  sides.ours.push(a)
  sides.peer.push(b)
  const told = (cost: Cost) => `${seconds(cost.seconds)} (${seconds(cost.cpuSeconds)} of processor)`
  console.error(`ours ${told(a)}, ccxt ${told(b)}, load ${loadavg()[0]!.toFixed(1)}`)
}
stop()
const rate = (side: readonly Cost[]) => bars / median(side.map((cost) => cost.seconds))
const memory = (side: readonly Cost[]) => median(side.map((cost) => cost.megabytes))
report({
  figure: `full pipeline, ${bars / 1e6} M bars`,
  ours: `${count(rate(sides.ours))} bars/s`,
  peer: `ccxt loop and CSV, ${count(rate(sides.peer))} bars/s`,
  ratio: rate(sides.ours) / rate(sides.peer),
  target: { atLeast: 4 },
})
report({
  figure: 'its peak memory',
  ours: megabytes(memory(sides.ours)),
  peer: `ccxt loop and CSV, ${megabytes(memory(sides.peer))}`,
  ratio: memory(sides.ours) / memory(sides.peer),
  target: { atMost: 0.5 },
})
