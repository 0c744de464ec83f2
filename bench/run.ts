/**
 * The whole way of a bar against the loop ccxt's manual shows, in the same run: a simulated venue without limits in a
 * process of its own, each side in a process of its own, rounds in turn, medians. Rows of both sides are compared before a
 * time counts. `npm run bench -- --bars 2000000 --rounds 3`. The other figures: `node bench/<name>.ts`.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: { bars: { type: 'string', default: '2000000' }, rounds: { type: 'string', default: '3' } },
})
const bars = Number(values.bars)
const rounds = Number(values.rounds)
const path = (name: string) => fileURLToPath(new URL(name, import.meta.url))
const from = '2020-01-01T00:00:00Z'
const to = new Date(Date.parse(from) + bars * 60_000).toISOString()
const scratch = mkdtempSync(join(tmpdir(), 'everybar-bench-'))

interface Figure {
  readonly seconds: number
  /** The most memory it held at once. */
  readonly megabytes: number
  readonly rows: number
  readonly sumOfCloses: number
}

const venue = spawn(process.execPath, [path('jobs/venue.ts'), from, to], {
  stdio: ['ignore', 'pipe', 'inherit'],
})
process.on('exit', () => {
  venue.kill()
  rmSync(scratch, { recursive: true, force: true })
})
const url = await new Promise<string>((resolve, reject) => {
  venue.stdout.once('data', (text: Buffer) => resolve(text.toString().trim()))
  venue.once('exit', (code) => reject(new Error(`the simulated venue ended with ${code}`)))
})

/** Runs a process to its end; its peak memory is what the system says of it (Linux). */
async function measured(args: readonly string[], env: Record<string, string> = {}) {
  const startedAt = performance.now()
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, ...env },
  })
  let megabytes = 0
  const look = setInterval(() => {
    megabytes = Math.max(megabytes, peakOf(child))
  }, 20)
  const code = await new Promise<number | null>((resolve) => child.once('exit', resolve))
  clearInterval(look)
  if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}`)
  return { seconds: (performance.now() - startedAt) / 1_000, megabytes }
}

function peakOf({ pid }: ChildProcess): number {
  try {
    const peak = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
    return peak ? Number(peak[1]) / 1_024 : 0
  } catch {
    return 0
  }
}

async function ours(round: number): Promise<Figure> {
  const root = join(scratch, `root-${round}`)
  const bin = path('../bin/everybar.js')
  const env = { EVERYBAR__SOURCES__BINANCE__BASE_URL: url }
  const sync = ['sync', 'binance:spot:BTCUSDT:1m', '--from', from, '--to', to, '--root', root, '-q', '--json']
  const figure = await measured([bin, ...sync], env)
  const sql = `SELECT count(*) AS rows, sum(close) AS closes FROM bars WHERE open_time >= '${from.slice(0, 19)}' AND open_time < '${to.slice(0, 19)}'`
  const answer = spawnSync(process.execPath, [bin, 'query', sql, '--root', root, '--json'], {
    encoding: 'utf8',
  })
  const { data } = JSON.parse(answer.stdout) as { data: [{ rows: number; closes: number }] }
  rmSync(root, { recursive: true, force: true })
  return { ...figure, rows: data[0].rows, sumOfCloses: data[0].closes }
}

async function peer(round: number): Promise<Figure> {
  const file = join(scratch, `ccxt-${round}.csv`)
  const figure = await measured([path('jobs/ccxt-csv.ts'), url, from, to, file])
  let rows = 0
  let sumOfCloses = 0
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    rows++
    sumOfCloses += Number(line.split(',')[4])
  }
  rmSync(file)
  return { ...figure, rows, sumOfCloses }
}

const median = (values: readonly number[]) =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!

const sides: { readonly ours: Figure[]; readonly peer: Figure[] } = { ours: [], peer: [] }
for (let round = 0; round < rounds; round++) {
  const [a, b] = [await ours(round), await peer(round)]
  const same = a.rows === b.rows && a.rows === bars && Math.abs(a.sumOfCloses / b.sumOfCloses - 1) < 1e-9
  if (!same) throw new Error(`the two sides differ: ${JSON.stringify([a, b])}`)
  sides.ours.push(a)
  sides.peer.push(b)
  console.error(
    `round ${round + 1}: ours ${a.seconds.toFixed(2)} s, ccxt ${b.seconds.toFixed(2)} s, load ${loadavg()[0]!.toFixed(1)}`,
  )
}
const rate = (side: readonly Figure[]) => bars / median(side.map(({ seconds }) => seconds))
const memory = (side: readonly Figure[]) => median(side.map(({ megabytes }) => megabytes))
const table = [
  ['figure', 'ours', 'ccxt loop + CSV', 'ratio', 'target'],
  [
    'full pipeline, bars a second',
    Math.round(rate(sides.ours)).toLocaleString('en'),
    Math.round(rate(sides.peer)).toLocaleString('en'),
    (rate(sides.ours) / rate(sides.peer)).toFixed(2),
    '≥ 4',
  ],
  [
    'peak memory, MB',
    memory(sides.ours).toFixed(0),
    memory(sides.peer).toFixed(0),
    (memory(sides.ours) / memory(sides.peer)).toFixed(2),
    '≤ 0.5',
  ],
]
console.log(
  `${bars.toLocaleString('en')} bars, ${rounds} rounds, medians; ${cpus().length} cores, Node ${process.versions.node}\n`,
)
for (const row of table) console.log(`| ${row.join(' | ')} |`)
venue.kill()
