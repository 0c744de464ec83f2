import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { BarBatch } from '../../model/bar.ts'
import { EverybarError } from '../../model/errors.ts'
import { type Series, seriesId } from '../../model/series.ts'
import type { EpochMs, TimeRange } from '../../model/time.ts'
import { columnOf } from '../common/misfits.ts'
import type { SetAsideBar } from '../store.ts'
import { encodeCopy } from './copy-binary.ts'
import { refusedRow } from './failures.ts'
import type { TableLayout } from './layout.ts'
import type { Session } from './server.ts'
import {
  barColumns,
  createStage,
  inRange,
  ofSeries,
  qualified,
  quoteText,
  removeOthers,
  STAGE,
  unnested,
  upsert,
  upsertByJoin,
  writtenColumns,
} from './sql.ts'
import type { ReadyTable } from './tables.ts'

/** Bars up to this many go along with the statement; a table for so few costs more than it saves. */
const UNNEST_ROWS_MAX = 500
/** Refused bars to set aside before it is the constraint that is taken to be wrong. */
const SET_ASIDE_MAX = 100

export interface Written {
  /** The server has said that it took every bar. */
  readonly counted?: boolean
  readonly inserted: number
  readonly revised: number
  readonly revisedAtMs: readonly EpochMs[]
  readonly setAside: readonly SetAsideBar[]
}

export interface Work {
  readonly table: ReadyTable
  readonly series: Series
  readonly batch: BarBatch
  /** Where given, bars in it that the batch lacks are removed. */
  readonly replaces?: TimeRange
  /** A row was refused before: look up every row, and find those at fault. */
  readonly staged: boolean
}

/** From the first bar to just after the last. Not for empty batches. */
export const spanOf = ({ openTimeMs, length }: BarBatch): TimeRange => ({
  startMs: openTimeMs[0]!,
  endMs: openTimeMs[length - 1]! + 1,
})

/**
 * Opens the transaction, takes the lock of the series so that two writers of one never cross, and names the
 * transaction, so that its outcome can be asked for when the answer to COMMIT is lost.
 */
export async function begin(
  session: Session,
  { table, series }: Work,
  statementTimeoutMs: number,
): Promise<string> {
  const lock = quoteText(`everybar ${qualified(table.layout)} ${seriesId(series)}`)
  const unlimited = table.hypertable
    ? `SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0;`
    : ''
  const [row] = await session.query<{ xid: string }>(
    `BEGIN; SET LOCAL statement_timeout = ${Math.round(statementTimeoutMs)};
     SET LOCAL standard_conforming_strings = on; ${unlimited}
     SELECT pg_advisory_xact_lock(hashtextextended(${lock}, 0)); SELECT pg_current_xact_id()::text AS xid`,
  )
  return row!.xid
}

/** Writes the batch within the open transaction. */
export async function write(session: Session, work: Work): Promise<Written> {
  const { table, series, batch, replaces } = work
  if (batch.length === 0) {
    await stage(session, work)
    await session.query(removeOthers(table.layout, series, replaces!))
    return { inserted: 0, revised: 0, revisedAtMs: [], setAside: [] }
  }
  if (!work.staged && (await isEmpty(session, work))) return copyDirect(session, work)
  const few = batch.length <= UNNEST_ROWS_MAX && !replaces
  if (!few) await stage(session, work)
  if (replaces) await session.query(removeOthers(table.layout, series, replaces))
  if (!few && !work.staged && !table.hypertable) return joinStaged(session, work)
  const source = few ? unnested(table.layout) : STAGE
  const values = few ? unnestValues(table.layout, batch) : undefined
  const statement = (range: TimeRange) =>
    session.query<UpsertRow>(upsert(table.layout, series, source, range), values)
  return work.staged ? writeAround(session, batch, statement) : summary(await statement(spanOf(batch)))
}

interface UpsertRow {
  readonly inserted: number
  readonly revised: number
  readonly revised_at: readonly number[] | null
}

const summary = ([row]: readonly UpsertRow[], setAside: readonly SetAsideBar[] = []): Written => ({
  inserted: row!.inserted,
  revised: row!.revised,
  revisedAtMs: (row!.revised_at ?? []).map(Math.round),
  setAside,
})

async function isEmpty(session: Session, { table, series, batch, replaces }: Work): Promise<boolean> {
  const { layout } = table
  const range = replaces ?? spanOf(batch)
  const [row] = await session.query<{ filled: boolean }>(
    `SELECT EXISTS (SELECT FROM ${qualified(layout)} WHERE ${ofSeries(layout, series)} AND ${inRange(layout, range)}) AS filled`,
  )
  return !row!.filled
}

/** Nothing is there, so nothing can be in the way: straight into the table. */
async function copyDirect(session: Session, { table, series, batch }: Work): Promise<Written> {
  const { layout } = table
  const sql = `COPY ${qualified(layout)} (${writtenColumns(layout)}) FROM STDIN (FORMAT binary)`
  const copy = session.copyIn(sql)
  await pipeline(Readable.from(encodeCopy(layout, batch, series)), copy)
  return {
    counted: copy.rowCount === batch.length,
    inserted: batch.length,
    revised: 0,
    revisedAtMs: [],
    setAside: [],
  }
}

async function joinStaged(session: Session, { table, series, batch }: Work): Promise<Written> {
  // The server knows nothing of the staging table's contents, and little of a range just written: a loop it might take
  // to be short would compare every row with every other.
  await session.query('SET LOCAL enable_nestloop = off')
  return summary(await session.query<UpsertRow>(upsertByJoin(table.layout, series, spanOf(batch))))
}

async function stage(session: Session, { table, batch }: Work): Promise<void> {
  await session.query(createStage(table.layout))
  if (batch.length === 0) return
  const sql = `COPY ${STAGE} (${barColumns(table.layout)}) FROM STDIN (FORMAT binary)`
  await pipeline(Readable.from(encodeCopy(table.layout, batch)), session.copyIn(sql))
}

function unnestValues(layout: TableLayout, batch: BarBatch): unknown[] {
  const times = Array.from(batch.openTimeMs, (ms) => new Date(ms).toISOString())
  const columns = layout.values.map((column) => {
    const from = columnOf(batch, column.field)
    return Array.from({ length: batch.length }, (_, i) => {
      const value = from?.[i] ?? Number.NaN
      if (Number.isNaN(value) && !column.required) return null
      return column.type === 'timestamptz' ? new Date(value).toISOString() : value
    })
  })
  return [times, ...columns]
}

/**
 * Writes in halves until every bar the table refuses stands alone, and sets those aside with the server's words. All
 * the others are written.
 */
async function writeAround(
  session: Session,
  batch: BarBatch,
  statement: (range: TimeRange) => Promise<readonly UpsertRow[]>,
): Promise<Written> {
  const setAside: SetAsideBar[] = []
  const parts: Written[] = []
  const attempt = async (from: number, to: number): Promise<void> => {
    const range = { startMs: batch.openTimeMs[from]!, endMs: batch.openTimeMs[to - 1]! + 1 }
    await session.query('SAVEPOINT part')
    try {
      parts.push(summary(await statement(range)))
      await session.query('RELEASE SAVEPOINT part')
    } catch (error) {
      if (!refusedRow(error)) throw error
      await session.query('ROLLBACK TO SAVEPOINT part')
      if (to - from > 1) {
        const middle = (from + to) >>> 1
        await attempt(from, middle)
        return attempt(middle, to)
      }
      if (setAside.length === SET_ASIDE_MAX) throw tooMany(error)
      setAside.push({ openTimeMs: range.startMs, reason: (error as Error).message })
    }
  }
  await attempt(0, batch.length)
  return {
    inserted: parts.reduce((sum, part) => sum + part.inserted, 0),
    revised: parts.reduce((sum, part) => sum + part.revised, 0),
    revisedAtMs: parts.flatMap((part) => part.revisedAtMs).slice(0, 100),
    setAside,
  }
}

const tooMany = (cause: unknown): EverybarError =>
  new EverybarError('store.constraint', `more than ${SET_ASIDE_MAX} bars are refused by the table`, {
    recovery: 'abort',
    hint: 'So many bars at fault are a fault of the constraint: look at the checks and triggers on the table.',
    cause: new Error((cause as Error).message),
  })
