import type { EpochMs } from '../model/time.ts'

/**
 * Rows by column: ascending times, one row a time, every array of `length` values. A value that is not known is NaN.
 * Eight bytes a value.
 */
export interface Frame {
  readonly length: number
  /** Epoch milliseconds, whole numbers. */
  readonly timeMs: Float64Array
  readonly columns: Readonly<Record<string, Float64Array>>
  /** For each column in which values were filled in: 1 where one was. Columns without any are not here. */
  readonly filled: Readonly<Record<string, Uint8Array>>
}

export const emptyFrame = (names: readonly string[]): Frame => ({
  length: 0,
  timeMs: new Float64Array(0),
  columns: Object.fromEntries(names.map((name) => [name, new Float64Array(0)])),
  filled: {},
})

/** Rows `from` up to, not including, `to`. Shares memory with `frame`. */
export function sliceFrame(frame: Frame, from: number, to: number): Frame {
  const cut = <T extends Float64Array | Uint8Array>(values: T) => values.subarray(from, to) as T
  return {
    length: Math.max(0, Math.min(to, frame.length) - Math.max(0, from)),
    timeMs: cut(frame.timeMs),
    columns: mapValues(frame.columns, cut),
    filled: mapValues(frame.filled, cut),
  }
}

/** Frames of the same columns, one after the other. The result does not share memory, unless there is only one. */
export function concatFrames(frames: readonly Frame[], names: readonly string[]): Frame {
  const filled = frames.filter((frame) => frame.length > 0)
  if (filled.length === 0) return emptyFrame(names)
  if (filled.length === 1) return filled[0]!
  const length = filled.reduce((sum, frame) => sum + frame.length, 0)
  const marked = names.filter((name) => filled.some((frame) => frame.filled[name]))
  const join = <T extends Float64Array | Uint8Array>(out: T, of: (frame: Frame) => T | undefined): T => {
    let at = 0
    for (const frame of filled) {
      const values = of(frame)
      if (values) out.set(values, at)
      at += frame.length
    }
    return out
  }
  return {
    length,
    timeMs: join(new Float64Array(length), (frame) => frame.timeMs),
    columns: Object.fromEntries(
      names.map((name) => [name, join(new Float64Array(length), (frame) => frame.columns[name])]),
    ),
    filled: Object.fromEntries(
      marked.map((name) => [name, join(new Uint8Array(length), (frame) => frame.filled[name])]),
    ),
  }
}

/** Only the rows whose position `keeps`. */
export function filterFrame(frame: Frame, keeps: (row: number) => boolean): Frame {
  const rows: number[] = []
  for (let row = 0; row < frame.length; row++) if (keeps(row)) rows.push(row)
  if (rows.length === frame.length) return frame
  return {
    length: rows.length,
    timeMs: Float64Array.from(rows, (row) => frame.timeMs[row]!),
    columns: mapValues(frame.columns, (values) => Float64Array.from(rows, (row) => values[row]!)),
    filled: mapValues(frame.filled, (values) => Uint8Array.from(rows, (row) => values[row]!)),
  }
}

/** First row at or after `ms`. */
export function rowAt(frame: Frame, ms: EpochMs): number {
  let low = 0
  let high = frame.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (frame.timeMs[middle]! < ms) low = middle + 1
    else high = middle
  }
  return low
}

const mapValues = <A, B>(record: Readonly<Record<string, A>>, change: (value: A) => B): Record<string, B> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]))
