import { setTimeout as sleep } from 'node:timers/promises'
import { EverybarError, isEverybarError } from '../../model/errors.ts'
import type { OnEvent } from '../../model/events.ts'
import { type Series, seriesId } from '../../model/series.ts'
import { lostConnection } from './failures.ts'
import type { TableLayout } from './layout.ts'
import type { PostgresSettings } from './options.ts'
import type { Server, Session } from './server.ts'
import { qualified, quoteText } from './sql.ts'
import type { Tables } from './tables.ts'

export interface Writer {
  readonly server: Server
  readonly tables: Tables
  readonly settings: PostgresSettings
  readonly onEvent: OnEvent
}

/** What one transaction does. */
export interface Transaction<W> {
  /** The series it writes, each in its table: two writers of one never cross. */
  readonly locks: readonly { readonly layout: TableLayout; readonly series: Series }[]
  readonly hypertable: boolean
  readonly write: (session: Session) => Promise<W>
  /** Looks, after COMMIT, whether the table holds what was written. */
  readonly check: (session: Session, written: W) => Promise<void>
}

/** Says what happens to a write; `series` where it is one's alone. */
export function say(
  { onEvent, settings }: Writer,
  series: Series | undefined,
  event: string,
  fields: Readonly<Record<string, unknown>>,
): void {
  const of = series && { series: seriesId(series) }
  onEvent({ event, level: 'warn', store: settings.name, ...of, ...fields })
}

/**
 * Tries again what fails for a passing reason, and once more what a constraint refused.
 *
 * @param attempt writes; with `around` it finds the rows at fault and sets them aside.
 */
export async function retrying<W>(
  writer: Writer,
  series: Series | undefined,
  attempt: (around: boolean) => Promise<W>,
  signal?: AbortSignal,
): Promise<W> {
  const { attemptsMax, retryDelayMs } = writer.settings
  let around = false
  for (let n = 1; ; n++) {
    try {
      return await attempt(around)
    } catch (error) {
      signal?.throwIfAborted()
      if (!around && isEverybarError(error, 'store.constraint')) {
        around = true
        continue
      }
      if (isEverybarError(error, 'store.schema')) writer.tables.forget()
      if (!isEverybarError(error) || error.recovery !== 'retry' || n >= attemptsMax) throw error
      say(writer, series, 'store_retry', { code: error.code, attempt: n })
      await sleep(retryDelayMs * 2 ** (n - 1), undefined, signal ? { signal } : {})
    }
  }
}

/** COMMIT was sent and nothing came back. */
class OutcomeUnknown<W> extends EverybarError {
  readonly xid: string
  readonly written: W

  constructor(xid: string, written: W) {
    super('store.unreachable', 'the answer to COMMIT was lost', {
      recovery: 'retry',
      hint: 'The same commit may be repeated without harm.',
    })
    this.xid = xid
    this.written = written
  }
}

/** Runs a transaction, and asks the server what became of a COMMIT whose answer was lost. */
export async function transact<W>(
  writer: Writer,
  series: Series | undefined,
  transaction: Transaction<W>,
  signal?: AbortSignal,
): Promise<W> {
  const { server, settings } = writer
  try {
    return await server.run(async (session) => {
      const xid = await begin(session, transaction, settings.statementTimeoutMs)
      const written = await transaction.write(session)
      session.shield()
      await commit(session, xid, written)
      await transaction.check(session, written)
      return written
    }, signal)
  } catch (error) {
    if (!(error instanceof OutcomeUnknown)) throw error
    const unknown = error as OutcomeUnknown<W>
    const outcome = await outcomeOf(writer, unknown.xid)
    say(writer, series, 'store_commit_resolved', { outcome })
    if (outcome === 'committed') {
      await server.run((session) => transaction.check(session, unknown.written))
      return unknown.written
    }
    throw new EverybarError(
      'store.unreachable',
      `store ${settings.name}: the connection went during COMMIT`,
      {
        recovery: 'retry',
        hint: 'The transaction did not happen; the same commit may succeed later.',
      },
    )
  }
}

/**
 * Opens the transaction, takes the locks of its series, always in one order, and names the transaction, so that its
 * outcome can be asked for when the answer to COMMIT is lost.
 */
async function begin(
  session: Session,
  { locks, hypertable }: Pick<Transaction<never>, 'locks' | 'hypertable'>,
  statementTimeoutMs: number,
): Promise<string> {
  const names = locks
    .map(({ layout, series }) => `everybar ${qualified(layout)} ${seriesId(series)}`)
    .sort()
    .map(quoteText)
  const unlimited = hypertable ? `SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0;` : ''
  const [row] = await session.query<{ xid: string }>(
    `BEGIN; SET LOCAL statement_timeout = ${Math.round(statementTimeoutMs)};
     SET LOCAL standard_conforming_strings = on; ${unlimited}
     SELECT pg_advisory_xact_lock(hashtextextended(name, 0)) FROM unnest(ARRAY[${names.join(', ')}]::text[]) AS names (name);
     SELECT pg_current_xact_id()::text AS xid`,
  )
  return row!.xid
}

async function commit<W>(session: Session, xid: string, written: W): Promise<void> {
  let tag: string
  try {
    tag = await session.command('COMMIT')
  } catch (error) {
    if (!lostConnection(error)) throw error
    throw new OutcomeUnknown(xid, written)
  }
  if (tag !== 'COMMIT') {
    throw new EverybarError('store.busy', `the server answered ${tag} to COMMIT`, {
      recovery: 'retry',
      hint: 'The transaction did not happen; the same commit may succeed later.',
    })
  }
}

/** Asks what became of a transaction until it is known. A server that forgot it never finished it. */
async function outcomeOf({ server, settings }: Writer, xid: string): Promise<'committed' | 'aborted'> {
  for (let attempt = 1; ; attempt++) {
    try {
      const status = await server.run(async (session) => {
        const [row] = await session.query<{ status: string | null }>(
          'SELECT pg_xact_status($1::xid8) AS status',
          [xid],
        )
        return row!.status
      })
      if (status === 'committed') return status
      if (status !== 'in progress') return 'aborted'
    } catch (error) {
      if (!isEverybarError(error) || error.recovery !== 'retry') return 'aborted'
      if (attempt >= settings.attemptsMax * 2) throw error
    }
    await sleep(settings.retryDelayMs * Math.min(8, 2 ** (attempt - 1)))
  }
}

/** @throws EverybarError `store.rows-lost` (abort) when fewer rows are there than were committed. */
export function refuseLoss(storeName: string, there: number, expected: number, where: string): void {
  if (there >= expected) return
  throw new EverybarError(
    'store.rows-lost',
    `store ${storeName}: ${expected} bars were committed and ${there} are there, ${where}`,
    {
      recovery: 'abort',
      hint: 'Decompress the chunks of that range or update TimescaleDB, then run `everybar rebuild`.',
    },
  )
}
