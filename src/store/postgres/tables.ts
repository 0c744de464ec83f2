import { EverybarError } from '../../model/errors.ts'
import type { OnEvent } from '../../model/events.ts'
import { type EpochMs, monthOf } from '../../model/time.ts'
import { findTable, serverFacts } from './inspect.ts'
import type { TableLayout } from './layout.ts'
import type { PostgresSettings } from './options.ts'
import { planTable, type SchemaPlan } from './schema.ts'
import type { Server, Session } from './server.ts'
import { qualified, quoteName, quoteText, quoteTime } from './sql.ts'

/** A table that is ready to be written. */
export interface ReadyTable {
  readonly layout: TableLayout
  readonly partitioned: boolean
  readonly hypertable: boolean
}

/** Sees to it that tables and partitions are there, once each. */
export class Tables {
  readonly #server: Server
  readonly #settings: PostgresSettings
  readonly #onEvent: OnEvent
  readonly #ready = new Map<string, Promise<ReadyTable>>()
  readonly #partitions = new Set<string>()

  constructor(server: Server, settings: PostgresSettings, onEvent: OnEvent) {
    this.#server = server
    this.#settings = settings
    this.#onEvent = onEvent
  }

  /** What is to be done for `layouts`; reads only. */
  plan(layouts: readonly TableLayout[]): Promise<SchemaPlan> {
    return this.#server.run(async (session) => {
      const facts = await serverFacts(session)
      const plans: SchemaPlan[] = []
      for (const layout of layouts) {
        plans.push(planTable(layout, this.#settings, facts, await findTable(session, layout, facts)))
      }
      return {
        statements: plans.flatMap(({ statements }) => statements),
        notes: plans.flatMap(({ notes }) => notes),
      }
    })
  }

  /** Runs what is to be done, one process at a time, and says what it ran. */
  async apply(layouts: readonly TableLayout[]): Promise<SchemaPlan> {
    const plans: SchemaPlan[] = []
    for (const layout of layouts) plans.push(await this.#apply(layout))
    return {
      statements: plans.flatMap(({ statements }) => statements),
      notes: plans.flatMap(({ notes }) => notes),
    }
  }

  /** The table of `layout`, made if need be, looked at once. */
  ready(layout: TableLayout): Promise<ReadyTable> {
    const known = this.#ready.get(layout.kind)
    if (known) return known
    const making = this.#make(layout)
    this.#ready.set(layout.kind, making)
    making.catch(() => this.#ready.delete(layout.kind))
    return making
  }

  /** Forgets what it knows: the table may have been dropped or the server replaced. */
  forget(): void {
    this.#ready.clear()
    this.#partitions.clear()
  }

  async #make(layout: TableLayout): Promise<ReadyTable> {
    if (this.#settings.schemaMode === 'apply') await this.#apply(layout)
    return this.#server.run(async (session) => {
      const facts = await serverFacts(session)
      const found = await findTable(session, layout, facts)
      const plan = planTable(layout, this.#settings, facts, found)
      if (!found || plan.statements.length > 0) throw notApplied(layout)
      return { layout, partitioned: found.relkind === 'p', hypertable: found.hypertable }
    })
  }

  #apply(layout: TableLayout): Promise<SchemaPlan> {
    return this.#server.run(async (session) => {
      // Two processes that both find no table would both make it; the second waits here and then finds it.
      const lock = `hashtextextended(${quoteText(`everybar schema ${qualified(layout)}`)}, 0)`
      await session.query(`BEGIN; SELECT pg_advisory_xact_lock(${lock})`)
      const facts = await serverFacts(session)
      const plan = planTable(layout, this.#settings, facts, await findTable(session, layout, facts))
      // A continuous aggregate may not be made within a transaction that has made its table.
      const [inside, after] = split(plan)
      for (const { sql } of inside) await session.query(sql)
      await session.command('COMMIT')
      for (const { sql } of after) await session.query(sql)
      for (const { why } of plan.statements) this.#say('store_schema_applied', { why })
      for (const note of plan.notes) this.#say('store_schema', { note })
      return plan
    })
  }

  /** The monthly partitions that bars from `firstMs` to `lastMs` fall into. Nothing for tables without any. */
  async ensurePartitions(table: ReadyTable, firstMs: EpochMs, lastMs: EpochMs): Promise<void> {
    if (!table.partitioned) return
    for (let month = monthOf(firstMs); month.startMs <= lastMs; month = monthOf(month.endMs)) {
      const name = partitionName(table.layout, month.startMs)
      if (this.#partitions.has(name)) continue
      await this.#server.run((session) => createPartition(session, table.layout, month.startMs))
      this.#partitions.add(name)
    }
  }

  #say(event: string, fields: Record<string, unknown>): void {
    this.#onEvent({ event, level: 'info', store: this.#settings.name, ...fields })
  }
}

function split({ statements }: SchemaPlan): [SchemaPlan['statements'], SchemaPlan['statements']] {
  const at = statements.findIndex(({ sql }) => sql.startsWith('CREATE MATERIALIZED VIEW'))
  return at < 0 ? [statements, []] : [statements.slice(0, at), statements.slice(at)]
}

function partitionName({ table }: TableLayout, ms: EpochMs): string {
  const [year, month] = new Date(ms).toISOString().split('-')
  return `${table}_y${year}m${month}`
}

async function createPartition(session: Session, layout: TableLayout, ms: EpochMs): Promise<void> {
  const name = partitionName(layout, ms)
  const { startMs, endMs } = monthOf(ms)
  const [there] = await session.query<{ covered: boolean }>(
    `SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE n.nspname = $1 AND c.relname = $2) AS covered`,
    [layout.schema, name],
  )
  if (there!.covered) return
  const bound = (edge: EpochMs) => quoteTime(edge).replace('::timestamptz', '')
  const lock = `hashtextextended(${quoteText(`everybar partition ${qualified(layout)}`)}, 0)`
  await session.query(`BEGIN; SELECT pg_advisory_xact_lock(${lock})`)
  await session.query(
    `CREATE TABLE IF NOT EXISTS ${quoteName(layout.schema)}.${quoteName(name)} PARTITION OF ${qualified(layout)}
     FOR VALUES FROM (${bound(startMs)}) TO (${bound(endMs)})`,
  )
  await session.command('COMMIT')
}

const notApplied = (layout: TableLayout): EverybarError =>
  new EverybarError('store.schema', `${qualified(layout)} is missing, or lacks columns`, {
    recovery: 'abort',
    hint: 'Run `everybar db apply`, or `everybar db plan` to see the SQL.',
  })
