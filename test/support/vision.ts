import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { inflateRawSync } from 'node:zlib'

/** One line of the bulk archive's CSV: numbers as JavaScript reads them, times in milliseconds. */
export interface VisionRow {
  readonly openTimeMs: number
  readonly cells: readonly string[]
}

/** The months of one folder of the bulk archive, by `2017-08`. */
export function visionMonths(folder: string): Map<string, string> {
  const months = new Map<string, string>()
  for (const name of readdirSync(folder).sort()) {
    const month = /-(\d{4}-\d{2})\.zip$/.exec(name)?.[1]
    if (month) months.set(month, join(folder, name))
  }
  return months
}

/** Every row of a zipped CSV, in the file's order. Written apart from the simulator's reader, to check it too. */
export function readVision(path: string): VisionRow[] {
  const rows: VisionRow[] = []
  for (const line of unzipOnly(path).toString('utf8').split(/\r?\n/)) {
    const cells = line.split(',')
    if (cells.length < 11 || !/^\d+$/.test(cells[0]!)) continue // a header, or the last line's end
    rows.push({ openTimeMs: inMs(cells[0]!), cells })
  }
  return rows
}

/** 2025 brought microseconds: sixteen digits. */
const inMs = (text: string): number => Number(text.length > 13 ? text.slice(0, -3) : text)

/** The row as the lake ought to hold it, column by column. */
export const lakeRowOf = ({ openTimeMs, cells }: VisionRow): readonly number[] => [
  openTimeMs,
  ...cells.slice(1, 6).map(Number),
  inMs(cells[6]!),
  ...cells.slice(7, 11).map(Number),
]

/** The only file of a zip: its place is read from the central directory. */
function unzipOnly(path: string): Buffer {
  const zip = readFileSync(path)
  const end = zip.lastIndexOf('PK\x05\x06', undefined, 'latin1')
  if (end < 0 || zip.readUInt16LE(end + 10) !== 1)
    throw new Error(`${basename(path)} holds not just one file`)
  const entry = zip.readUInt32LE(end + 16)
  const at = zip.readUInt32LE(entry + 42)
  const start = at + 30 + zip.readUInt16LE(at + 26) + zip.readUInt16LE(at + 28)
  const packed = zip.subarray(start, start + zip.readUInt32LE(entry + 20))
  return zip.readUInt16LE(entry + 10) === 0 ? packed : inflateRawSync(packed)
}
