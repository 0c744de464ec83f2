/**
 * How much of a rate limit a sync uses, 100 ms away from a venue that allows 600 weight every 6 s, beside ccxt's own loop and
 * ccxt with 16 requests in flight, both with its rate limiter on: `node bench/rate-limit.ts [--windows 4] [--rounds 5]`. Bars a
 * second in whole windows: the first and the last are begun and ended on the way.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Simulator, startSimulator } from '../src/simulator/simulator.ts'
import { type Bars, count, median, mustAgree, numbers, report } from './figure.ts'
import { barsIn, file, measured, scratchFolder, syncArgs, venueAt } from './processes.ts'

const WINDOW_MS = 6_000
const LIMIT = 600
const WEIGHT = 2
const SLICE_MS = 60_000_000
const RTT_MS = 100
/** A loop that waits for each answer asks no more often than this allows. */
const PAGES_ALONE = Math.floor(WINDOW_MS / RTT_MS)

const { windows, rounds } = numbers({ windows: 4, rounds: 5 })
const fromMs = Math.ceil(Date.UTC(2020, 0, 1) / SLICE_MS) * SLICE_MS
const pages = (windows * LIMIT) / WEIGHT
const iso = (ms: number) => new Date(ms).toISOString()
const from = iso(fromMs)
const to = (many: number) => iso(fromMs + many * SLICE_MS)
const scratch = scratchFolder()

interface Side {
  readonly barsPerSecond: number
  /** Of the ceiling. */
  readonly share: number
  readonly refused: number
}

/** A venue of its own for each, so that none begins in a window that another has used. */
async function against(work: (venue: Simulator) => Promise<Bars>): Promise<Side & { readonly found: Bars }> {
  const venue = await startSimulator({
    seed: 7,
    nowMs: Date.UTC(2024, 2, 1),
    weightLimit: LIMIT,
    windowMs: WINDOW_MS,
    rttMs: RTT_MS,
  })
  try {
    const found = await work(venue)
    const perWindow = new Map<number, { weight: number; bars: number }>()
    for (const { atMs, weight, bars = 0 } of venue.log()) {
      const window = Math.floor(atMs / WINDOW_MS)
      const sum = perWindow.get(window) ?? { weight: 0, bars: 0 }
      perWindow.set(window, { weight: sum.weight + weight, bars: sum.bars + bars })
    }
    const whole = [...perWindow].sort(([a], [b]) => a - b).slice(1, -1)
    const total = (of: 'weight' | 'bars') => whole.reduce((sum, [, window]) => sum + window[of], 0)
    const { refused, banned } = venue.stats()
    return {
      found,
      barsPerSecond: total('bars') / ((whole.length * WINDOW_MS) / 1_000),
      share: total('weight') / (whole.length * LIMIT),
      refused: refused + banned,
    }
  } finally {
    await venue.close()
  }
}

const ccxt = (many: number, inFlight: number) => async (venue: Simulator) => {
  const job = [file('jobs/ccxt-pages.ts'), venue.url, from, String(many), String(inFlight)]
  return JSON.parse((await measured(job)).stdout) as Bars
}

const sides = { ours: [] as Side[], alone: [] as Side[], many: [] as Side[] }
for (let round = 0; round < rounds; round++) {
  const root = join(scratch, `root-${round}`)
  const ours = await against(async (venue) => {
    await measured(syncArgs(['binance:spot:BTCUSDT:1m'], from, to(pages), root), venueAt(venue.url))
    return barsIn(root, from, to(pages))
  })
  const alone = await against(ccxt(windows * PAGES_ALONE, 1))
  const many = await against(ccxt(pages, 16))
  mustAgree(ours.found, many.found, pages * 1_000)
  mustAgree(barsIn(root, from, to(windows * PAGES_ALONE)), alone.found)
  rmSync(root, { recursive: true, force: true })
  for (const [name, side] of Object.entries({ ours, alone, many })) {
    sides[name as keyof typeof sides].push(side)
    console.error(
      `${name}: ${count(side.barsPerSecond)} bars/s, ${(side.share * 100).toFixed(1)} %, refused ${side.refused}`,
    )
  }
}
const rate = (side: readonly Side[]) => median(side.map(({ barsPerSecond }) => barsPerSecond))
const refused = sides.ours.reduce((sum, side) => sum + side.refused, 0)
const share = median(sides.ours.map((side) => side.share))
const ours = `${count(rate(sides.ours))} bars/s`
report({
  figure: `rate limit, ${RTT_MS} ms away`,
  ours,
  peer: `ccxt, one by one, ${count(rate(sides.alone))} bars/s`,
  ratio: rate(sides.ours) / rate(sides.alone),
  target: { atLeast: 5 },
})
report({
  figure: `rate limit, ${RTT_MS} ms away`,
  ours,
  peer: `ccxt, 16 in flight, ${count(rate(sides.many))} bars/s`,
  ratio: rate(sides.ours) / rate(sides.many),
  target: { atLeast: 0.97 },
})
report({
  figure: `rate limit, share of the ceiling (${refused} refused)`,
  ours: `${(share * 100).toFixed(1)} %`,
  peer: '',
  ratio: refused === 0 ? share : 0,
  target: { atLeast: 0.95 },
})
