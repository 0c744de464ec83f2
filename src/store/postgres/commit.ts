import { setTimeout as sleep } from 'node:timers/promises'
import type { BarBatch } from '../../model/bar.ts'
import { EverybarError, isEverybarError } from '../../model/errors.ts'
import type { OnEvent } from '../../model/events.ts'
import { type Series, seriesId } from '../../model/series.ts'
import { iso, type TimeRange } from '../../model/time.ts'
import { withoutMisfits } from '../common/misfits.ts'
import type { CommitResult, SetAsideBar } from '../store.ts'
import { lostConnection } from './failures.ts'
import { layoutOf } from './layout.ts'
import type { PostgresSettings } from './options.ts'
import type { Server, Session } from './server.ts'
import { countRows } from './sql.ts'
import type { Tables } from './tables.ts'
import { begin, spanOf, type Work, type Written, write } from './transaction.ts'

export interface Writer {
  readonly server: Server
  readonly tables: Tables
  readonly settings: PostgresSettings
  readonly onEvent: OnEvent
}

interface Change {
  readonly series: Series
  readonly batch: BarBatch
  readonly replaces?: TimeRange
}

/**
 * Writes a batch in one transaction, tries again what fails for a passing reason, and asks the server what became of
 * a COMMIT whose answer was lost. A repeat of a commit that did happen finds every bar unchanged.
 */
export async function commitBatch(
  writer: Writer,
  change: Change,
  signal?: AbortSignal,
): Promise<CommitResult> {
  const layout = layoutOf(change.series, writer.settings)
  const { batch, setAside } = withoutMisfits(
    change.batch,
    layout.values.filter(({ type }) => type === 'int8'),
  )
  const { attemptsMax, retryDelayMs } = writer.settings
  let staged = false
  for (let attempt = 1; ; attempt++) {
    try {
      const table = await writer.tables.ready(layout)
      if (batch.length > 0) {
        const { startMs, endMs } = spanOf(batch)
        await writer.tables.ensurePartitions(table, startMs, endMs - 1)
      }
      const written = await commitOnce(writer, { ...change, batch, table, staged }, signal)
      return report(writer, change, written, setAside)
    } catch (error) {
      signal?.throwIfAborted()
      if (!staged && isEverybarError(error, 'store.constraint')) {
        staged = true
        continue
      }
      if (isEverybarError(error, 'store.schema')) writer.tables.forget()
      if (!isEverybarError(error) || error.recovery !== 'retry' || attempt >= attemptsMax) throw error
      say(writer, change.series, 'store_retry', { code: error.code, attempt })
      await sleep(retryDelayMs * 2 ** (attempt - 1), undefined, signal ? { signal } : {})
    }
  }
}

/** COMMIT was sent and nothing came back. */
class OutcomeUnknown extends EverybarError {
  readonly xid: string
  readonly written: Written

  constructor(xid: string, written: Written) {
    super('store.unreachable', 'the answer to COMMIT was lost', {
      recovery: 'retry',
      hint: 'The same commit may be repeated without harm.',
    })
    this.xid = xid
    this.written = written
  }
}

async function commitOnce(writer: Writer, work: Work, signal?: AbortSignal): Promise<Written> {
  const { server, settings } = writer
  try {
    return await server.run(async (session) => {
      const xid = await begin(session, work, settings.statementTimeoutMs)
      const written = await write(session, work)
      session.shield()
      await commit(session, xid, written)
      await checkRows(session, work, written, settings.name)
      return written
    }, signal)
  } catch (error) {
    if (!(error instanceof OutcomeUnknown)) throw error
    const outcome = await outcomeOf(writer, error.xid)
    say(writer, work.series, 'store_commit_resolved', { outcome })
    if (outcome === 'committed') {
      await server.run((session) => checkRows(session, work, error.written, settings.name))
      return error.written
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

async function commit(session: Session, xid: string, written: Written): Promise<void> {
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

/** Counts what the table holds now. TimescaleDB once lost rows of such statements without a word (its issue 7672). */
async function checkRows(session: Session, work: Work, written: Written, storeName: string): Promise<void> {
  if ((written.counted || written.inserted === 0) && !work.table.hypertable) return
  const [row] = await session.query<{ rows: number }>(
    countRows(work.table.layout, work.series, spanOf(work.batch)),
  )
  const expected = work.batch.length - written.setAside.length
  if (row!.rows >= expected) return
  const where = `${seriesId(work.series)} from ${iso(spanOf(work.batch).startMs)}`
  throw new EverybarError(
    'store.rows-lost',
    `store ${storeName}: ${expected} bars were committed and ${row!.rows} are there, ${where}`,
    {
      recovery: 'abort',
      hint: 'Decompress the chunks of that range or update TimescaleDB, then run `everybar rebuild`.',
    },
  )
}

function report(
  writer: Writer,
  { series, batch }: Change,
  written: Written,
  misfits: readonly SetAsideBar[],
): CommitResult {
  const setAside = [...misfits, ...written.setAside].sort((a, b) => a.openTimeMs - b.openTimeMs)
  if (setAside.length > 0) {
    const [first] = setAside
    say(writer, series, 'store_bars_set_aside', {
      bars: setAside.length,
      firstMs: first!.openTimeMs,
      reason: writer.server.redact(first!.reason),
    })
  }
  const { inserted, revised, revisedAtMs } = written
  const unchanged = batch.length - setAside.length - inserted - revised
  return { inserted, revised, unchanged, revisedAtMs, ...(setAside.length > 0 && { setAside }) }
}

const say = (writer: Writer, series: Series, event: string, fields: Record<string, unknown>): void =>
  writer.onEvent({ event, level: 'warn', store: writer.settings.name, series: seriesId(series), ...fields })
