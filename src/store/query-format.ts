import { printable } from '../model/text.ts'
import type { Cell, QueryColumn } from './query.ts'

export type QueryFormat = 'table' | 'csv' | 'json' | 'jsonl'

/** Turns an answer into text, piece by piece, in the order columns, rows …, end. A piece may be empty. */
export interface QueryFormatter {
  readonly columns: (columns: readonly QueryColumn[]) => string
  readonly rows: (rows: readonly (readonly Cell[])[]) => string
  readonly end: () => string
}

export function queryFormatter(format: QueryFormat): QueryFormatter {
  switch (format) {
    case 'table':
      return tableFormatter()
    case 'csv':
      return csvFormatter()
    case 'json':
      return jsonFormatter('[', ',\n ', ']\n')
    case 'jsonl':
      return jsonFormatter('', '\n', '\n')
    default:
      return format satisfies never
  }
}

/** A cell as plain text: numbers in full, NULL as nothing, lists and structs as JSON. */
function textOf(cell: Cell): string {
  if (cell === null) return ''
  return typeof cell === 'object' ? jsonOf(cell) : String(cell)
}

/**
 * JSON that loses nothing: whole numbers past 2^53 are strings, NaN and infinities too, for JSON has no such numbers.
 */
function jsonOf(cell: Cell): string {
  if (typeof cell === 'bigint') return `"${cell}"`
  if (typeof cell === 'number') return Number.isFinite(cell) ? JSON.stringify(cell) : `"${cell}"`
  if (cell === null || typeof cell !== 'object') return JSON.stringify(cell)
  if (Array.isArray(cell)) return `[${cell.map(jsonOf).join(',')}]`
  const fields = Object.entries(cell as { readonly [name: string]: Cell })
  return `{${fields.map(([name, value]) => `${JSON.stringify(name)}:${jsonOf(value)}`).join(',')}}`
}

/** Objects by column name: one array, or one object a line. */
function jsonFormatter(open: string, between: string, close: string): QueryFormatter {
  let names: string[] = []
  let any = false
  return {
    columns: (columns) => {
      names = columns.map(({ name }) => JSON.stringify(name))
      return open
    },
    rows: (rows) => {
      const objects = rows.map((row) => `{${row.map((cell, c) => `${names[c]}:${jsonOf(cell)}`).join(',')}}`)
      if (objects.length === 0) return ''
      const lead = any ? between : ''
      any = true
      return lead + objects.join(between)
    },
    end: () => (any || open !== '' ? close : ''),
  }
}

/** RFC 4180 with a header and `\n`: NULL is nothing, an empty text is `""`. */
function csvFormatter(): QueryFormatter {
  const quote = (text: string) => `"${text.replaceAll('"', '""')}"`
  const field = (text: string) => (/[",\r\n]/.test(text) ? quote(text) : text)
  const line = (cells: readonly Cell[]) =>
    cells.map((cell) => (cell === '' ? '""' : field(textOf(cell)))).join(',')
  return {
    columns: (columns) => `${columns.map(({ name }) => field(name)).join(',')}\n`,
    rows: (rows) => rows.map((row) => `${line(row)}\n`).join(''),
    end: () => '',
  }
}

/** Rows that are measured before the first line of a table is written; later, wider cells stand out. */
const MEASURED_ROWS = 1_000

/** Columns aligned, numbers to the right, a rule under the names, and how many rows there were. */
function tableFormatter(): QueryFormatter {
  let columns: readonly QueryColumn[] = []
  let held: string[][] = []
  let widths: number[] | undefined
  let count = 0
  const isNumber = ({ type }: QueryColumn) =>
    /^(?:U?(?:TINY|SMALL|BIG|HUGE)?INT(?:EGER)?|DOUBLE|FLOAT|DECIMAL.*|BIGNUM)$/.test(type)
  const line = (cells: readonly string[]) =>
    cells
      .map((text, c) => {
        const padding = ' '.repeat(Math.max(0, widths![c]! - widthOf(text)))
        return isNumber(columns[c]!) ? padding + text : text + padding
      })
      .join('  ')
      .trimEnd()
  const flush = () => {
    let head: string[] = []
    if (!widths) {
      const names = columns.map(({ name }) => shown(name))
      widths = names.map((name, c) =>
        held.reduce((most, row) => Math.max(most, widthOf(row[c]!)), widthOf(name)),
      )
      head = [line(names), widths.map((width) => '─'.repeat(width)).join('  ')]
    }
    const lines = [...head, ...held.map(line)]
    held = []
    return lines.length === 0 ? '' : `${lines.join('\n')}\n`
  }
  return {
    columns: (given) => {
      columns = given
      return ''
    },
    rows: (rows) => {
      count += rows.length
      for (const row of rows) held.push(...linesOf(row))
      return widths || held.length >= MEASURED_ROWS ? flush() : ''
    },
    end: () => `${flush()}(${count} ${count === 1 ? 'row' : 'rows'})\n`,
  }
}

/** A row as lines: one, unless a text has several, as a query plan does. */
function linesOf(row: readonly Cell[]): string[][] {
  const cells = row.map((cell) => (cell === null ? ['·'] : textOf(cell).trimEnd().split('\n')))
  const height = cells.reduce((most, lines) => Math.max(most, lines.length), 1)
  return Array.from({ length: height }, (_, i) => cells.map((lines) => shown(lines[i] ?? '')))
}

/** Text that can move no cursor and break no line. */
const shown = (text: string): string => printable(text).replace(/[\t\n]/g, '\ufffd')

/** Columns a text takes on a terminal: two for East Asian wide characters. */
function widthOf(text: string): number {
  let width = 0
  for (const char of text)
    width +=
      /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6]/.test(
        char,
      )
        ? 2
        : 1
  return width
}
