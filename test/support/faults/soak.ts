/**
 * A long run against a venue that misbehaves, in processes that are killed: `npm run soak -- --minutes 10 --seed 7`. All is
 * drawn from the seed: the faults, the kills, what the venue restates, how its clock moves on. Every few rounds, and at
 * the end, venue and processes are left in peace and everything has to be as if it had always been so. Exit 1 when it is
 * not, with the seed and the round that show it again.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { faultKinds } from '../../../src/simulator/faults.ts'
import { type Simulator, startSimulator } from '../../../src/simulator/simulator.ts'
import { randomFrom } from '../random.ts'
import type { Job, Result } from './child.ts'
import { actions } from './inject-actions.ts'
import { type Ended, hasEnded, Runner } from './processes.ts'
import { differences, rootState } from './state.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 1e6)) },
    rounds: { type: 'string' },
  },
})
const seed = Number(values.seed)
const roundsMax = values.rounds === undefined ? Number.POSITIVE_INFINITY : Number(values.rounds)
const endsAt = performance.now() + Number(values.minutes) * 60_000

const MINUTE_MS = 60_000
const all = ['binance:spot:BTCUSDT:1m', 'binance:um:ETHUSDT:1m', 'binance:spot:ETHUSDT:15m'] as const
const symbolOf = (series: string) => series.split(':')[2]!
const firstMs = Date.UTC(2024, 0, 30)
/** Refusals stop everything for a while: few of them. `restated` and `off-grid` are lies nobody can see at once. */
const never = new Set(['418', 'restated', 'off-grid'])
const kinds = faultKinds().filter((kind) => !never.has(kind))
const sized: Readonly<Record<string, string>> = {
  'gzip-bomb': 'gzip-bomb=128',
  'weight-jump': 'weight-jump=200',
}

const folder = mkdtempSync(join(tmpdir(), 'everybar-soak-'))
const random = randomFrom(seed)
const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!
const between = (low: number, high: number) => low + Math.floor(random() * (high - low + 1))

const outages = [0, 1].map((n) => {
  const startMs = firstMs + between(n * 30, n * 30 + 20) * 60 * MINUTE_MS
  return { startMs, endMs: startMs + between(5, 300) * MINUTE_MS }
})
let nowMs = firstMs + 40 * 60 * MINUTE_MS + 6_000
const venue: Simulator = await startSimulator({
  seed,
  nowMs,
  windowMs: 1_000,
  weightLimit: 100_000,
  fromMs: firstMs - 86_400_000,
  outages,
})
const runner = new Runner()
const root = join(folder, 'soaked')
const counts = { rounds: 0, kills: 0, broken: 0, spoiled: 0, restated: 0, checks: 0 }

function job(series: string, at: string, more: Partial<Job> = {}): Job {
  const from = new Date(firstMs).toISOString()
  // A venue that stalls must not look like a process that hangs.
  const fetch = { concurrency: 3, attempts: 3, timeoutMs: 2_000 }
  return { command: 'sync', root: at, url: venue.url, series, from, ...fetch, ...more }
}

/** The end of the last quarter of an hour that has passed: up to there bars of every width are final. */
const closed = (): string =>
  new Date(Math.floor((nowMs - 6_000) / (15 * MINUTE_MS)) * 15 * MINUTE_MS).toISOString()

function faultsNow(): string {
  const some = Array.from({ length: between(0, 3) }, () => {
    const kind = pick(kinds)
    const when = pick([`@${between(1, 6)}`, `@/${between(2, 5)}`, `@${between(5, 40)}%`])
    return `${pick(['', '', 'all:'])}${sized[kind] ?? kind}${when}`
  })
  counts.spoiled += some.length
  return some.join(',')
}

async function round(): Promise<void> {
  counts.rounds++
  nowMs += between(0, 4) * between(1, 45) * MINUTE_MS
  venue.setNow(nowMs)
  if (random() < 0.2) {
    const openTimeMs = Math.floor((nowMs - between(2, 600) * MINUTE_MS) / MINUTE_MS) * MINUTE_MS
    venue.restate({ symbol: symbolOf(all[0]), openTimeMs, volume: String(between(1, 9_999)) })
    counts.restated++
  }
  venue.setFaults(faultsNow())
  const broken = random() < 0.6 ? { nth: between(1, 260), action: pick(actions) } : {}
  const audit = random() < 0.1 ? { recheck: true } : {}
  const outcome = await runner.run(job(pick(all), root, { ...broken, ...audit }))
  if (broken.action === 'dead') await runner.close()
  if (hasEnded(outcome)) {
    counts.kills++
    if (outcome.ended !== 'SIGKILL' || !broken.action?.startsWith('kill')) complain('ended', outcome)
  } else {
    if (!outcome.report?.complete) counts.broken++
    if (outcome.error && (outcome.error.code === null || outcome.error.code.endsWith('.unexpected')))
      complain('threw', outcome)
  }
  venue.setFaults('')
  const proof = await runner.run(job(pick(all), root, { command: 'verify', to: closed() }))
  if (!hasEnded(proof) && (proof.report?.faults.length ?? 0) > 0) complain('verify', proof)
}

/** Everything in peace: the root that went through all of it, and one that is made anew, hold the same. */
async function compare(): Promise<void> {
  counts.checks++
  nowMs += 3 * 60 * MINUTE_MS
  // Held: both roots are told the same time.
  venue.setNow(nowMs, { held: true })
  const fresh = join(folder, `fresh-${counts.checks}`)
  for (const series of all) {
    // What was restated long ago shows in an audit only.
    for (const one of [job(series, root, { recheck: true }), job(series, fresh)]) {
      const outcome = await runner.run({ ...one, attempts: 5 })
      if (hasEnded(outcome) || !outcome.report?.complete) complain(`peace, ${series}`, outcome)
    }
    const to = closed()
    const proof = await runner.run(job(series, root, { command: 'verify', to }))
    if (hasEnded(proof) || !proof.report?.complete || proof.report.faults.length > 0)
      complain('verify in peace', proof)
  }
  const [soaked, truth] = [await rootState(root), await rootState(fresh)]
  const different = differences({ ...truth, ...kept }, { ...soaked, ...kept })
  if (different.length > 0) complain('lake', different)
  rmSync(fresh, { recursive: true, force: true })
}

/** What tells of the way rather than of the end: older answers, and what the ledger says of them. */
const kept = { answers: [], ledger: [], manifests: {} } as const

function complain(what: string, seen: Result | Ended | readonly string[]): never {
  console.error(`${what}: ${JSON.stringify(seen).slice(0, 3_000)}`)
  console.error(`seed ${seed}, round ${counts.rounds}; the root is kept: ${root}`)
  console.error(`again: npm run soak -- --seed ${seed} --rounds ${counts.rounds} --minutes 60`)
  process.exit(1)
}

console.log(`seed ${seed}, ${values.minutes} minutes`)
while (performance.now() < endsAt && counts.rounds < roundsMax) {
  await round()
  if (counts.rounds % 12 === 0) {
    await compare()
    console.log(JSON.stringify(counts))
  }
}
await compare()
console.log(`as if nothing had been: ${JSON.stringify(counts)}`)
await runner.close()
await venue.close()
rmSync(folder, { recursive: true, force: true })
