import { queryLake } from '../store/query.ts'
import { queryFormatter } from '../store/query-format.ts'
import type { AppContext, QueryOptions } from './commands.ts'

/** Read-only SQL over the lake's view `bars`, printed piece by piece. */
export async function query(
  { config, signal }: AppContext,
  sql: string,
  { format, write }: QueryOptions,
): Promise<void> {
  const formatter = queryFormatter(format)
  await queryLake({
    root: config.root,
    sql,
    signal,
    onColumns: (columns) => write(formatter.columns(columns)),
    onRows: (rows) => write(formatter.rows(rows)),
  })
  await write(formatter.end())
}
