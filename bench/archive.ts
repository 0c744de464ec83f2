/**
 * How long 2,000 answers of 170 KB take to be safe on disk, 8 and 16 at a time, plain and compressed:
 * `node bench/archive.ts`.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { nodeFileSystem } from '../src/app/filesystem.ts'
import { openFsArchive } from '../src/archive/fs/fs-archive.ts'
import { response, sliceOf } from '../src/testing/archive-samples.ts'
import { count, numbers, report, seconds } from './figure.ts'

const { puts: PUTS } = numbers({ puts: 2_000, rounds: 1 })
const folder = { venue: 'binance', directory: 'klines', symbol: 'BTCUSDT', timeframe: '1m' }

/** A thousand rows of twelve columns, as a venue sends them. */
const rows = Array.from({ length: 1_000 }, (_, i) => {
  const open = 1_704_067_200_000 + i * 60_000
  const price = (n: number) => (42_000 + ((i * 7919 + n * 104_729) % 100_000) / 137).toFixed(8)
  const volume = price(9)
  return [
    open,
    price(1),
    price(2),
    price(3),
    price(4),
    volume,
    open + 59_999,
    price(5),
    1_234,
    volume,
    price(6),
    '0',
  ]
})
const body = Buffer.from(JSON.stringify(rows))

for (const compression of ['none', 'zstd'] as const) {
  for (const inFlight of [8, 16]) {
    const root = await mkdtemp(join(tmpdir(), 'everybar-bench-'))
    const archive = openFsArchive({ root, compression, files: nodeFileSystem })
    let next = 0
    const worker = async () => {
      while (next < PUTS) await archive.put(folder, sliceOf(folder, next++), response(body), Date.now())
    }
    const startedAt = performance.now()
    await Promise.all(Array.from({ length: inFlight }, worker))
    const ms = performance.now() - startedAt
    const figure = `${count(PUTS)} answers of ${count(body.length / 1_000)} KB on disk, ${inFlight} at once`
    if (compression === 'none')
      report({ figure, ours: seconds(ms / 1_000), peer: '', ratio: ms / 1_000, target: { atMost: 2.5 } })
    else console.error(`${figure}, ${compression}: ${seconds(ms / 1_000)}`)
    await rm(root, { recursive: true })
  }
}
