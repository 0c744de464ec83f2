/** A line that waits. */
export interface QueuedLine {
  /** Nanoseconds since the epoch, as text. */
  readonly ns: string
  /** As JSON: lines with the same text belong to one stream. */
  readonly labels: string
  readonly text: string
  readonly metadata: Readonly<Record<string, string>>
}

const sizeOf = ({ labels, text }: QueuedLine): number => text.length + labels.length + 100

/** Lines in order, bounded in number and bytes. What does not fit any more is dropped from the old end, and counted. */
export class LokiQueue {
  dropped = 0
  #lines: QueuedLine[] = []
  #bytes = 0
  readonly #linesMax: number
  readonly #bytesMax: number

  constructor(linesMax: number, bytesMax: number) {
    this.#linesMax = linesMax
    this.#bytesMax = bytesMax
  }

  get lines(): number {
    return this.#lines.length
  }

  add(line: QueuedLine): void {
    this.#lines.push(line)
    this.#bytes += sizeOf(line)
    this.#trim()
  }

  /** The oldest lines, out of the queue. One at least, where there is any. */
  take(linesMax: number, bytesMax: number): readonly QueuedLine[] {
    let bytes = 0
    let count = 0
    while (count < Math.min(linesMax, this.#lines.length)) {
      bytes += sizeOf(this.#lines[count]!)
      if (count > 0 && bytes > bytesMax) break
      count++
    }
    const taken = this.#lines.splice(0, count)
    this.#bytes -= sum(taken)
    return taken
  }

  /** To the old end again; where the queue has filled meanwhile the oldest of them are lost. */
  putBack(lines: readonly QueuedLine[]): void {
    this.#lines = [...lines, ...this.#lines]
    this.#bytes += sum(lines)
    this.#trim()
  }

  drop(lines: readonly QueuedLine[]): void {
    this.dropped += lines.length
  }

  dropAll(): void {
    this.drop(this.#lines)
    this.#lines = []
    this.#bytes = 0
  }

  #trim(): void {
    let over = 0
    let bytes = this.#bytes
    while (
      this.#lines.length - over > this.#linesMax ||
      (bytes > this.#bytesMax && over < this.#lines.length)
    ) {
      bytes -= sizeOf(this.#lines[over++]!)
    }
    if (over === 0) return
    this.drop(this.#lines.splice(0, over))
    this.#bytes = bytes
  }
}

const sum = (lines: readonly QueuedLine[]): number => lines.reduce((total, line) => total + sizeOf(line), 0)
