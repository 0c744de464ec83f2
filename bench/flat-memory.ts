/** Peak memory of a sync of one million bars and of ten: `node bench/flat-memory.ts [--rounds 5] [--bars 10000000]`. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { median, megabytes, mustAgree, numbers, report } from './figure.ts'
import { barsIn, measured, scratchFolder, startVenue, syncArgs, venueAt } from './processes.ts'

const { bars, rounds } = numbers({ bars: 10_000_000, rounds: 5 })
const from = '2003-01-01T00:00:00Z'
const end = (rows: number) => new Date(Date.parse(from) + rows * 60_000).toISOString()
const scratch = scratchFolder()
const { url, stop } = await startVenue(from, end(bars))

async function peakOf(rows: number, round: number): Promise<number> {
  const root = join(scratch, `root-${rows}-${round}`)
  const args = syncArgs(['binance:spot:BTCUSDT:1m'], from, end(rows), root)
  const cost = await measured(args, venueAt(url))
  const found = barsIn(root, from, end(rows))
  mustAgree(found, found, rows)
  rmSync(root, { recursive: true, force: true })
  console.error(`${rows} bars: ${megabytes(cost.megabytes)}, ${cost.seconds.toFixed(1)} s`)
  return cost.megabytes
}

const peaks: { readonly few: number[]; readonly many: number[] } = { few: [], many: [] }
for (let round = 0; round < rounds; round++) {
  peaks.few.push(await peakOf(bars / 10, round))
  peaks.many.push(await peakOf(bars, round))
}
stop()
const [few, many] = [median(peaks.few), median(peaks.many)]
report({
  figure: `peak memory of ${bars / 1e6} M bars`,
  ours: megabytes(many),
  peer: `of ${bars / 1e7} M bars, ${megabytes(few)}`,
  ratio: many / few,
  target: { atMost: 1.2 },
})
