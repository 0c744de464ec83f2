import type { EpochMs } from '../model/time.ts'
import { knownBy } from '../pipeline/history.ts'
import { type OlderWindow, queryLake } from '../store/query.ts'
import { queryFormatter } from '../store/query-format.ts'
import type { AppContext, QueryOptions } from './commands.ts'
import { type OpenHouse, openHouse } from './house.ts'
import { jobsOf } from './inspect.ts'

/** Read-only SQL over the lake's view `bars`, printed piece by piece; with `asOfMs`, as it was known at that time. */
export async function query(ctx: AppContext, sql: string, options: QueryOptions): Promise<void> {
  const { asOfMs } = options
  if (asOfMs === undefined) return run(ctx, sql, options)
  const house = await openHouse({ ...ctx, access: 'read', command: 'query' })
  try {
    await run(ctx, sql, options, olderWindows(house, asOfMs))
  } finally {
    await house[Symbol.asyncDispose]()
  }
}

async function* olderWindows(house: OpenHouse, asOfMs: EpochMs): AsyncGenerator<OlderWindow> {
  for (const job of await jobsOf(house, [])) {
    for await (const window of knownBy(house, job, asOfMs)) yield { series: job.series, ...window }
  }
}

async function run(
  { config, signal }: AppContext,
  sql: string,
  { format, write }: QueryOptions,
  older?: AsyncIterable<OlderWindow>,
): Promise<void> {
  const formatter = queryFormatter(format)
  await queryLake({
    root: config.root,
    sql,
    signal,
    ...(older && { older }),
    onColumns: (columns) => write(formatter.columns(columns)),
    onRows: (rows) => write(formatter.rows(rows)),
  })
  await write(formatter.end())
}
