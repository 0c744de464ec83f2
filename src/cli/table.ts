import { printable } from '../model/text.ts'

/** A column: its heading, and whether its cells are numbers, which line up on the right. */
export type Column = string | { readonly heading: string; readonly align: 'right' }

/** Rows under headings, columns two spaces apart, no trailing blanks. Only the headings when there are no rows. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const headings = columns.map((column) => (typeof column === 'string' ? column : column.heading))
  const lines = [headings, ...rows.map((row) => row.map((cell) => printable(cell).replace(/\s+/g, ' ')))]
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)))
  return lines
    .map((line) =>
      line
        .map((cell, i) =>
          typeof columns[i] === 'string' ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

export const right = (heading: string): Column => ({ heading, align: 'right' })

/** Comma-separated, RFC 4180, with a header row; lines end in LF. */
export const csv = (headings: readonly string[], rows: readonly (readonly (string | number)[])[]): string =>
  [headings, ...rows].map((row) => row.map((cell) => field(String(cell))).join(',')).join('\n')

const field = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)
