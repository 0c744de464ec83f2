import type { BarBatch } from '../../model/bar.ts'
import type { Series } from '../../model/series.ts'
import type { TimeRange } from '../../model/time.ts'
import { byMonth } from '../bars.ts'
import { CopyDecoder } from './copy-binary.ts'
import { layoutOf } from './layout.ts'
import type { PostgresSettings } from './options.ts'
import type { Server } from './server.ts'
import { barColumns, inRange, ofSeries, qualified, quoteName } from './sql.ts'

const ROWS_PER_RUN = 16_384

/** Bars of the series in `range`, from one snapshot, as the connection brings them: nothing is gathered. */
export async function* scanBars(
  server: Server,
  settings: PostgresSettings,
  series: Series,
  range: TimeRange,
  signal?: AbortSignal,
): AsyncGenerator<BarBatch> {
  const layout = layoutOf(series, settings)
  const time = quoteName(layout.timeColumn)
  const sql = `COPY (SELECT ${barColumns(layout)} FROM ${qualified(layout)}
    WHERE ${ofSeries(layout, series)} AND ${inRange(layout, range)} ORDER BY ${time}) TO STDOUT (FORMAT binary)`
  const decoder = new CopyDecoder(layout, ROWS_PER_RUN)
  const chunks = streamed(server, sql, signal)
  try {
    for await (const chunk of chunks) {
      for (const batch of decoder.push(chunk)) for (const { bars } of byMonth(batch)) yield bars
    }
  } catch (error) {
    if (isMissingTable(error)) return
    throw error
  }
  for (const { bars } of byMonth(decoder.end())) yield bars
}

/**
 * The bytes of a COPY, pulled through a connection that is held until the last is taken or the caller stops; one that
 * is stopped half way is closed rather than read to its end.
 */
async function* streamed(server: Server, sql: string, signal?: AbortSignal): AsyncGenerator<Buffer> {
  const loan = await server.lend(signal)
  let whole = false
  try {
    for await (const chunk of loan.session.copyOut(sql)) yield chunk as Buffer
    whole = true
  } catch (error) {
    throw loan.failure(error)
  } finally {
    loan.end(whole)
  }
}

/** A table never made holds no series. */
export const isMissingTable = (error: unknown): boolean =>
  (error as { cause?: { code?: unknown } } | undefined)?.cause?.code === '42P01'
