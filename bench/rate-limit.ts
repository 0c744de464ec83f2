/**
 * How much of a rate limit a sync uses: 100 ms away, 600 weight every 6 s, over so many windows (5 unless the command
 * line says). Prints the weight of each window, the share of the ceiling, and what was refused. Two requests make no
 * bars: the venue's clock and the first bar.
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startSimulator } from '../src/simulator/simulator.ts'

const WINDOW_MS = 6_000
const LIMIT = 600
const SLICE_MS = 60_000_000
const WEIGHT = 2

const windows = Number(process.argv[2] ?? 5)
const main = fileURLToPath(new URL('../src/cli/main.ts', import.meta.url))
const venue = await startSimulator({
  seed: 7,
  nowMs: Date.UTC(2024, 2, 1),
  weightLimit: LIMIT,
  windowMs: WINDOW_MS,
  rttMs: 100,
})
const root = mkdtempSync(join(tmpdir(), 'everybar-bench-'))
const fromMs = Math.ceil(Date.UTC(2020, 0, 1) / SLICE_MS) * SLICE_MS
const iso = (ms: number) => new Date(ms).toISOString()
const range = ['--from', iso(fromMs), '--to', iso(fromMs + ((windows * LIMIT) / WEIGHT) * SLICE_MS)]
const child = spawn(
  process.execPath,
  [main, 'sync', 'binance:spot:BTCUSDT:1m', ...range, '--root', root, '--quiet'],
  { stdio: 'inherit', env: { ...process.env, EVERYBAR__SOURCES__BINANCE__BASE_URL: venue.url } },
)
const code = await new Promise((resolve) => child.on('exit', resolve))

const perWindow = new Map<number, number>()
for (const { atMs, weight } of venue.log()) {
  const window = Math.floor(atMs / WINDOW_MS)
  perWindow.set(window, (perWindow.get(window) ?? 0) + weight)
}
const weights = [...perWindow].sort(([a], [b]) => a - b).map(([, weight]) => weight)
const whole = weights.slice(1, -1) // the first and the last are begun and ended on the way
const share = whole.reduce((sum, weight) => sum + weight, 0) / (whole.length * LIMIT)
const { refused, banned } = venue.stats()
console.log(`exit ${code}; weight of each window: ${weights.join(' ')}`)
console.log(
  `${(share * 100).toFixed(1)} % of the ceiling in whole windows; refused ${refused}, banned ${banned}`,
)
await venue.close()
rmSync(root, { recursive: true, force: true })
