import type { BarBatch } from '../model/bar.ts'
import type { Series } from '../model/series.ts'
import type { TimeRange } from '../model/time.ts'

/** A column of an answer, as DuckDB names it. */
export interface QueryColumn {
  readonly name: string
  /** `DOUBLE`, `TIMESTAMP`, `BIGINT`, `VARCHAR`, `DECIMAL(18,3)`, `STRUCT(…)` … */
  readonly type: string
}

/**
 * A value of an answer. Whole numbers past 2^53 are bigints; decimals that a number cannot hold exactly are text; times
 * are ISO 8601, UTC, with `Z`, dates `2024-03-05`; lists are arrays and structs are objects; the rest is DuckDB's text.
 */
export type Cell =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly Cell[]
  | { readonly [name: string]: Cell }

/** Bars of a series that open in `range`, as they were known at an earlier time. */
export interface OlderWindow {
  readonly series: Series
  readonly range: TimeRange
  readonly bars: BarBatch
}

export interface LakeQuery {
  /** The data root; the lake is under `<root>/lake`. A root without a lake has the view, with no rows. */
  readonly root: string
  /** One SELECT (or DESCRIBE, SUMMARIZE, SHOW, EXPLAIN) in DuckDB's SQL. */
  readonly sql: string
  /** Called once, before any row. */
  readonly onColumns?: (columns: readonly QueryColumn[]) => void | Promise<void>
  /** Rows in order, up to 2,048 at a time; the next ones are made when it resolves. */
  readonly onRows: (rows: readonly (readonly Cell[])[]) => void | Promise<void>
  /** Windows where the view shows these bars and not the lake's: what was known at an earlier time. */
  readonly older?: AsyncIterable<OlderWindow>
  readonly signal?: AbortSignal
  /** DuckDB's own limit, `2GB`; its default is most of the machine. Larger work spills to the temporary folder. */
  readonly memoryLimit?: string
}

/**
 * Runs one read-only query over the lake's view `bars`: `venue, market, symbol, timeframe, price`, then the lake's columns
 * (`open_time, open, high, low, close, volume, close_time, quote_volume, trades, …`, NULL where a venue has none). Rows
 * come in no order unless the query says one. Only the lake's files can be read; nothing can be written, set, attached or
 * installed.
 *
 * @returns how many rows there were.
 * @throws EverybarError (abort) `root.not-found`, `query.not-a-select`, `query.bad-sql` with DuckDB's message,
 *   `query.not-allowed`, `query.out-of-memory`, `store.corrupt`, `store.disk-full` where a large sort spills; the reason of `signal` when it aborts.
 */
export async function queryLake(query: LakeQuery): Promise<number> {
  const { runQuery } = await import('./parquet/run-query.ts')
  return runQuery(query)
}
