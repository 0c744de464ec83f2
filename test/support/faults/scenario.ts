import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Simulator, startSimulator } from '../../../src/simulator/simulator.ts'
import { randomFrom } from '../random.ts'
import type { Job, Result } from './child.ts'
import { type Action, actions } from './inject-actions.ts'
import { type Ended, hasEnded, Runner } from './processes.ts'
import { differences, type RootState, rootState } from './state.ts'

const SLICE_MS = 60_000_000
const MINUTE_MS = 60_000
const series = 'binance:spot:BTCUSDT:1m'
/** Four slices; a month ends in the second, an outage lies across the third's start, the last is still open. */
const firstMs = Math.floor(Date.UTC(2024, 0, 31) / SLICE_MS) * SLICE_MS
const outage = {
  startMs: firstMs + 2 * SLICE_MS - 90 * MINUTE_MS,
  endMs: firstMs + 2 * SLICE_MS + 45 * MINUTE_MS,
}
const nowMs = Math.floor((firstMs + 3.4 * SLICE_MS) / MINUTE_MS) * MINUTE_MS + 6_000
const iso = (ms: number) => new Date(ms).toISOString()

/**
 * - `first`: everything is new;
 * - `again`: a root that a sync left two hours earlier; since then a bar was restated and a fault made a hole.
 */
export const scenarios = ['first', 'again'] as const
export type ScenarioName = (typeof scenarios)[number]

export interface Case {
  readonly nth: number
  readonly action: Action
  readonly code?: string
}

export interface CaseReport extends Case {
  /** The operation that failed; absent when the run had fewer. */
  readonly step: string | undefined
  /** What is not as it was promised; empty when all is. */
  readonly complaints: readonly string[]
}

/** A venue, a root as it stands before the run, and what an undisturbed run makes of it. */
export class Scenario {
  readonly name: ScenarioName
  /** Operations of the undisturbed run, in order. */
  trace: readonly string[] = []
  readonly #folder = mkdtempSync(join(tmpdir(), 'everybar-faults-'))
  readonly #runner = new Runner()
  /** Another process for what is killed, so that what follows need not wait for a start. */
  readonly #victim = new Runner()
  #venue: Simulator | undefined
  #expected: RootState | undefined
  #roots = 0

  constructor(name: ScenarioName) {
    this.name = name
  }

  /** Makes the base and the undisturbed run. */
  async open(): Promise<this> {
    this.#venue = await startSimulator({
      seed: 5,
      weightLimit: Number.POSITIVE_INFINITY,
      nowMs,
      outages: [outage],
    })
    if (this.name === 'again') {
      this.#venue.setNow(nowMs - 120 * MINUTE_MS, { held: true })
      mustBeWhole(await this.#runner.run(this.#job('sync', this.#base)))
      const restated = nowMs - 6_000 - 130 * MINUTE_MS
      this.#venue.restate({ symbol: 'BTCUSDT', openTimeMs: restated, volume: '4321.5' })
    }
    // Held: every run is told the same time, and asks for the same bars.
    this.#venue.setNow(nowMs, { held: true })
    const root = this.#newRoot()
    const whole = mustBeWhole(await this.#runner.run(this.#job('sync', root)))
    this.trace = whole.trace
    this.#expected = await rootState(root)
    const proof = await this.#runner.run(this.#job('verify', root))
    if (hasEnded(proof) || !proof.report?.complete) throw new Error(`no proof: ${JSON.stringify(proof)}`)
    return this
  }

  /** Breaks one run and holds what it leaves, and what the next run makes of it, against the promises. */
  async run(one: Case): Promise<CaseReport> {
    const root = this.#newRoot()
    const complaints: string[] = []
    try {
      const killed = one.action.startsWith('kill')
      const runner = killed || one.action === 'dead' ? this.#victim : this.#runner
      const broken = await runner.run({ ...this.#job('sync', root), ...one })
      // What it could not clean up is cleaned up once it is gone.
      if (one.action === 'dead') await this.#victim.close()
      const step = killed ? this.trace[one.nth - 1] : hasEnded(broken) ? undefined : broken.trace[one.nth - 1]
      complaints.push(...judgeBroken(broken, one))
      const said = !hasEnded(broken) && broken.report?.complete === true
      complaints.push(...(await this.#judgeLeft(root, said)))
      complaints.push(...(await this.#judgeNext(root, unsureOf(step, one))))
      return { ...one, step, complaints }
    } finally {
      rmSync(root, { recursive: true, force: true })
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#runner.close(), this.#victim.close()])
    await this.#venue?.close()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /** What a broken run leaves is true as far as it goes. */
  async #judgeLeft(root: string, saidComplete: boolean): Promise<string[]> {
    const proof = await this.#runner.run(this.#job('verify', root))
    if (hasEnded(proof)) return [`verify ended with ${proof.ended}: ${proof.stderr}`]
    if (proof.error) {
      const nothingYet = ['series.never-asked', 'root.not-found'].includes(proof.error.code ?? '')
      return nothingYet && !saidComplete ? [] : [`verify throws ${proof.error.message}`]
    }
    const complaints = proof.report!.faults.map((fault) => `left behind: ${JSON.stringify(fault)}`)
    if (saidComplete && !proof.report!.complete) complaints.push('said complete, and verify says it is not')
    return complaints
  }

  /** The next run asks for nothing that was kept, and ends as if nothing had been. */
  async #judgeNext(root: string, unsure: boolean): Promise<string[]> {
    const kept = answersIn(root)
    this.#venue!.resetStats()
    const next = await this.#runner.run(this.#job('sync', root))
    if (hasEnded(next)) return [`the next run ended with ${next.ended}: ${next.stderr}`]
    if (!next.report?.complete)
      return [`the next run: ${JSON.stringify(next.error ?? next.report?.problems)}`]
    const complaints: string[] = []
    if (this.name === 'first' && !unsure) {
      const asked = this.#venue!.log().filter(({ parameters }) => parameters.limit === '1000')
      // The last slice is open still: whatever was kept of it may be asked for again.
      const again = asked.filter(({ parameters }) => kept.has(parameters.startTime!))
      const closed = again.filter(({ parameters }) => Number(parameters.startTime) < firstMs + 3 * SLICE_MS)
      if (closed.length > 0) complaints.push(`${closed.length} answers that were kept were asked for again`)
    }
    const proof = await this.#runner.run(this.#job('verify', root))
    if (hasEnded(proof) || !proof.report?.complete || proof.report.faults.length > 0)
      complaints.push(`verify afterwards: ${JSON.stringify(proof)}`)
    complaints.push(...differences(this.#expected!, await rootState(root)))
    return complaints
  }

  get #base(): string {
    return join(this.#folder, 'base')
  }

  #newRoot(): string {
    const root = join(this.#folder, `root-${this.#roots++}`)
    if (this.name === 'again') cpSync(this.#base, root, { recursive: true })
    return root
  }

  #job(command: Job['command'], root: string): Job {
    const job = { command, root, url: this.#venue!.url, series, from: iso(firstMs) }
    return command === 'verify' ? { ...job, to: iso(nowMs - 6_000) } : job
  }
}

/** So many of the operations from 1 to `steps`, one of each stretch, so that none is far from one that is tried. */
export function sampleOf(steps: number, count: number, random: () => number): number[] {
  const stretch = steps / Math.min(count, steps)
  return Array.from({ length: Math.min(count, steps) }, (_, i) => 1 + Math.floor((i + random()) * stretch))
}

/** What is not as promised of so many operations of a scenario, each broken in one way. */
export async function brokenCases(
  scenario: { readonly trace: readonly string[]; run(one: Case): Promise<CaseReport> },
  action: Action,
  count: number,
  seed: number,
): Promise<CaseReport[]> {
  const random = randomFrom(seed + actions.indexOf(action))
  const broken: CaseReport[] = []
  for (const nth of sampleOf(scenario.trace.length, count, random)) {
    const report = await scenario.run({ nth, action })
    if (report.complaints.length > 0) broken.push(report)
  }
  return broken
}

function mustBeWhole(outcome: Result | Ended): Result {
  if (!hasEnded(outcome) && outcome.report?.complete) return outcome
  throw new Error(`the undisturbed run is not whole: ${JSON.stringify(outcome)}`)
}

/** A run that breaks says so, in words that are ours, and ends. */
function judgeBroken(outcome: Result | Ended, { nth, action }: Case): string[] {
  if (hasEnded(outcome)) {
    const wanted = action.startsWith('kill') ? 'SIGKILL' : undefined
    return outcome.ended === wanted ? [] : [`the process ended with ${outcome.ended}: ${outcome.stderr}`]
  }
  const { error, report, trace } = outcome
  if (trace.length < nth) return report?.complete ? [] : ['not complete, though nothing failed']
  if (error && (error.code === null || /\.unexpected$/.test(error.code))) return [`throws ${error.message}`]
  return (report?.problems ?? [])
    .filter(({ code }) => /\.unexpected$|^store\.failed$/.test(code))
    .map(({ code, message }) => `reports ${code}: ${message}`)
}

/** Whether it was the syncing of an answer's name that failed: the answer may be lost in a power cut, so it is asked for again. */
const unsureOf = (step = '', { action }: Case): boolean =>
  action === 'dead' ||
  (action.startsWith('fail') &&
    /^((openSync|fsync|closeSync) \S+\/responses$|renameSync \S+\/responses\/)/.test(step))

/** Start times of the slices whose current answers are kept. */
function answersIn(root: string): Set<string> {
  const folder = join(root, 'binance/klines/raw/BTCUSDT/1m/responses')
  if (!existsSync(folder)) return new Set()
  const names = readdirSync(folder).filter((name) => /^[0-9a-f]{32}\.json$/.test(name))
  const start = (name: string) => /"BTCUSDT:1m:(\d+)-/.exec(readFileSync(join(folder, name), 'utf8'))?.[1]
  return new Set(names.flatMap((name) => start(name) ?? []))
}
