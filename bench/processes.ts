/** Programs that are measured from outside: their time, their processor time and their peak memory (Linux). */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Bars } from './figure.ts'

export interface Cost {
  readonly seconds: number
  /** Of all its threads: what a busy machine stretches least. */
  readonly cpuSeconds: number
  /** The most it held at once. */
  readonly megabytes: number
  readonly stdout: string
}

export const file = (name: string): string => fileURLToPath(new URL(name, import.meta.url))
export const everybar = file('../bin/everybar.js')

/** Runs a program of this Node to its end. @throws when it fails. */
export async function measured(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Cost> {
  const startedAt = performance.now()
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  })
  let stdout = ''
  child.stdout.on('data', (text: Buffer) => {
    stdout += text.toString()
  })
  let peak = 0
  let cpuSeconds = 0
  const look = setInterval(() => {
    peak = Math.max(peak, peakOf(child))
    cpuSeconds = Math.max(cpuSeconds, cpuOf(child))
  }, 20)
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  clearInterval(look)
  if (code !== 0) throw new Error(`${args.slice(0, 3).join(' ')} … ended with ${code}: ${stdout.slice(-500)}`)
  return { seconds: (performance.now() - startedAt) / 1_000, cpuSeconds, megabytes: peak, stdout }
}

function peakOf({ pid }: ChildProcess): number {
  try {
    const peak = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
    return peak ? Number(peak[1]) / 1_024 : 0
  } catch {
    return 0
  }
}

/** User and system ticks, a hundredth of a second each, stand twelfth and thirteenth after the name. */
function cpuOf({ pid }: ChildProcess): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')
    return (Number(fields[11]) + Number(fields[12])) / 100
  } catch {
    return 0
  }
}

/** Where a sync of ours is to find the venue. */
export const venueAt = (url: string) => ({
  EVERYBAR__SOURCES__BINANCE__BASE_URL: url,
  EVERYBAR__SOURCES__BINANCE__FUTURES_BASE_URL: url,
})

export const syncArgs = (series: readonly string[], from: string, to: string, root: string): string[] => [
  ...[everybar, 'sync', ...series, '--from', from, '--to', to, '--root', root],
  ...['--quiet', '--json'],
]

/** What a root's lake holds of a range, asked of the program itself. */
export function barsIn(root: string, from: string, to: string): Bars {
  const time = (text: string) => `TIMESTAMP '${text.slice(0, 19)}'`
  const sql = `SELECT count(*) AS rows, sum(close) AS closes FROM bars WHERE open_time >= ${time(from)} AND open_time < ${time(to)}`
  const answer = spawnSync(process.execPath, [everybar, 'query', sql, '--root', root, '--json'], {
    encoding: 'utf8',
  })
  const { data } = JSON.parse(answer.stdout) as { data: [{ rows: number; closes: number }] }
  return { rows: data[0].rows, sumOfCloses: data[0].closes }
}

/** A folder that goes when this process does. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'everybar-bench-'))
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  return folder
}

interface Server {
  readonly url: string
  readonly stop: () => void
}

/** `jobs/venue.ts` in a process of its own: a venue without limits that has made its bars already. */
export const startVenue = (from: string, to: string): Promise<Server> => startJob('venue.ts', from, to)

/** One of `jobs/` that serves, in a process of its own: its first line is its address. */
export async function startJob(name: string, ...args: readonly string[]): Promise<Server> {
  const job = spawn(process.execPath, [file(`jobs/${name}`), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const stop = () => void job.kill()
  process.on('exit', stop)
  const url = await new Promise<string>((resolve, reject) => {
    job.stdout.once('data', (text: Buffer) => resolve(text.toString().trim()))
    job.once('exit', (code) => reject(new Error(`${name} ended with ${code}`)))
  })
  return { url, stop }
}
