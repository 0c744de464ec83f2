import type { Cell, QueryColumn } from '../store/query.ts'
import { queryLake } from '../store/query.ts'
import type {
  CompactReport,
  Gap,
  PlanReport,
  RebuildReport,
  RepairReport,
  SeriesStatus,
  SyncReport,
  VerifyReport,
} from './api.ts'
import * as commands from './commands.ts'
import {
  contextOf,
  type LibraryOptions,
  type SelectionOptions,
  selectionNamed,
  selectionOf,
} from './library-options.ts'
import type { RebuildOptions } from './rebuild.ts'

/** Makes the series complete, once: fetches what is missing, keeps the answers, writes the bars to the stores. */
export async function sync(options: SelectionOptions): Promise<SyncReport> {
  const context = contextOf(options)
  return commands.sync(context, await selectionNamed(context, options))
}

/** What `sync` would do. Writes nothing. */
export async function plan(options: SelectionOptions): Promise<PlanReport> {
  const context = contextOf(options)
  return commands.plan(context, await selectionNamed(context, options))
}

/** What is known of the series named, or of all there are. Asks nobody, writes nothing. */
export async function status(options: SelectionOptions = {}): Promise<readonly SeriesStatus[]> {
  const context = contextOf(options)
  return commands.status(context, await namedOnly(context, options))
}

/** Every run of missing bars, with its class and evidence. Asks nobody, writes nothing. */
export async function gaps(options: SelectionOptions = {}): Promise<readonly Gap[]> {
  const context = contextOf(options)
  return commands.gaps(context, await namedOnly(context, options))
}

/**
 * Proof from stored bytes: every archived answer and every lake file is hashed, the ledger and the gaps in the lake are
 * held against each other; `deep` decodes every answer again. Asks nobody, writes nothing.
 */
export async function verify(
  options: SelectionOptions & { readonly deep?: boolean } = {},
): Promise<VerifyReport> {
  const context = contextOf(options)
  return commands.verify(context, await namedOnly(context, options), options)
}

/** Mends what `verify` finds and nothing else, then proves again. With `dryRun` it only says what it would do. */
export async function repair(
  options: SelectionOptions & { readonly dryRun?: boolean } = {},
): Promise<RepairReport> {
  const context = contextOf(options)
  const { dryRun = false } = options
  return commands.repair(context, await namedOnly(context, options), { dryRun })
}

/** Makes the ledger, the lake or a store again from the archive alone. Asks nobody. */
export async function rebuild(options: LibraryOptions & RebuildOptions): Promise<RebuildReport> {
  return commands.rebuild(contextOf(options), options)
}

/** Folds what was appended to the lake while a market was followed live into its month files. Asks nobody. */
export async function compact(options: LibraryOptions = {}): Promise<CompactReport> {
  return commands.compact(contextOf(options))
}

/** Reading functions speak of all series there are, unless some are named. */
const namedOnly = (context: commands.AppContext, options: SelectionOptions) =>
  selectionOf({ ...context, config: { ...context.config, series: [] } }, options)

export interface QueryOptions extends LibraryOptions {
  /** One SELECT over the view `bars`. */
  readonly sql: string
}

export interface QueryAnswer {
  readonly columns: readonly QueryColumn[]
  /** By column name; of two columns with one name the later is kept. */
  readonly rows: readonly { readonly [column: string]: Cell }[]
}

/** Read-only SQL over the lake, the whole answer in memory. Throws as `queryLake` does. */
export async function query(options: QueryOptions): Promise<QueryAnswer> {
  const { config, signal } = contextOf(options)
  let columns: readonly QueryColumn[] = []
  const rows: { [column: string]: Cell }[] = []
  await queryLake({
    root: config.root,
    sql: options.sql,
    signal,
    onColumns: (found) => {
      columns = found
    },
    onRows: (found) => {
      for (const cells of found)
        rows.push(Object.fromEntries(columns.map(({ name }, i) => [name, cells[i]!])))
    },
  })
  return { columns, rows }
}
