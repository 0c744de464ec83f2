import type { Frame } from '../frame.ts'
import type { Slots } from '../read/slots.ts'

/** Rows on a grid, none left out. A row that was not stored has NaN everywhere, and 0 in `present`. */
export interface DenseFrame extends Frame {
  readonly present: Uint8Array
}

/** What did not fit the grid; counted, never hidden. */
export interface DenseCounts {
  /** Stored rows that open between two slots: left out. */
  offGrid: number
  /** Slots without a stored row. */
  missing: number
}

/**
 * One row for each slot, in order, in frames of at most `rowsMax`. `frames` ascend. Whatever the holes, memory is a
 * frame in and a frame out.
 */
export async function* densify(
  frames: AsyncIterable<Frame>,
  names: readonly string[],
  slots: Slots,
  rowsMax: number,
  counts: DenseCounts,
): AsyncGenerator<DenseFrame> {
  let slot = slots.firstMs
  const times = new Float64Array(rowsMax)
  const index = new Int32Array(rowsMax)
  const emit = (frame: Frame | undefined, rows: number): DenseFrame => {
    const dense = gather(frame, names, times, index, rows)
    for (let i = 0; i < rows; i++) counts.missing += 1 - dense.present[i]!
    return dense
  }
  for await (const frame of frames) {
    let row = 0
    let rows = 0
    while (row < frame.length && slot < slots.endMs) {
      const ms = frame.timeMs[row]!
      if (ms < slot) {
        counts.offGrid++
        row++
        continue
      }
      times[rows] = slot
      index[rows++] = ms === slot ? row++ : -1
      slot = slots.next(slot)
      if (rows === rowsMax) {
        yield emit(frame, rows)
        rows = 0
      }
    }
    if (slot >= slots.endMs) counts.offGrid += frame.length - row
    if (rows > 0) yield emit(frame, rows)
  }
  while (slot < slots.endMs) {
    let rows = 0
    for (; rows < rowsMax && slot < slots.endMs; slot = slots.next(slot)) {
      times[rows] = slot
      index[rows++] = -1
    }
    yield emit(undefined, rows)
  }
}

function gather(
  frame: Frame | undefined,
  names: readonly string[],
  times: Float64Array,
  index: Int32Array,
  rows: number,
): DenseFrame {
  const present = new Uint8Array(rows)
  for (let i = 0; i < rows; i++) present[i] = index[i]! >= 0 ? 1 : 0
  const columns: Record<string, Float64Array> = {}
  for (const name of names) {
    const from = frame?.columns[name]
    const to = new Float64Array(rows)
    if (!from) to.fill(Number.NaN)
    else for (let i = 0; i < rows; i++) to[i] = index[i]! >= 0 ? from[index[i]!]! : Number.NaN
    columns[name] = to
  }
  return { length: rows, timeMs: times.slice(0, rows), columns, filled: {}, present }
}
