import { type ArrowBlock, type ArrowColumn, arrowBatch, arrowHead, arrowTail } from '../loader/write/arrow.ts'
import { type BarBatch, sliceBatch } from '../model/bar.ts'
import { lakeColumns } from '../model/lake.ts'
import { type Series, seriesId } from '../model/series.ts'
import { iso, type TimeRange } from '../model/time.ts'
import { nextOpen } from '../model/timeframe.ts'
import type { OpenHouse } from './house.ts'

export const barFormats = ['json', 'csv', 'arrow'] as const
export type BarFormat = (typeof barFormats)[number]

export interface BarsRequest {
  readonly series: Series
  readonly range: TimeRange
  /** Bars at most; the first of the range. */
  readonly limit: number
  readonly format: BarFormat
  readonly signal: AbortSignal
}

/** Bars in one piece of an answer. */
const ROWS_A_PIECE = 4_096

type Column = (typeof lakeColumns)[number]

/**
 * Final bars of the lake as text or Arrow, in pieces of a few hundred kilobytes, ascending; the next one is made when it is
 * asked for. Columns are those of the lake that the first bars have.
 *
 * - `json`: `{"series":…,"columns":[…],"bars":[[…],…],"next":…}`, where `next` is the time to go on from when `limit` cut
 *   the range short, else null;
 * - `csv`: a header and a line a bar, lines end in LF; what is not known is nothing;
 * - `arrow`: an Arrow IPC file; `open_time` a timestamp in microseconds, all else float64, `close_time` as epoch
 *   milliseconds; what is not known is NaN.
 *
 * Times in text are ISO 8601 in UTC.
 *
 * @throws EverybarError `store.corrupt` (abort) naming the file.
 */
export async function* readBars(
  { lake }: Pick<OpenHouse, 'lake'>,
  request: BarsRequest,
): AsyncGenerator<Uint8Array | string> {
  const writer = { json: jsonWriter, csv: csvWriter, arrow: arrowWriter }[request.format](request.series)
  let columns: readonly Column[] | undefined
  let left = request.limit
  let lastMs: number | undefined
  let next: string | null = null
  scan: for await (const run of lake.scan(request.series, request.range, request.signal)) {
    for (let at = 0; at < run.length; at += ROWS_A_PIECE) {
      if (left === 0) {
        next = iso(nextOpen(request.series.timeframe, lastMs!))
        break scan
      }
      const batch = sliceBatch(run, at, Math.min(at + ROWS_A_PIECE, run.length, at + left))
      if (!columns) yield writer.head((columns = columnsOf(batch)))
      for (const piece of writer.rows(batch, columns)) yield piece
      left -= batch.length
      lastMs = batch.openTimeMs[batch.length - 1]
      if (left === 0 && at + batch.length < run.length) {
        next = iso(nextOpen(request.series.timeframe, lastMs!))
        break scan
      }
    }
  }
  if (!columns) yield writer.head((columns = lakeColumns.slice(0, 6)))
  yield writer.end(columns, next)
}

interface Writer {
  readonly head: (columns: readonly Column[]) => Uint8Array | string
  readonly rows: (batch: BarBatch, columns: readonly Column[]) => readonly (Uint8Array | string)[]
  readonly end: (columns: readonly Column[], next: string | null) => Uint8Array | string
}

const valuesOf = (batch: BarBatch, { field }: Column): Float64Array | undefined =>
  field in batch.native ? batch.native[field as keyof BarBatch['native']] : batch[field as 'open']

const columnsOf = (batch: BarBatch): readonly Column[] =>
  lakeColumns.filter((column) => valuesOf(batch, column) !== undefined)

/** One line a bar; what is not known is `unknown`. */
function lines(batch: BarBatch, columns: readonly Column[], unknown: string, quote: string): string[] {
  const values = columns.map((column) => valuesOf(batch, column))
  const isTime = columns.map(({ type }) => type === 'TIMESTAMP')
  return Array.from({ length: batch.length }, (_, row) =>
    values
      .map((column, c) => {
        const value = column?.[row] ?? Number.NaN
        if (!Number.isFinite(value)) return unknown
        return isTime[c] ? `${quote}${iso(value)}${quote}` : String(value)
      })
      .join(','),
  )
}

function jsonWriter(series: Series): Writer {
  let any = false
  return {
    head: (columns) =>
      `{"series":${JSON.stringify(seriesId(series))},"columns":${JSON.stringify(columns.map(({ name }) => name))},"bars":[`,
    rows: (batch, columns) => {
      if (batch.length === 0) return []
      const text = lines(batch, columns, 'null', '"')
        .map((line) => `[${line}]`)
        .join(',\n')
      const lead = any ? ',\n' : '\n'
      any = true
      return [lead + text]
    },
    end: (_, next) => `${any ? '\n' : ''}],"next":${JSON.stringify(next)}}\n`,
  }
}

const csvWriter = (): Writer => ({
  head: (columns) => `${columns.map(({ name }) => name).join(',')}\n`,
  rows: (batch, columns) => [
    lines(batch, columns, '', '')
      .map((line) => `${line}\n`)
      .join(''),
  ],
  end: () => '',
})

function arrowWriter(): Writer {
  const typeOf = ({ name }: Column) => (name === 'open_time' ? 'timestamp' : 'float64')
  const schemaOf = (columns: readonly Column[]) =>
    columns.map((column) => ({ name: column.name, type: typeOf(column) }) as const)
  const blocks: ArrowBlock[] = []
  let offset = 0
  return {
    head: (columns) => {
      const head = arrowHead(schemaOf(columns))
      offset = head.length
      return head
    },
    rows: (batch, columns) => {
      const filled = columns.map((column): ArrowColumn => {
        const values = valuesOf(batch, column) ?? new Float64Array(batch.length).fill(Number.NaN)
        return { name: column.name, type: typeOf(column), values }
      })
      const { metadata, body, bodyLength } = arrowBatch(filled, batch.length)
      blocks.push({ offset, metadataLength: metadata.length, bodyLength })
      offset += metadata.length + bodyLength
      return [metadata, ...body].filter((piece) => piece.length > 0)
    },
    end: (columns) => arrowTail(schemaOf(columns), blocks),
  }
}
