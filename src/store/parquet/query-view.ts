import { join } from 'node:path'
import type { DuckDBConnection } from '@duckdb/node-api'
import { type BarBatch, batchWithin } from '../../model/bar.ts'
import { lakeColumns, lakePath } from '../../model/lake.ts'
import type { Series } from '../../model/series.ts'
import type { EpochMs } from '../../model/time.ts'
import { byMonth } from '../bars.ts'
import type { OlderWindow } from '../query.ts'
import { identity, identityOf, overlayOlder, viewAsOf } from './as-of.ts'
import { DeltaFiles } from './delta-files.ts'
import { Engine, fromDouble, readLakeFiles, sourceOf } from './engine.ts'
import { readLastTimes } from './extent.ts'
import { registerFeed } from './feed.ts'
import { nodeFilesystem } from './filesystem.ts'
import { type ListedSeries, listSeries } from './listing.ts'
import { MonthFiles } from './month-files.ts'
import { underlay } from './reads.ts'

/** A lake as a query shows it: files, and the bars that delta files add. */
export interface ShownLake {
  readonly listed: readonly ListedSeries[]
  readonly added: readonly AddedBars[]
}

/**
 * Bars of one month of a series that are shown from memory, and the file whose bars from the first of them on are not
 * shown: a compaction may put them there while the query runs.
 */
interface AddedBars {
  readonly series: Series
  readonly path: string
  readonly bars: BarBatch
}

/** Looks a lake over: folders, names, a file of each dataset, delta files, and footers of months that those add to. */
export async function showLake(root: string): Promise<ShownLake> {
  const engine = new Engine('256MB')
  try {
    const deltas = new DeltaFiles(root, nodeFilesystem)
    await deltas.refresh()
    const months = new MonthFiles(root, engine, nodeFilesystem)
    const listed = await listSeries(root, nodeFilesystem, (path) => months.seriesIn(path))
    const files = new Set(listed.flatMap(({ paths }) => paths))
    const parts = deltas.series().flatMap((series) =>
      [...byMonth(deltas.barsOf(series))].map(({ month, bars }) => {
        return { series, month, bars, path: lakePath(series, month.startMs) }
      }),
    )
    const met = parts.filter(({ path }) => files.has(path)).map(({ path }) => join(root, path))
    const lastMs = await readLastTimes(engine, met)
    const added: AddedBars[] = []
    for (const { series, month, bars, path } of parts) {
      const fromMs = bars.openTimeMs[0]!
      const last = files.has(path) ? (lastMs.get(join(root, path)) ?? fromMs) : Number.NEGATIVE_INFINITY
      // The file reaches into them: folded, and its delta not gone yet. Its values count.
      const inFile = last < fromMs ? undefined : await months.read(series, month)
      const range = { startMs: fromMs, endMs: month.endMs }
      added.push({ series, path, bars: inFile ? underlay(batchWithin(inFile, range), bars) : bars })
    }
    return { listed, added }
  } finally {
    await engine.close()
  }
}

/**
 * One reader over all files, joined with a table that says whose each file is. DuckDB reads only the files whose names
 * are left after the other conditions, and none to learn the columns: 50 ms for 3,000 files.
 */
export async function makeView(
  connection: DuckDBConnection,
  root: string,
  { listed, added }: ShownLake,
  older: AsyncIterable<OlderWindow> | undefined,
): Promise<void> {
  const texts = identity.map((name) => `${name} VARCHAR`).join(', ')
  await connection.run('CREATE SCHEMA everybar')
  await connection.run(`CREATE TABLE everybar.files (filename VARCHAR, ${texts}, before_ms DOUBLE)`)
  const beforeMs = new Map(added.map(({ path, bars }) => [path, bars.openTimeMs[0]!]))
  await listFiles(connection, root, listed, beforeMs)
  const paths = listed.flatMap((one) => one.paths.map((path) => join(root, path)))
  const parts = paths.length > 0 ? [filesSql(paths, beforeMs.size > 0)] : []
  if (added.length > 0) {
    await addBars(connection, added)
    parts.push(addedSql)
  }
  const now = parts.length > 0 ? parts.join(' UNION ALL ') : nothingSql
  if (older) await overlayOlder(connection, older)
  await connection.run(`CREATE VIEW bars AS ${older ? viewAsOf(now) : now}`)
}

async function listFiles(
  connection: DuckDBConnection,
  root: string,
  listed: readonly ListedSeries[],
  beforeMs: ReadonlyMap<string, EpochMs>,
): Promise<void> {
  const appender = await connection.createAppender('files', 'everybar')
  for (const { series, paths } of listed) {
    for (const path of paths) {
      for (const text of [join(root, path), ...identityOf(series)]) appender.appendVarchar(text)
      appender.appendDouble(beforeMs.get(path) ?? Number.MAX_SAFE_INTEGER)
      appender.endRow()
    }
  }
  appender.closeSync()
}

/** Puts the bars into a table, their series into another: a number stands for a series in each row. */
async function addBars(connection: DuckDBConnection, added: readonly AddedBars[]): Promise<void> {
  const texts = identity.map((name) => `${name} VARCHAR`).join(', ')
  await connection.run(`CREATE TABLE everybar.adding (n DOUBLE, ${texts})`)
  const appender = await connection.createAppender('adding', 'everybar')
  for (const [n, { series }] of added.entries()) {
    appender.appendDouble(n)
    for (const text of identityOf(series)) appender.appendVarchar(text)
    appender.endRow()
  }
  appender.closeSync()
  const rows = added.reduce((sum, { bars }) => sum + bars.length, 0)
  const columns = [new Float64Array(rows), ...lakeColumns.map(() => new Float64Array(rows).fill(Number.NaN))]
  let at = 0
  for (const [n, { bars }] of added.entries()) {
    columns[0]!.fill(n, at, at + bars.length)
    for (const [c, column] of lakeColumns.entries()) {
      const values = sourceOf(bars, column)
      if (values) columns[c + 1]!.set(values, at)
    }
    at += bars.length
  }
  const names = ['n', ...lakeColumns.map(({ name }) => name)]
  registerFeed(await import('@duckdb/node-api'), connection, () => ({ names, columns, length: rows }))
  const select = `SELECT n, ${lakeColumns.map(fromDouble).join(', ')} FROM everybar_feed(0)`
  await connection.run(`CREATE TABLE everybar.added AS ${select}`)
}

const addedSql = `SELECT ${[
  ...identity.map((name) => `s.${name}`),
  ...lakeColumns.map(({ name }) => `a.${name}`),
].join(', ')} FROM everybar.added a JOIN everybar.adding s USING (n)`

/** @param cut whether files may hold bars that are shown from memory. */
function filesSql(paths: readonly string[], cut: boolean): string {
  const columns = [...identity.map((name) => `f.${name}`), ...lakeColumns.map(({ name }) => `b.${name}`)]
  const where = cut ? ' WHERE epoch_ms(b.open_time) < f.before_ms' : ''
  return `SELECT ${columns.join(', ')} FROM ${readLakeFiles(paths, true)} b JOIN everybar.files f USING (filename)${where}`
}

const nothingSql = `SELECT ${[
  ...identity.map((name) => `NULL::VARCHAR AS ${name}`),
  ...lakeColumns.map(({ name, type }) => `NULL::${type} AS ${name}`),
].join(', ')} WHERE false`
