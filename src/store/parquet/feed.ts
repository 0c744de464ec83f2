import type { DuckDBConnection } from '@duckdb/node-api'

/** Rows in one of DuckDB's chunks. */
const CHUNK_ROWS = 2_048

/** Columns of numbers that DuckDB reads like a table. */
export interface Feed {
  readonly names: readonly string[]
  readonly columns: readonly Float64Array[]
  readonly length: number
}

/**
 * Lets SQL of this instance read feeds: `everybar_feed(<number>)`, every column DOUBLE. Nothing is staged: DuckDB takes
 * the rows out of the columns, a chunk at a time.
 */
export function registerFeed(
  { DuckDBTableFunction, DOUBLE, INTEGER }: typeof import('@duckdb/node-api'),
  connection: DuckDBConnection,
  feedOf: (id: number) => Feed,
): void {
  connection.registerTableFunction(
    DuckDBTableFunction.create({
      name: 'everybar_feed',
      parameterTypes: [INTEGER],
      bindFunction: (info) => {
        const id = Number(info.getParameter(0))
        for (const name of feedOf(id).names) info.addResultColumn(name, DOUBLE)
        info.setCardinality(feedOf(id).length, true)
        info.setBindData({ id })
      },
      initFunction: (info) => info.setInitData({ at: 0 }),
      mainFunction: (info, chunk) => {
        const feed = feedOf((info.bindData as { id: number }).id)
        const scan = info.initData as { at: number }
        const rows = Math.min(CHUNK_ROWS, feed.length - scan.at)
        chunk.rowCount = rows
        if (rows === 0) return
        feed.columns.forEach((column, c) => {
          const vector = chunk.getColumnVector(c) as unknown as { items: Float64Array; flush(): void }
          const { items } = vector
          // Adding 0 makes −0 a plain 0; NaN becomes NULL in `fromDouble`.
          for (let i = 0; i < rows; i++) items[i] = column[scan.at + i]! + 0
          vector.flush()
        })
        scan.at += rows
      },
    }),
  )
}
