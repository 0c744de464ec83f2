import { gunzipSync } from 'node:zlib'
import type { InstrumentLine } from '../../model/instrument-line.ts'
import { textOf, unreadable } from '../answer.ts'
import { decimalOrNaN, show } from '../read.ts'

export interface InstrumentDump {
  readonly instruments: readonly InstrumentLine[]
  /** Lines that could not be read, with their number, the first hundred. */
  readonly badLines: readonly { readonly line: number; readonly detail: string }[]
  readonly badCount: number
}

const columns = [
  ...['instrument_token', 'exchange_token', 'tradingsymbol', 'name', 'last_price', 'expiry', 'strike'],
  ...['tick_size', 'lot_size', 'instrument_type', 'segment', 'exchange'],
] as const
const BAD_TOLD = 100
/** Unpacked; the list of every exchange takes about 12 MB. */
const BYTES_MAX = 256 * 1024 * 1024

export const isZipped = (body: Uint8Array): boolean => body[0] === 0x1f && body[1] === 0x8b

/** Whether text begins like the list: a header line that names the columns a series needs. */
export const isInstrumentCsv = (start: string): boolean =>
  /^﻿?instrument_token,[^\n]*\btradingsymbol\b/.test(start)

/**
 * Reads the list, zipped or not. Columns are found by the header's names, so that new ones do no harm. A line that is too
 * short, or has no token, symbol or exchange, is left out and counted; blank lines are nothing.
 *
 * @throws EverybarError `source.unreadable` (quarantine) when it is no such list, or unpacks to more than 256 MB.
 */
export function readInstruments(body: Uint8Array): InstrumentDump {
  const text = unzipped(body)
  if (!isInstrumentCsv(text.slice(0, 512)))
    throw unreadable(`${show(text.slice(0, 60))} is no list of instruments`)
  const instruments: InstrumentLine[] = []
  const badLines: { line: number; detail: string }[] = []
  let badCount = 0
  let at: Readonly<Record<(typeof columns)[number], number>> | undefined
  let line = 0
  for (const row of linesOf(text)) {
    line++
    if (row.trim() === '') continue
    const cells = cellsOf(row)
    if (!at) {
      at = headerOf(cells)
      continue
    }
    const read = readLine(cells, at)
    if (typeof read !== 'string') instruments.push(read)
    else if (++badCount <= BAD_TOLD) badLines.push({ line, detail: read })
  }
  return { instruments, badLines, badCount }
}

function unzipped(body: Uint8Array): string {
  if (!isZipped(body)) return textOf(body)
  try {
    return textOf(gunzipSync(body, { maxOutputLength: BYTES_MAX }))
  } catch (cause) {
    throw unreadable('the list of instruments does not unpack', cause)
  }
}

function* linesOf(text: string): Generator<string> {
  for (let from = 0; from < text.length; ) {
    const end = text.indexOf('\n', from)
    const to = end < 0 ? text.length : end
    yield text.slice(from, text[to - 1] === '\r' ? to - 1 : to)
    from = to + 1
  }
}

/** The cells of one line. Names may hold commas within quotes. */
function cellsOf(row: string): string[] {
  if (!row.includes('"')) return row.split(',')
  const cells: string[] = []
  const cell = /(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g
  for (const match of row.matchAll(cell)) cells.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? '')
  return cells
}

function headerOf(cells: readonly string[]): Readonly<Record<(typeof columns)[number], number>> {
  const names = cells.map((cell) => cell.replace(/^﻿/, '').trim())
  return Object.fromEntries(columns.map((name) => [name, names.indexOf(name)])) as Record<
    (typeof columns)[number],
    number
  >
}

/** The instrument of a line, or what is wrong with it. */
function readLine(
  cells: readonly string[],
  at: Readonly<Record<(typeof columns)[number], number>>,
): InstrumentLine | string {
  const text = (name: (typeof columns)[number]): string => cells[at[name]]?.trim() ?? ''
  const token = text('instrument_token')
  const symbol = text('tradingsymbol')
  const exchange = text('exchange')
  if (!/^[1-9]\d{0,18}$/.test(token)) return `instrument_token ${show(token)} is no number`
  if (symbol === '' || hasControls(symbol)) return `tradingsymbol ${show(symbol)} names nothing`
  if (!/^[A-Z][A-Z0-9]{1,9}$/.test(exchange)) return `exchange ${show(exchange)} names none`
  const expiry = text('expiry')
  if (expiry !== '' && !/^\d{4}-\d{2}-\d{2}$/.test(expiry)) return `expiry ${show(expiry)} is no date`
  return {
    token,
    exchangeToken: text('exchange_token'),
    symbol,
    name: text('name'),
    expiry: expiry === '' ? null : expiry,
    strike: orZero(text('strike')),
    tickSize: orZero(text('tick_size')),
    lotSize: orZero(text('lot_size')),
    type: text('instrument_type'),
    segment: text('segment'),
    exchange,
  }
}

/** Figures no bar depends on: what cannot be read is 0, as the venue writes what it does not know. */
const orZero = (text: string): number => {
  const value = decimalOrNaN(text)
  return Number.isNaN(value) ? 0 : value
}

function hasControls(text: string): boolean {
  for (const char of text) if (char < ' ' || char === '\u007f') return true
  return false
}
