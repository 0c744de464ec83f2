import { allocateBatch, type BarBatch, sliceBatch } from '../../model/bar.ts'
import type { Finding } from '../../model/finding.ts'
import type { EpochMs } from '../../model/time.ts'
import { isRecord, textOf, unreadable } from '../answer.ts'
import { decimalOrNaN, isEpochMs, show } from '../read.ts'
import type { DecodedPage } from '../source.ts'

/** A candle as an array has its values in this order; as an object it has them under these names. */
const fields = ['date', 'open', 'high', 'low', 'close', 'volume', 'oi'] as const
const REQUIRED = 6

/**
 * Reads `{"status":"success","data":{"candles":[…]}}`. A candle is an array or an object, with open interest or without;
 * both may be mixed. One that cannot be read is left out and named in `badRows`. Open interest is a column as soon as one
 * candle has it, NaN for those without; a 0 stays 0.
 *
 * @throws EverybarError `source.unreadable` (quarantine) when there is no list of candles.
 */
export function readCandles(body: Uint8Array): DecodedPage {
  const candles = candlesOf(body)
  const rows = candles.map(cellsOf)
  const withInterest = rows.some((cells) => cells !== undefined && hasInterest(cells))
  const batch = allocateBatch(rows.length, withInterest ? ['openInterest'] : [])
  const badRows: Finding[] = []
  let kept = 0
  for (let i = 0; i < rows.length; i++) {
    const cells = rows[i]
    if (cells && fillRow(batch, kept, cells)) kept++
    else badRows.push(describeBadRow(cells, candles[i], i))
  }
  return { rows: sliceBatch(batch, 0, kept), badRows }
}

function candlesOf(body: Uint8Array): readonly unknown[] {
  let json: unknown
  try {
    json = JSON.parse(textOf(body))
  } catch (cause) {
    throw unreadable('it is no JSON', cause)
  }
  const candles = candlesIn(json)
  if (!candles) throw unreadable(`${show(json)} holds no list of candles`)
  return candles
}

/** The candles of a parsed answer; `undefined` where it holds none. */
export function candlesIn(json: unknown): readonly unknown[] | undefined {
  if (!isRecord(json) || !isRecord(json.data) || !Array.isArray(json.data.candles)) return undefined
  return json.data.candles
}

type Cells = readonly unknown[]

function cellsOf(candle: unknown): Cells | undefined {
  if (Array.isArray(candle)) return candle
  if (!isRecord(candle)) return undefined
  const cells = fields.map((field) => candle[field])
  return cells[REQUIRED] === undefined ? cells.slice(0, REQUIRED) : cells
}

const hasInterest = (cells: Cells): boolean => cells.length > REQUIRED

/** Writes one candle at position `k`; false when any of it is bad, and position `k` is free again. */
function fillRow(batch: BarBatch, k: number, cells: Cells): boolean {
  if (cells.length < REQUIRED) return false
  const openTimeMs = candleTime(cells[0])
  if (!isEpochMs(openTimeMs)) return false
  batch.openTimeMs[k] = openTimeMs
  // One comparison a cell: NaN is the only value that differs from itself.
  let v: number
  if ((v = batch.open[k] = decimalOrNaN(cells[1])) !== v) return false
  if ((v = batch.high[k] = decimalOrNaN(cells[2])) !== v) return false
  if ((v = batch.low[k] = decimalOrNaN(cells[3])) !== v) return false
  if ((v = batch.close[k] = decimalOrNaN(cells[4])) !== v) return false
  if ((v = batch.volume[k] = decimalOrNaN(cells[5])) !== v) return false
  const interest = batch.native.openInterest
  if (!interest) return true
  if (!hasInterest(cells)) interest[k] = Number.NaN
  else if ((v = interest[k] = decimalOrNaN(cells[REQUIRED])) !== v) return false
  return true
}

const stamp = /^(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:\.0+)?(?:Z|([+-])(\d{2}):?(\d{2}))$/

/**
 * `2017-12-15T09:15:00+0530` in epoch milliseconds; NaN for what is no time or has no offset. The 30th of February and
 * the hour 24 are none.
 */
export function candleTime(value: unknown): EpochMs {
  const match = typeof value === 'string' ? stamp.exec(value) : null
  if (!match) return Number.NaN
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    ...[number, number, number],
    ...[number, number, number],
  ]
  const local = Date.UTC(year, month - 1, day, hour, minute, second)
  const real = new Date(local)
  if (real.getUTCMonth() !== month - 1 || real.getUTCDate() !== day) return Number.NaN
  if (hour > 23 || minute > 59 || second > 59) return Number.NaN
  const offsetMs = (Number(match[8] ?? 0) * 60 + Number(match[9] ?? 0)) * 60_000
  return match[7] === '-' ? local + offsetMs : local - offsetMs
}

function describeBadRow(cells: Cells | undefined, candle: unknown, i: number): Finding {
  if (!cells) return { kind: 'bad-number', detail: `row ${i}: ${show(candle)} is no candle` }
  const openTimeMs = candleTime(cells[0])
  const where = isEpochMs(openTimeMs) ? { openTimeMs } : {}
  return { kind: 'bad-number', ...where, detail: `row ${i}: ${faultOf(cells)}` }
}

function faultOf(cells: Cells): string {
  if (cells.length < REQUIRED) return `${cells.length} columns, ${REQUIRED} or 7 expected`
  if (!isEpochMs(candleTime(cells[0]))) return `date ${show(cells[0])} is no time with an offset`
  for (let c = 1; c < Math.min(cells.length, fields.length); c++) {
    if (cells[c] === undefined) return `${fields[c]} is missing`
    if (Number.isNaN(decimalOrNaN(cells[c]))) return `${fields[c]} ${show(cells[c])} is no number`
  }
  return 'no fault found'
}
