import type { BarBatch } from '../../model/bar.ts'
import { EverybarError } from '../../model/errors.ts'
import { type Series, seriesId } from '../../model/series.ts'
import { iso, type TimeRange } from '../../model/time.ts'
import { withoutMisfits } from '../common/misfits.ts'
import type { AppendEntry, CommitResult, SetAsideBar } from '../store.ts'
import { resultOf } from './commit.ts'
import { layoutOf, openLayout, type TableLayout } from './layout.ts'
import type { Session } from './server.ts'
import { countThese, upsertOpen, upsertRows } from './sql.ts'
import type { ReadyTable } from './tables.ts'
import { refuseLoss, retrying, transact, type Writer } from './transact.ts'
import { type RefusedRow, spanOf, unnestValues, type Written, writeParts } from './transaction.ts'

/** The entries of one table, and their rows as arrays, a column each. */
interface Rows {
  readonly table: ReadyTable
  readonly entries: readonly AppendEntry[]
  /** Which entry a row is of, and its bar there. */
  readonly from: readonly (readonly [entry: number, bar: number])[]
  readonly columns: readonly (readonly unknown[])[]
  readonly span: TimeRange
}

interface ChangedRow {
  readonly key: readonly string[]
  readonly at: number
  readonly revised: boolean
}

interface WrittenRows {
  readonly changed: readonly ChangedRow[]
  readonly refused: readonly RefusedRow[]
}

/** Writes the bars of many series in one transaction, with one statement a table. Entries have to hold bars. */
export async function appendEntries(
  writer: Writer,
  entries: readonly AppendEntry[],
  signal?: AbortSignal,
): Promise<readonly CommitResult[]> {
  const sound = entries.map(({ series, batch }) => {
    const layout = layoutOf(series, writer.settings)
    const whole = layout.values.filter(({ type }) => type === 'int8')
    return { series, layout, ...withoutMisfits(batch, whole) }
  })
  const attempt = async (around: boolean) => {
    const tables = await rowsByTable(writer, sound)
    const all = await transact(writer, undefined, transactionOf(writer, tables, around), signal)
    const written = new Map(tables.flatMap((rows, t) => writtenBySeries(rows, all[t]!)))
    return entries.map((entry, i) =>
      resultOf(writer, entry, written.get(seriesId(entry.series)) ?? nothing, sound[i]!.setAside),
    )
  }
  return retrying(writer, undefined, attempt, signal)
}

const nothing: Written = { inserted: 0, revised: 0, revisedAtMs: [], setAside: [] }

type SoundEntry = AppendEntry & {
  readonly layout: TableLayout
  readonly setAside: readonly SetAsideBar[]
}

async function rowsByTable({ tables }: Writer, sound: readonly SoundEntry[]): Promise<Rows[]> {
  const kinds = new Map<string, SoundEntry[]>()
  for (const entry of sound) {
    if (entry.batch.length === 0) continue
    const same = kinds.get(entry.layout.kind)
    if (same) same.push(entry)
    else kinds.set(entry.layout.kind, [entry])
  }
  const all: Rows[] = []
  for (const entries of kinds.values()) {
    const table = await tables.ready(entries[0]!.layout)
    for (const { batch } of entries) {
      const { startMs, endMs } = spanOf(batch)
      await tables.ensurePartitions(table, startMs, endMs - 1)
    }
    const spans = entries.map(({ batch }) => spanOf(batch))
    all.push({
      table,
      entries,
      from: entries.flatMap(({ batch }, entry) =>
        Array.from(batch.openTimeMs, (_, bar) => [entry, bar] as const),
      ),
      columns: columnsOf(table.layout, entries),
      span: {
        startMs: Math.min(...spans.map(({ startMs }) => startMs)),
        endMs: Math.max(...spans.map(({ endMs }) => endMs)),
      },
    })
  }
  return all
}

function columnsOf(layout: TableLayout, entries: readonly AppendEntry[]): unknown[][] {
  const parts = entries.map(({ series, batch }) => [
    ...layout.key.map(({ value }) => Array.from(batch.openTimeMs, () => value(series))),
    ...unnestValues(layout, batch),
  ])
  return parts[0]!.map((_, column) => parts.flatMap((part) => part[column]!))
}

function transactionOf(writer: Writer, tables: readonly Rows[], around: boolean) {
  return {
    locks: tables.flatMap(({ table, entries }) =>
      entries.map(({ series }) => ({ layout: table.layout, series })),
    ),
    hypertable: tables.some(({ table }) => table.hypertable),
    async write(session: Session): Promise<readonly WrittenRows[]> {
      const written: WrittenRows[] = []
      for (const rows of tables) written.push(await writeRows(session, rows, around))
      return written
    },
    async check(session: Session, written: readonly WrittenRows[]): Promise<void> {
      for (const [t, rows] of tables.entries()) await checkRows(session, writer, rows, written[t]!)
    },
  }
}

async function writeRows(session: Session, rows: Rows, around: boolean): Promise<WrittenRows> {
  const { columns, span, table, from: all } = rows
  const write = (from: number, to: number) =>
    session.query<ChangedRow>(
      upsertRows(table.layout, span),
      columns.map((column) => column.slice(from, to)),
    )
  if (!around) return { changed: await write(0, all.length), refused: [] }
  const { done, refused } = await writeParts(session, all.length, write)
  return { changed: done.flat(), refused }
}

/** As after a commit: what was new has to be there. */
async function checkRows(
  session: Session,
  { settings }: Writer,
  { table, from, columns, span }: Rows,
  { changed, refused }: WrittenRows,
): Promise<void> {
  if (!table.hypertable && changed.every(({ revised }) => revised)) return
  const [row] = await session.query<{ rows: number }>(countThese(table.layout, span), [...columns])
  const where = `of ${from.length} rows from ${iso(span.startMs)} on`
  refuseLoss(settings.name, row!.rows, from.length - refused.length, where)
}

/** What became of each entry of a table, by series. */
function writtenBySeries(
  { table, entries, from }: Rows,
  { changed, refused }: WrittenRows,
): [string, Written][] {
  const { key } = table.layout
  const keyOf = (series: Series) => JSON.stringify(key.map(({ value }) => value(series)))
  const byKey = new Map<string, ChangedRow[]>()
  for (const row of changed) {
    const name = JSON.stringify(row.key)
    const same = byKey.get(name)
    if (same) same.push(row)
    else byKey.set(name, [row])
  }
  return entries.map(({ series, batch }, n) => {
    const own = byKey.get(keyOf(series)) ?? []
    const revised = own.filter((row) => row.revised)
    return [
      seriesId(series),
      {
        inserted: own.length - revised.length,
        revised: revised.length,
        revisedAtMs: revised
          .map(({ at }) => Math.round(at))
          .sort((a, b) => a - b)
          .slice(0, 100),
        setAside: refused.flatMap(({ at, reason }) => {
          const [entry, bar] = from[at]!
          return entry === n ? [{ openTimeMs: batch.openTimeMs[bar]!, reason }] : []
        }),
      },
    ]
  })
}

/** Puts the open bar of each series into the table of open bars. */
export async function keepOpen(
  writer: Writer,
  entries: readonly AppendEntry[],
  signal?: AbortSignal,
): Promise<void> {
  for (const { series, batch } of entries) if (batch.length !== 1) throw notOne(series, batch)
  const layout = openLayout(writer.settings)
  const columns = columnsOf(layout, entries)
  const attempt = async () => {
    await writer.tables.ready(layout)
    await writer.server.run((session) => session.query(upsertOpen(layout), columns), signal)
  }
  await retrying(writer, undefined, attempt, signal)
}

const notOne = (series: Series, { length }: BarBatch): EverybarError =>
  new EverybarError('store.bad-batch', `${seriesId(series)} has ${length} bars that are open`, {
    recovery: 'abort',
    hint: 'One bar of a series is open at a time. This is a bug; please report it.',
  })
