import { randomBytes } from 'node:crypto'
import { appendFileSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Address, Spend, SpendBook } from '../fetch/spend-book.ts'
import type { Clock } from '../model/events.ts'
import { DAY_MS, type EpochMs } from '../model/time.ts'

/** Lines appended before the file is written anew, without what no window holds any more. */
const LINES_MAX = 1_024
/** No venue counts in longer windows. */
const KEEP_MS = DAY_MS

/**
 * What left for the venues, as `<root>/.everybar/spent.jsonl`. A file that cannot be read, or written, is as good as
 * none. It is not synced: a machine that lost its power is away for longer than most windows.
 */
export function openSpendBook(root: string, clock: Clock): SpendBook {
  return new SpendFile(join(root, '.everybar', 'spent.jsonl'), clock)
}

interface Cost {
  weight: number
  requests: number
}

/** One line: what a process tells of one address, until its next line of the same. */
interface Line extends Address {
  readonly process: string
  readonly atMs: EpochMs
  /** Over since its line before. */
  readonly spent: Readonly<Cost>
  /** On its way. */
  readonly open: Readonly<Cost>
}

const nothing: Readonly<Cost> = { weight: 0, requests: 0 }

class SpendFile implements SpendBook {
  readonly #path: string
  readonly #clock: Clock
  /** No process id: in a container every process has the same. */
  readonly #process = randomBytes(6).toString('base64url')
  readonly #accounts = new Map<string, { readonly address: Address; readonly open: Cost; due: Cost }>()
  /** The first line of a process comes with a file written anew: the last one may have ended within a line. */
  #lines = LINES_MAX

  constructor(path: string, clock: Clock) {
    this.#path = path
    this.#clock = clock
  }

  readonly known = (): readonly Spend[] => spendsIn(this.#read(), this.#clock.nowMs())

  readonly left = (address: Address, weight: number): void => {
    const { open } = this.#account(address)
    open.weight += weight
    open.requests++
    this.#note(address)
  }

  readonly over = (address: Address, weight: number): void => {
    const { open, due } = this.#account(address)
    open.weight -= weight
    open.requests--
    due.weight += weight
    due.requests++
    // Until then it stands as on its way, which counts for more, and the next one that leaves tells.
    if (open.requests === 0) this.#note(address)
  }

  #account(address: Address) {
    const key = keyOf(address)
    const account = this.#accounts.get(key) ?? { address, open: { ...nothing }, due: { ...nothing } }
    this.#accounts.set(key, account)
    return account
  }

  #note(address: Address): void {
    const account = this.#account(address)
    const line = { ...address, process: this.#process, atMs: this.#clock.nowMs() }
    const text = textOf({ ...line, spent: account.due, open: account.open })
    account.due = { ...nothing }
    if (this.#lines >= LINES_MAX) orGoOn(() => this.#writeAnew(line.atMs))
    orGoOn(() => appendFileSync(this.#path, text))
    this.#lines++
  }

  #writeAnew(nowMs: EpochMs): void {
    this.#lines = 0
    removeLeftovers(dirname(this.#path))
    const mine = ({ process }: Line): boolean => process === this.#process
    const past = this.#read().map((line) => (mine(line) ? { ...line, open: nothing } : line))
    const lines = thinned(spendsIn(past, nowMs), nowMs).map((spend) => ({
      ...{ ...spend, process: '', open: nothing },
      spent: { weight: spend.weight, requests: spend.requests },
    }))
    const still = [...this.#accounts.values()].map(({ address, open }) => ({
      ...{ ...address, process: this.#process, atMs: nowMs, spent: nothing, open },
    }))
    const temporary = `${this.#path}.${this.#process}.tmp`
    writeFileSync(temporary, [...lines, ...still].map(textOf).join(''))
    renameSync(temporary, this.#path)
  }

  #read(): readonly Line[] {
    try {
      return readFileSync(this.#path, 'utf8').split('\n').flatMap(lineIn)
    } catch {
      return []
    }
  }
}

/** Without the file the next process knows what the venue's counter tells: no reason to end a run. */
function orGoOn(write: () => void): void {
  try {
    write()
  } catch {
    // Tried again when the next request leaves.
  }
}

/** What killed processes have left. One that is at it just now then only appends. */
function removeLeftovers(folder: string): void {
  for (const name of readdirSync(folder)) {
    if (/^spent\.jsonl\..+\.tmp$/.test(name)) rmSync(join(folder, name), { force: true })
  }
}

const keyOf = ({ bucket, origin }: Address): string => `${bucket} ${origin}`

/** A clock that was ahead when a line was written makes it no younger than now. */
function spendsIn(lines: readonly Line[], nowMs: EpochMs): Spend[] {
  const spends: Spend[] = []
  const open = new Map<string, Line>()
  for (const line of lines) {
    const { bucket, origin, spent } = line
    if (spent.requests > 0) spends.push({ bucket, origin, atMs: Math.min(line.atMs, nowMs), ...spent })
    open.set(`${line.process} ${keyOf(line)}`, line)
  }
  for (const { bucket, origin, open: cost } of open.values()) {
    if (cost.requests > 0) spends.push({ bucket, origin, atMs: nowMs, ...cost })
  }
  return spends
}

/**
 * Those of the last day, by time, of one cell of time and one address together and dated by the latest. Cells are powers
 * of two and lie in one another, so that however often it is done no spend is dated later by more than 1/32 of its age.
 */
function thinned(spends: readonly Spend[], nowMs: EpochMs): Spend[] {
  const cells = new Map<string, Spend>()
  for (const spend of spends) {
    const ageMs = nowMs - spend.atMs
    if (ageMs > KEEP_MS) continue
    const cellMs = 2 ** Math.max(0, Math.floor(Math.log2(ageMs / 32)))
    const key = `${cellMs} ${Math.floor(spend.atMs / cellMs)} ${keyOf(spend)}`
    const known = cells.get(key) ?? { ...spend, ...nothing }
    cells.set(key, {
      ...known,
      atMs: Math.max(known.atMs, spend.atMs),
      weight: known.weight + spend.weight,
      requests: known.requests + spend.requests,
    })
  }
  return [...cells.values()].sort((a, b) => a.atMs - b.atMs)
}

/** Short, as there is one for every request. */
const textOf = ({ process, bucket, origin, atMs, spent, open }: Line): string => {
  const numbers = [atMs, spent.weight, spent.requests, open.weight, open.requests]
  return `${JSON.stringify([process, bucket, origin, ...numbers])}\n`
}

/** None where it is not a whole one. */
function lineIn(text: string): Line[] {
  let found: unknown
  try {
    found = JSON.parse(text)
  } catch {
    return []
  }
  if (!Array.isArray(found) || found.length !== 8) return []
  const [process, bucket, origin, ...numbers] = found as unknown[]
  if (typeof process !== 'string' || typeof bucket !== 'string' || typeof origin !== 'string') return []
  if (!numbers.every(isCount)) return []
  const [atMs, weight, requests, openWeight, openRequests] = numbers as [
    number,
    number,
    number,
    number,
    number,
  ]
  const cost = { spent: { weight, requests }, open: { weight: openWeight, requests: openRequests } }
  return [{ process, bucket, origin, atMs, ...cost }]
}

const isCount = (value: unknown): value is number =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0
