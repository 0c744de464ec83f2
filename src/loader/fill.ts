import type { Frame } from './frame.ts'

/**
 * What stands in for a value that is not known:
 * - `leave`: nothing;
 * - `previous`: the last known value of the column before it;
 * - `previous-close`: the last known `close`;
 * - `zero`: 0, where a close is known before it;
 * - `linear`: on the line, over time, from the last known value to the next one. It looks ahead: what it makes at a
 *   time depends on what came later;
 * - `linear-zero`: 0, in the runs that `linear` would fill.
 */
export type FillRule = 'leave' | 'previous' | 'previous-close' | 'zero' | 'linear' | 'linear-zero'

const looksAhead = (rule: FillRule | undefined): boolean => rule === 'linear' || rule === 'linear-zero'

export interface FillOptions {
  /** By column; columns not named are left. */
  readonly rules: Readonly<Record<string, FillRule>>
  /** Runs of unknown values longer than this are left whole by `linear`, and filled up to it by the others. */
  readonly runMax: number
}

/** A frame whose arrays are this module's to change, and the number of its first row. */
interface Held<F extends Frame> {
  readonly frame: F
  readonly base: number
  readonly filled: Record<string, Uint8Array>
}

/**
 * Fills unknown values in a stream of frames, marks each in `filled`, and never touches a known one. Frames go in and
 * come out in order; one is held back while a `linear` run at its end is undecided, so memory is bounded by a few
 * frames and `runMax` rows. The arrays of the frames put in are changed in place.
 */
export class Filler<F extends Frame> {
  readonly #options: FillOptions
  readonly #columns: readonly string[]
  readonly #known = new Map<string, { ms: number; value: number; row: number }>()
  /** First row of the run under way, by column. */
  readonly #run = new Map<string, number>()
  #held: Held<F>[] = []
  #rows = 0

  constructor(options: FillOptions) {
    this.#options = options
    const used = Object.keys(options.rules).filter((name) => options.rules[name] !== 'leave')
    // `close` first: what the others copy from it is the close before, and `#known` is read as the frame begins.
    this.#columns = used.sort((a, b) => Number(b === 'close') - Number(a === 'close') || (a < b ? -1 : 1))
  }

  /** Frames that are decided, in order. */
  push(frame: F): F[] {
    const held: Held<F> = { frame, base: this.#rows, filled: {} }
    this.#held.push(held)
    this.#rows += frame.length
    const closes = this.#closesBefore(frame)
    for (const name of this.#columns) this.#column(name, held, closes)
    return this.#release(this.#undecidedFrom())
  }

  /** The rest, when nothing more comes: runs that are still open stay as they are. */
  end(): F[] {
    this.#run.clear()
    return this.#release(this.#rows)
  }

  /** For each row the last known close before it, NaN where there is none. Read before anything is filled. */
  #closesBefore(frame: F): Float64Array | undefined {
    const close = frame.columns.close
    if (!close) return undefined
    const before = new Float64Array(frame.length)
    let last = this.#lastClose
    for (let i = 0; i < frame.length; i++) {
      before[i] = last
      if (!Number.isNaN(close[i]!)) last = close[i]!
    }
    this.#lastClose = last
    return before
  }
  #lastClose = Number.NaN

  #column(name: string, held: Held<F>, closes: Float64Array | undefined): void {
    const rule = this.#options.rules[name]!
    const values = held.frame.columns[name]
    if (!values) return
    for (let i = 0; i < values.length; i++) {
      const row = held.base + i
      if (!Number.isNaN(values[i]!)) {
        if (looksAhead(rule)) this.#close(name, row, held.frame.timeMs[i]!, values[i]!)
        this.#run.delete(name)
        this.#known.set(name, { ms: held.frame.timeMs[i]!, value: values[i]!, row })
        continue
      }
      const start = this.#run.get(name) ?? row
      this.#run.set(name, start)
      if (looksAhead(rule) || row - start >= this.#options.runMax) continue
      const close = closes?.[i] ?? Number.NaN
      const previous = this.#known.get(name)?.value ?? Number.NaN
      const value = rule === 'previous' ? previous : rule === 'zero' ? close * 0 : close
      if (!Number.isNaN(value)) this.#set(held, name, i, value)
    }
  }

  /** A known value ends a run: draws the line, unless the run is too long or nothing is known before it. */
  #close(name: string, row: number, ms: number, value: number): void {
    const start = this.#run.get(name)
    const from = this.#known.get(name)
    if (start === undefined || !from || row - start > this.#options.runMax) return
    for (const held of this.#held) {
      const first = Math.max(start, held.base) - held.base
      const last = Math.min(row, held.base + held.frame.length) - held.base
      for (let i = first; i < last; i++) {
        const share = (held.frame.timeMs[i]! - from.ms) / (ms - from.ms)
        const line = from.value + (value - from.value) * share
        this.#set(held, name, i, this.#options.rules[name] === 'linear' ? line : 0)
      }
    }
  }

  #set(held: Held<F>, name: string, i: number, value: number): void {
    held.frame.columns[name]![i] = value
    held.filled[name] ??= new Uint8Array(held.frame.length)
    held.filled[name][i] = 1
  }

  /** The first row that a later value may still change. */
  #undecidedFrom(): number {
    let from = this.#rows
    for (const [name, start] of this.#run) {
      const open = looksAhead(this.#options.rules[name]) && this.#known.has(name)
      if (open && this.#rows - start <= this.#options.runMax) from = Math.min(from, start)
    }
    return from
  }

  #release(before: number): F[] {
    const ready = this.#held.filter((held) => held.base + held.frame.length <= before)
    this.#held = this.#held.slice(ready.length)
    return ready.map(({ frame, filled }) => ({ ...frame, filled: { ...frame.filled, ...filled } }))
  }
}

/** `frames` with unknown values filled. */
export async function* fillFrames<F extends Frame>(
  frames: AsyncIterable<F> | Iterable<F>,
  options: FillOptions,
): AsyncGenerator<F> {
  const filler = new Filler<F>(options)
  for await (const frame of frames) yield* filler.push(frame)
  yield* filler.end()
}
