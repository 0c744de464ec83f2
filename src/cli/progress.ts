import type { Progress } from '../app/api.ts'
import { duration, number, percent } from './format.ts'

export interface ProgressOptions {
  readonly write: (text: string) => void
  /** On a terminal lines are redrawn in place; elsewhere one line every 30 s. */
  readonly terminal: boolean
  readonly columns: () => number
  readonly nowMs: () => number
}

interface Phase {
  readonly first: Progress
  readonly startedMs: number
  latest: Progress
}

const REDRAW_MS = 100
const PLAIN_LINE_MS = 30_000
const ERASE_LINE = '\u001b[2K'

/**
 * Shows how far each phase is: one line per phase with bars per second, weight used and an ETA from the measured rate.
 * Redrawn at most ten times a second, whatever the number of updates; other lines go above it by `above`.
 */
export class ProgressView {
  readonly #options: ProgressOptions
  readonly #phases = new Map<Progress['phase'], Phase>()
  #drawnLines = 0
  #drawnMs = Number.NEGATIVE_INFINITY

  constructor(options: ProgressOptions) {
    this.#options = options
  }

  update(progress: Progress): void {
    const now = this.#options.nowMs()
    const known = this.#phases.get(progress.phase)
    // A total that shrinks or a count that falls back is a new piece of work under the same name.
    if (known && progress.done >= known.latest.done) known.latest = progress
    else this.#phases.set(progress.phase, { first: progress, latest: progress, startedMs: now })
    if (this.#drawnMs === Number.NEGATIVE_INFINITY && !this.#options.terminal) this.#drawnMs = now
    if (now - this.#drawnMs >= (this.#options.terminal ? REDRAW_MS : PLAIN_LINE_MS)) this.#draw(now)
  }

  /** Writes a line that stays, above the progress. */
  above(line: string): void {
    this.#erase()
    this.#options.write(`${line}\n`)
    if (this.#options.terminal && this.#phases.size > 0) this.#draw(this.#options.nowMs())
  }

  /** Leaves the last state on a terminal, and nothing to redraw. */
  finish(): void {
    if (this.#options.terminal && this.#phases.size > 0) this.#draw(this.#options.nowMs())
    this.#phases.clear()
    this.#drawnLines = 0
  }

  #draw(now: number): void {
    this.#drawnMs = now
    const { terminal, columns, write } = this.#options
    const lines = [...this.#phases.values()].map((phase) => progressLine(phase, now))
    if (!terminal) {
      write(`${lines.join(' | ')}\n`)
      return
    }
    const width = Math.max(columns() - 1, 20)
    const cursorUp = this.#drawnLines > 0 ? `\u001b[${this.#drawnLines}A` : ''
    write(cursorUp + lines.map((line) => `${ERASE_LINE}${line.slice(0, width)}\n`).join(''))
    this.#drawnLines = lines.length
  }

  #erase(): void {
    if (this.#drawnLines === 0) return
    const up = `\u001b[${this.#drawnLines}A`
    this.#options.write(`${up}${`${ERASE_LINE}\n`.repeat(this.#drawnLines)}${up}`)
    this.#drawnLines = 0
  }
}

/** `fetch   12 / 60  20.00 %  1,234 bars/s  weight 120/6000  ETA 3 min`. */
function progressLine({ first, latest, startedMs }: Phase, now: number): string {
  const { phase, done, total, bars, weightUsed, weightCapacity } = latest
  const seconds = (now - startedMs) / 1_000
  const barsPerSecond = seconds > 0 ? (bars - first.bars) / seconds : 0
  const slicesPerSecond = seconds > 0 ? (done - first.done) / seconds : 0
  const left = slicesPerSecond > 0 ? duration(((total - done) / slicesPerSecond) * 1_000) : '?'
  return [
    `${phase.padEnd(6)} ${number(done)} / ${number(total)}`,
    percent(total > 0 ? done / total : 1),
    `${number(barsPerSecond)} bars/s`,
    ...(weightCapacity > 0 ? [`weight ${number(weightUsed)}/${number(weightCapacity)}`] : []),
    done >= total ? `in ${duration(now - startedMs)}` : `ETA ${left}`,
  ].join('  ')
}
