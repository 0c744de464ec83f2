/** What every bench shares: numbers from the command line, medians, and lines of the table that `run.ts` prints. */
import { parseArgs } from 'node:util'

/** One figure: what was measured here, beside what, and whether that is enough. */
export interface Line {
  readonly figure: string
  readonly ours: string
  /** What it is compared with, and its value; empty where there is nothing to compare with. */
  readonly peer: string
  /** Of the two, or the value itself where there is no peer. */
  readonly ratio: number
  readonly target: Target
}
export type Target = { readonly atLeast: number } | { readonly atMost: number }

/** Tells a figure: to `run.ts` where that started this process, else to the reader. */
export function report(line: Line): void {
  if (process.send) process.send(line)
  else console.log(rowOf(line).join(' | '))
}

export const isMet = ({ ratio, target }: Line): boolean =>
  'atLeast' in target ? ratio >= target.atLeast : ratio <= target.atMost

export const head = ['figure', 'ours', 'peer', 'ratio', 'target', ''] as const

export function rowOf(line: Line): string[] {
  const { figure, ours, peer, ratio, target } = line
  const bound = 'atLeast' in target ? `≥ ${target.atLeast}` : `≤ ${target.atMost}`
  return [figure, ours, peer, ratio.toPrecision(3), bound, isMet(line) ? 'met' : 'missed']
}

/** Whole numbers by name from the command line, `--rounds 3`, with what holds where one is not given. */
export function numbers<N extends string>(usual: Readonly<Record<N, number>>): Record<N, number> {
  const names = Object.keys(usual) as N[]
  const options = Object.fromEntries(names.map((name) => [name, { type: 'string' as const }]))
  const { values } = parseArgs({ options })
  return Object.fromEntries(
    names.map((name) => {
      const value = values[name] === undefined ? usual[name] : Number(values[name])
      if (!Number.isSafeInteger(value) || value < 1) throw new Error(`--${name} takes a count`)
      return [name, value]
    }),
  ) as Record<N, number>
}

/** The middle one, the larger of the two where there are two. */
export const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!

export const count = (value: number): string => Math.round(value).toLocaleString('en')
export const seconds = (value: number): string => `${value.toFixed(2)} s`
export const megabytes = (value: number): string => `${Math.round(value)} MB`

/** Both sides have the same bars, or no time counts. */
export interface Bars {
  readonly rows: number
  readonly sumOfCloses: number
}

export function mustAgree(a: Bars, b: Bars, rows = a.rows): void {
  const close = Math.abs(a.sumOfCloses / b.sumOfCloses - 1) < 1e-9
  if (a.rows !== b.rows || a.rows !== rows || !close)
    throw new Error(`the two sides differ: ${JSON.stringify([a, b])}, ${rows} rows expected`)
}
