import type { BarBatch } from '../../model/bar.ts'
import { type Series, seriesId } from '../../model/series.ts'
import { iso, type TimeRange } from '../../model/time.ts'
import { withoutMisfits } from '../common/misfits.ts'
import type { CommitResult, SetAsideBar } from '../store.ts'
import { layoutOf } from './layout.ts'
import type { Session } from './server.ts'
import { countRows } from './sql.ts'
import { refuseLoss, retrying, say, transact, type Writer } from './transact.ts'
import { spanOf, type Work, type Written, write } from './transaction.ts'

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
  const { series } = change
  const layout = layoutOf(series, writer.settings)
  const { batch, setAside } = withoutMisfits(
    change.batch,
    layout.values.filter(({ type }) => type === 'int8'),
  )
  const attempt = async (staged: boolean): Promise<CommitResult> => {
    const table = await writer.tables.ready(layout)
    if (batch.length > 0) {
      const { startMs, endMs } = spanOf(batch)
      await writer.tables.ensurePartitions(table, startMs, endMs - 1)
    }
    const work: Work = { ...change, batch, table, staged }
    const transaction = {
      locks: [{ layout, series }],
      hypertable: table.hypertable,
      write: (session: Session) => write(session, work),
      check: (session: Session, written: Written) => checkRows(session, work, written, writer.settings.name),
    }
    return resultOf(writer, change, await transact(writer, series, transaction, signal), setAside)
  }
  return retrying(writer, series, attempt, signal)
}

/** Counts what the table holds now. TimescaleDB once lost rows of such statements without a word (its issue 7672). */
async function checkRows(session: Session, work: Work, written: Written, storeName: string): Promise<void> {
  if ((written.counted || written.inserted === 0) && !work.table.hypertable) return
  const [row] = await session.query<{ rows: number }>(
    countRows(work.table.layout, work.series, spanOf(work.batch)),
  )
  const where = `${seriesId(work.series)} from ${iso(spanOf(work.batch).startMs)}`
  refuseLoss(storeName, row!.rows, work.batch.length - written.setAside.length, where)
}

/** What a write came to, bars among it that did not even reach the server; says so of those that were left out. */
export function resultOf(
  writer: Writer,
  { series, batch }: { readonly series: Series; readonly batch: BarBatch },
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
