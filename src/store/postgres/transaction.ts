import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { BarBatch } from '../../model/bar.ts'
import { EverybarError } from '../../model/errors.ts'
import type { Series } from '../../model/series.ts'
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

/** The bars as arrays, one for each column: times, then values. */
export function unnestValues(layout: TableLayout, batch: BarBatch): unknown[][] {
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

/** As `writeParts`, by the range of the bars: all the others are written. */
async function writeAround(
  session: Session,
  batch: BarBatch,
  statement: (range: TimeRange) => Promise<readonly UpsertRow[]>,
): Promise<Written> {
  const { done, refused } = await writeParts(session, batch.length, async (from, to) =>
    summary(await statement({ startMs: batch.openTimeMs[from]!, endMs: batch.openTimeMs[to - 1]! + 1 })),
  )
  return {
    inserted: done.reduce((sum, part) => sum + part.inserted, 0),
    revised: done.reduce((sum, part) => sum + part.revised, 0),
    revisedAtMs: done.flatMap((part) => part.revisedAtMs).slice(0, 100),
    setAside: refused.map(({ at, reason }) => ({ openTimeMs: batch.openTimeMs[at]!, reason })),
  }
}

/** A row the table refused, and the server's words. */
export interface RefusedRow {
  readonly at: number
  readonly reason: string
}

/**
 * Writes rows in halves until every one the table refuses stands alone, and leaves those out. All the others are written.
 *
 * @param write rows `from` up to `to`, by position.
 */
export async function writeParts<T>(
  session: Session,
  rows: number,
  write: (from: number, to: number) => Promise<T>,
): Promise<{ readonly done: readonly T[]; readonly refused: readonly RefusedRow[] }> {
  const done: T[] = []
  const refused: RefusedRow[] = []
  const attempt = async (from: number, to: number): Promise<void> => {
    await session.query('SAVEPOINT part')
    try {
      done.push(await write(from, to))
      await session.query('RELEASE SAVEPOINT part')
    } catch (error) {
      if (!refusedRow(error)) throw error
      await session.query('ROLLBACK TO SAVEPOINT part')
      if (to - from > 1) {
        const middle = (from + to) >>> 1
        await attempt(from, middle)
        return attempt(middle, to)
      }
      if (refused.length === SET_ASIDE_MAX) throw tooMany(error)
      refused.push({ at: from, reason: (error as Error).message })
    }
  }
  await attempt(0, rows)
  return { done, refused }
}

const tooMany = (cause: unknown): EverybarError =>
  new EverybarError('store.constraint', `more than ${SET_ASIDE_MAX} bars are refused by the table`, {
    recovery: 'abort',
    hint: 'So many bars at fault are a fault of the constraint: look at the checks and triggers on the table.',
    cause: new Error((cause as Error).message),
  })
