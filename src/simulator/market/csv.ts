import { EverybarError } from '../../model/errors.ts'
import type { EpochMs } from '../../model/time.ts'
import type { Block } from './rows.ts'

const COMMA = 0x2c
const NEWLINE = 0x0a
const RETURN = 0x0d
const COLUMNS = 12
/** Position of the two times and the count, which are numbers in the answer; the rest is text. */
const OPEN_TIME = 0
const CLOSE_TIME = 6
const TRADES = 8

/** Microseconds have 16 digits from 2001 to 2286, milliseconds 13. */
const MICROSECOND_DIGITS = 16

/**
 * Rows of one archive file, as the venue's answer has them: the text of every number unchanged, but for microseconds,
 * which become milliseconds. A header is skipped. Each row keeps its place in `bytes`, without a separator.
 */
export interface CsvRows {
  readonly times: Float64Array
  readonly starts: Uint32Array
  readonly ends: Uint32Array
  readonly bytes: Uint8Array
}

/** @throws EverybarError `simulator.bad-file` (abort) naming the line that is no row of twelve plain numbers. */
export function readCsv(csv: Uint8Array, path: string): CsvRows {
  let lines = 1
  for (const byte of csv) if (byte === NEWLINE) lines++
  // Twelve elements gain two quotes each, nine of them, and brackets.
  const out = Buffer.allocUnsafe(csv.length + lines * 24)
  const times: number[] = []
  const starts = new Uint32Array(lines)
  const ends = new Uint32Array(lines)
  let at = 0
  let line = 0
  for (let from = 0; from < csv.length; line++) {
    let to = csv.indexOf(NEWLINE, from)
    if (to < 0) to = csv.length
    const end = to > from && csv[to - 1] === RETURN ? to - 1 : to
    if (end > from && !(line === 0 && isHeader(csv[from]!))) {
      starts[times.length] = at
      const row = writeRow(csv, from, end, out, at)
      if (!row) throw badLine(path, line + 1)
      at = row.at
      ends[times.length] = at
      times.push(row.openMs)
    }
    from = to + 1
  }
  return { times: Float64Array.from(times), starts, ends, bytes: out.subarray(0, at) }
}

const isDigit = (byte: number): boolean => byte >= 0x30 && byte <= 0x39
const isHeader = (first: number): boolean => !isDigit(first)

const badLine = (path: string, line: number): EverybarError =>
  new EverybarError('simulator.bad-file', `${path}: line ${line} is not a row of twelve numbers`, {
    recovery: 'abort',
    hint: 'The file has to be a klines file of the bulk archive.',
    path,
  })

function writeRow(
  csv: Uint8Array,
  from: number,
  to: number,
  out: Uint8Array,
  start: number,
): { at: number; openMs: EpochMs } | undefined {
  let at = start
  let cell = from
  let openMs = 0
  out[at++] = 0x5b
  for (let column = 0; column < COLUMNS; column++) {
    let end = cell
    for (let byte = csv[end]!; end < to && byte !== COMMA; byte = csv[++end]!)
      if (!isDigit(byte) && byte !== 0x2e && byte !== 0x2d) return undefined
    if (end === cell || (end === to) !== (column === COLUMNS - 1)) return undefined
    if (column > 0) out[at++] = COMMA
    if (column === OPEN_TIME || column === CLOSE_TIME) {
      const digits = end - cell >= MICROSECOND_DIGITS ? end - 3 : end
      let ms = 0
      for (let i = cell; i < digits; i++) {
        if (!isDigit(csv[i]!)) return undefined
        ms = ms * 10 + csv[i]! - 0x30
        out[at++] = csv[i]!
      }
      if (column === OPEN_TIME) openMs = ms
    } else {
      if (column !== TRADES) out[at++] = 0x22
      for (let i = cell; i < end; i++) out[at++] = csv[i]!
      if (column !== TRADES) out[at++] = 0x22
    }
    cell = end + 1
  }
  out[at++] = 0x5d
  return { at, openMs }
}

/** Several files as one block of `[startMs, endMs)`, ascending; where two have the same open time the earlier file wins. */
export function blockOfCsv(files: readonly CsvRows[], startMs: EpochMs, endMs: EpochMs): Block {
  const order: { readonly file: CsvRows; readonly row: number; readonly openMs: EpochMs }[] = []
  for (const file of files)
    for (let row = 0; row < file.times.length; row++) {
      const openMs = file.times[row]!
      if (openMs >= startMs && openMs < endMs) order.push({ file, row, openMs })
    }
  order.sort((a, b) => a.openMs - b.openMs) // stable: the earlier file stays first
  const kept = order.filter((entry, i) => i === 0 || entry.openMs !== order[i - 1]!.openMs)
  const size = kept.reduce((sum, { file, row }) => sum + file.ends[row]! - file.starts[row]! + 1, 1)
  const bytes = Buffer.allocUnsafe(Math.max(2, size))
  const offsets = new Uint32Array(kept.length + 1)
  offsets[0] = 1
  bytes[0] = 0x5b
  let at = 1
  kept.forEach(({ file, row }, i) => {
    bytes.set(file.bytes.subarray(file.starts[row], file.ends[row]), at)
    at += file.ends[row]! - file.starts[row]!
    bytes[at++] = COMMA
    offsets[i + 1] = at
  })
  bytes[Math.max(1, at - 1)] = 0x5d
  return { startMs, endMs, times: Float64Array.from(kept, (entry) => entry.openMs), offsets, bytes }
}
