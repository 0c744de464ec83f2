/**
 * What choosing the page size by weight gives on USD-M futures: bars for each unit of weight and under a weight limit, beside the same
 * program that asks for the largest page, 1,500 bars: `node bench/page-planning.ts [--windows 4] [--rounds 5]`. Whole windows only.
 */
import { fetchBars } from '../src/index.ts'
import { startSimulator } from '../src/simulator/simulator.ts'
import { umKlines } from '../src/source/binance/um-klines.ts'
import type { Source } from '../src/source/source.ts'
import { type Bars, count, median, mustAgree, numbers, report } from './figure.ts'

const WINDOW_MS = 6_000
const LIMIT = 720
/** The most bars that a window's weight can buy. */
const BARS_PER_WINDOW = (LIMIT / 2) * 499

const { windows, rounds } = numbers({ windows: 4, rounds: 5 })
const startMs = Date.UTC(2022, 0, 1)

/** The same endpoint as if every page weighed the same: the planner then takes the largest. */
function largestPages(url: string): Source {
  const source = umKlines(url)
  return { ...source, spec: { ...source.spec, weightPolicy: { staticWeight: 10 } } }
}

async function rateOf(
  sourceAt: (url: string) => Source,
  bars: number,
): Promise<Bars & { rate: number; perWeight: number }> {
  const venue = await startSimulator({
    seed: 7,
    nowMs: Date.UTC(2024, 2, 1),
    weightLimit: { spot: Number.POSITIVE_INFINITY, um: LIMIT },
    windowMs: WINDOW_MS,
    logMax: 100_000,
  })
  try {
    const { data } = await fetchBars({
      baseUrl: venue.url,
      sources: [sourceAt(venue.url)],
      series: 'binance:um:BTCUSDT:1m',
      range: { startMs, endMs: startMs + bars * 60_000 },
    })
    const perWindow = new Map<number, number>()
    for (const { atMs, bars: sent = 0 } of venue.log()) {
      const window = Math.floor(atMs / WINDOW_MS)
      perWindow.set(window, (perWindow.get(window) ?? 0) + sent)
    }
    const whole = [...perWindow].sort(([a], [b]) => a - b).slice(1, -1)
    const rate = whole.reduce((sum, [, sent]) => sum + sent, 0) / ((whole.length * WINDOW_MS) / 1_000)
    if (venue.stats().refused > 0) throw new Error('the venue refused a request')
    const { klines, weight } = venue.stats()
    return {
      rate,
      perWeight: klines.bars / weight.um,
      rows: data.length,
      sumOfCloses: data.reduce((sum, { close }) => sum + close, 0),
    }
  } finally {
    await venue.close()
  }
}

const sides = {
  ours: [] as { rate: number; perWeight: number }[],
  largest: [] as { rate: number; perWeight: number }[],
}
for (let round = 0; round < rounds; round++) {
  const bars = windows * BARS_PER_WINDOW
  const ours = await rateOf(umKlines, bars)
  const largest = await rateOf(largestPages, bars)
  mustAgree(ours, largest, bars)
  sides.ours.push(ours)
  sides.largest.push(largest)
  console.error(`pages by weight ${count(ours.rate)} bars/s, of 1,500 bars ${count(largest.rate)} bars/s`)
}
const middle = (side: 'ours' | 'largest', of: 'rate' | 'perWeight') =>
  median(sides[side].map((run) => run[of]))
for (const [of, unit] of [
  ['perWeight', 'bars a weight'],
  ['rate', 'bars/s'],
] as const)
  report({
    figure: of === 'rate' ? 'the same under a limit' : 'USD-M page planning',
    ours: `${count(middle('ours', of))} ${unit}`,
    peer: `1,500 a page, ${count(middle('largest', of))} ${unit}`,
    ratio: middle('ours', of) / middle('largest', of),
    target: { atLeast: 1.55 },
  })
