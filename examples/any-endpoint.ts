/**
 * Pages an endpoint everybar does not know: funding rates, newest first, a hundred a page, both bounds inclusive, and
 * dearer the larger the page. All that chunking needs is the description. Run it: `node examples/any-endpoint.ts`
 */
import { type ChunkEndpoint, type FetchPage, fetchChunks } from 'everybar/chunking'

interface FundingRate {
  readonly time: number
  readonly rate: number
}

const fundingRates: ChunkEndpoint = {
  id: 'example.funding-rates',
  chunkPolicy: { maxPoints: 100, requiresStartTime: true },
  chunkHint: { timestampKey: 'time', startTimeField: 'from', endTimeField: 'to' },
  weightPolicy: {
    tiers: [
      { minLimit: 1, maxLimit: 51, weight: 1 },
      { minLimit: 51, weight: 3 },
    ],
  },
  bounds: { start: 'inclusive', end: 'inclusive' },
  order: 'descending',
}

// The venue: a rate every eight hours, and none in a week of June. Your function would send `params` over HTTP.
const EIGHT_HOURS = 8 * 3_600_000
const closed = (time: number) => time >= Date.UTC(2024, 5, 10) && time < Date.UTC(2024, 5, 17)
const asked: number[] = []
const fetchPage: FetchPage<FundingRate> = async ({ params }, { signal }) => {
  signal.throwIfAborted()
  const { from, to, limit } = params as { from: number; to: number; limit: number }
  asked.push(limit)
  const points: FundingRate[] = []
  for (let time = to - (to % EIGHT_HOURS); time >= from && points.length < limit; time -= EIGHT_HOURS) {
    if (!closed(time)) points.push({ time, rate: 0.0001 })
  }
  return { points }
}

const result = await fetchChunks(
  fundingRates,
  { timeframe: '8h', startMs: Date.UTC(2024, 0, 1), endMs: Date.UTC(2025, 0, 1) },
  fetchPage,
  { clock: { nowMs: Date.now, monotonicMs: () => performance.now() }, concurrency: 4 },
)

// 366 days of three rates, less the week; pages of 50 bring most for their weight.
console.log(result.totalPoints, 3 * (366 - 7)) // → 1077 1077
console.log(Math.max(...asked), result.weightConsumed === asked.length) // → 50 true
console.log(result.data.every(({ time }, i) => i === 0 || time > result.data[i - 1]!.time)) // → true
