import type { BarBatch } from '../../model/bar.ts'
import { type OnEvent, silent } from '../../model/events.ts'
import type { Series } from '../../model/series.ts'
import { monthOf, type TimeRange } from '../../model/time.ts'
import { checkBatch, checkEntries, checkWithin, nothingChanged } from '../bars.ts'
import type { AppendEntry, CommitResult, Store, StoredExtent, StoreTraits } from '../store.ts'
import { appendEntries, keepOpen } from './append.ts'
import { commitBatch } from './commit.ts'
import { barsLayout, layoutOf, openLayout, type TableLayout } from './layout.ts'
import { type PostgresSettings, type PostgresStoreOptions, settingsOf, targetOf } from './options.ts'
import { isMissingTable, scanBars } from './scan.ts'
import type { SchemaPlan } from './schema.ts'
import { Server } from './server.ts'
import { ofSeries, qualified, quoteName } from './sql.ts'
import { Tables } from './tables.ts'
import { refreshAggregate } from './timescale.ts'
import type { Writer } from './transact.ts'
import { spanOf } from './transaction.ts'

const traits: StoreTraits = { kind: 'postgres', rowsPerCommit: 50_000, rewritesMonths: false }

/** Bars in PostgreSQL, with TimescaleDB where it is. */
export interface PostgresStore extends Store {
  /**
   * The SQL that would make the tables `series` are kept in (`bars` for none), as data; reads only.
   *
   * @throws EverybarError `store.schema` (abort) naming how a table that is there differs.
   */
  planSchema(series?: readonly Series[]): Promise<SchemaPlan>
  /** Runs that SQL and says what it ran. A repeat runs nothing. */
  applySchema(series?: readonly Series[]): Promise<SchemaPlan>
  /** Refreshes the continuous aggregates where bars were committed since the last call; nothing without any. */
  refreshAggregates(): Promise<void>
}

/**
 * A store on a PostgreSQL server. Connects and makes its tables at first use.
 *
 * @throws EverybarError `store.bad-option` (abort).
 */
export async function openPostgresStore(options: PostgresStoreOptions): Promise<PostgresStore> {
  return new OpenPostgresStore(options)
}

class OpenPostgresStore implements PostgresStore {
  readonly traits = traits
  readonly name: string
  readonly target: string
  readonly provisional?: Store['provisional'] & {}
  readonly #settings: PostgresSettings
  readonly #server: Server
  readonly #tables: Tables
  readonly #writer: Writer
  #dirty: TimeRange | undefined

  constructor(options: PostgresStoreOptions) {
    const onEvent: OnEvent = options.onEvent ?? silent
    this.name = options.name
    this.#settings = settingsOf(options)
    this.target = targetOf(options, this.#settings)
    this.#server = new Server(options)
    this.#tables = new Tables(this.#server, this.#settings, onEvent)
    this.#writer = { server: this.#server, tables: this.#tables, settings: this.#settings, onEvent }
    if (this.#settings.provisional) {
      this.provisional = async (entries, signal) => {
        checkEntries(entries)
        signal?.throwIfAborted()
        if (entries.length > 0) await keepOpen(this.#writer, entries, signal)
      }
    }
  }

  async commit(series: Series, batch: BarBatch, signal?: AbortSignal): Promise<CommitResult> {
    checkBatch(batch)
    if (batch.length === 0) return nothingChanged
    const result = await commitBatch(this.#writer, { series, batch }, signal)
    if (result.inserted + result.revised > 0) this.#touch(spanOf(batch))
    return result
  }

  async append(entries: readonly AppendEntry[], signal?: AbortSignal): Promise<readonly CommitResult[]> {
    checkEntries(entries)
    signal?.throwIfAborted()
    const filled = entries.filter(({ batch }) => batch.length > 0)
    if (filled.length === 0) return entries.map(() => nothingChanged)
    const found = await appendEntries(this.#writer, filled, signal)
    const results = new Map(filled.map((entry, i) => [entry, found[i]!]))
    for (const [{ batch }, { inserted, revised }] of results)
      if (inserted + revised > 0) this.#touch(spanOf(batch))
    return entries.map((entry) => results.get(entry) ?? nothingChanged)
  }

  async replace(
    series: Series,
    range: TimeRange,
    batch: BarBatch,
    signal?: AbortSignal,
  ): Promise<CommitResult> {
    checkBatch(batch)
    checkWithin(batch, range)
    const result = await commitBatch(this.#writer, { series, batch, replaces: range }, signal)
    this.#touch(range)
    return result
  }

  scan(series: Series, range: TimeRange, signal?: AbortSignal): AsyncIterable<BarBatch> {
    return scanBars(this.#server, this.#settings, series, range, signal)
  }

  async extent(series: Series): Promise<StoredExtent | undefined> {
    const layout = layoutOf(series, this.#settings)
    const time = `extract(epoch FROM ${quoteName(layout.timeColumn)})::float8 * 1000`
    try {
      const [row] = await this.#server.run((session) =>
        session.query<{ rows: number; first: number; last: number }>(
          `SELECT count(*)::float8 AS rows, min(${time}) AS first, max(${time}) AS last
           FROM ${qualified(layout)} WHERE ${ofSeries(layout, series)}`,
        ),
      )
      if (row!.rows === 0) return undefined
      return { rows: row!.rows, firstMs: Math.round(row!.first), lastMs: Math.round(row!.last) }
    } catch (error) {
      if (isMissingTable(error)) return undefined
      throw error
    }
  }

  planSchema(series: readonly Series[] = []): Promise<SchemaPlan> {
    return this.#tables.plan(this.#layouts(series))
  }

  applySchema(series: readonly Series[] = []): Promise<SchemaPlan> {
    return this.#tables.apply(this.#layouts(series))
  }

  async refreshAggregates(): Promise<void> {
    const dirty = this.#dirty
    if (!dirty || this.#settings.aggregates.length === 0) return
    const { hypertable } = await this.#tables.ready(barsLayout(this.#settings))
    this.#dirty = undefined
    if (!hypertable) return
    // Whole months, so that the buckets at both ends are refreshed as well.
    const range = { startMs: monthOf(dirty.startMs).startMs, endMs: monthOf(dirty.endMs).endMs }
    for (const aggregate of this.#settings.aggregates) {
      await this.#server.run((session) =>
        session.command(refreshAggregate(this.#settings.schema, aggregate, range)),
      )
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.refreshAggregates()
    } finally {
      await this.#server.close()
    }
  }

  #layouts(series: readonly Series[]): TableLayout[] {
    const layouts = series.map((one) => layoutOf(one, this.#settings))
    if (layouts.length === 0) layouts.push(barsLayout(this.#settings))
    if (this.#settings.provisional) layouts.push(openLayout(this.#settings))
    return [...new Map(layouts.map((layout) => [layout.kind, layout])).values()]
  }

  #touch(range: TimeRange): void {
    const { startMs, endMs } = this.#dirty ?? range
    this.#dirty = { startMs: Math.min(startMs, range.startMs), endMs: Math.max(endMs, range.endMs) }
  }
}
