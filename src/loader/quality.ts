import { type EpochMs, iso } from '../model/time.ts'
import { countOpens, fixedWidthMs, floorToBar, type Timeframe } from '../model/timeframe.ts'
import { anchorIn } from './read/anchor.ts'
import { type Engine, identifier } from './read/engine.ts'
import { type ReadPlan, type Source, selectOf, unreadable } from './read/source.ts'

/** What can be wrong with rows that can be read. None of it stops a load; each is counted and shown. */
export type QualityKind =
  | 'empty' // the file holds no rows
  | 'no-time' // rows without a time
  | 'null' // values not known, null or NaN
  | 'out-of-order' // rows earlier than the one before; they are sorted
  | 'duplicate' // rows of a time that another row has; the last is kept
  | 'other-month' // rows of another month than the file's name says; they are left out
  | 'off-grid' // rows that open between two bars of the timeframe
  | 'missing' // bars of the timeframe that no row has, between the first and the last
  | 'outlier' // values far from the others of their file

export interface QualityFinding {
  readonly kind: QualityKind
  readonly path: string
  readonly column?: string
  readonly count: number
  /** The first one's time. */
  readonly firstMs?: EpochMs
  readonly detail: string
}

export interface OutlierRule {
  /** `iqr`: outside the quartiles by `threshold` times their distance. `zscore`: by `threshold` deviations. */
  readonly method: 'iqr' | 'zscore'
  readonly threshold: number
}

export interface QualityReport {
  readonly rows: number
  readonly findings: readonly QualityFinding[]
  /** Whether the rows ascend, one a time: whether they can be read as they stand. */
  readonly inOrder: boolean
  /** A point of the grid most rows stand on; none without rows, or where bars have no fixed width. */
  readonly anchorMs: EpochMs | undefined
}

type Sums = Readonly<Record<string, number | null>>

/**
 * Looks at every row of `source` once, and at its times once more (its values too with outliers), in DuckDB, without
 * changing anything. Whether rows are on their grid is told by the grid that most of them are on, since not every venue
 * counts from midnight UTC.
 *
 * @throws SchemaValidationError `loader.schema`. @throws DataQualityError `loader.unreadable-file`.
 */
export async function checkQuality(
  engine: Engine,
  source: Source,
  plan: ReadPlan,
  options: { readonly timeframe?: Timeframe | undefined; readonly outliers?: OutlierRule | undefined } = {},
): Promise<QualityReport> {
  const path = source.paths[0]!
  const select = await selectOf(engine, source, { ...plan, mend: source.paths.length > 1 })
  const measured = plan.columns.filter((name) => !plan.timeColumns?.includes(name))
  const { timeframe } = options
  const failed = (cause: unknown) => {
    throw unreadable(source.paths, cause)
  }
  const anchorMs = timeframe && (await anchorIn(engine, select, timeframe).catch(failed))
  const grid = timeframe && anchorMs !== undefined ? { timeframe, anchorMs } : undefined
  const [sums] = (await engine.rows(sumsOf(select, plan.columns, grid)).catch(failed)) as Sums[]
  const findings = [
    ...orderFindings(path, sums!),
    ...(grid ? gridFindings(path, sums!, grid) : []),
    ...plan.columns.flatMap((name, i) =>
      finding('null', path, sums![`null_${i}`], sums![`null_at_${i}`], 'not known', name),
    ),
    ...(options.outliers ? await outlierFindings(engine, select, path, measured, options.outliers) : []),
  ]
  const inOrder = !sums!.disorder && !sums!.repeats && !sums!.no_time
  return { rows: sums!.rows!, findings, inOrder, anchorMs }
}

interface Grid {
  readonly timeframe: Timeframe
  readonly anchorMs: EpochMs
}

function sumsOf(select: string, columns: readonly string[], on: Grid | undefined): string {
  // How far a time is past its grid point.
  const grid = on && `((t - ${on.anchorMs}) % ${fixedWidthMs(on.timeframe)})`
  const nulls = columns.map((name, i) => {
    const unknown = `(${identifier(name)} IS NULL OR isnan(${identifier(name)}))`
    return `count(*) FILTER (${unknown})::DOUBLE AS null_${i}, min(t) FILTER (${unknown}) AS null_at_${i}`
  })
  return `
    SELECT count(*)::DOUBLE AS rows,
      count(*) FILTER (t IS NULL)::DOUBLE AS no_time,
      count(*) FILTER (t < before)::DOUBLE AS disorder, min(t) FILTER (t < before) AS disorder_at,
      (count(t) - count(DISTINCT t))::DOUBLE AS repeats, min(t) FILTER (t = before) AS repeats_at,
      min(t) AS first, max(t) AS last
      ${grid ? `, count(*) FILTER (${grid} <> 0)::DOUBLE AS off_grid, min(t) FILTER (${grid} <> 0) AS off_grid_at` : ''}
      ${grid ? `, count(DISTINCT t) FILTER (${grid} = 0)::DOUBLE AS on_grid` : ''}
      ${nulls.map((sql) => `, ${sql}`).join('')}
    FROM (SELECT *, lag(t) OVER () AS before FROM (${select}))`
}

function orderFindings(path: string, sums: Sums): QualityFinding[] {
  if (sums.rows === 0) return [{ kind: 'empty', path, count: 0, detail: 'the file holds no rows' }]
  return [
    ...finding('no-time', path, sums.no_time, null, 'rows without a time'),
    ...finding('out-of-order', path, sums.disorder, sums.disorder_at, 'rows earlier than the one before'),
    ...finding('duplicate', path, sums.repeats, sums.repeats_at, 'rows of a time that another row has'),
  ]
}

function gridFindings(path: string, sums: Sums, { timeframe, anchorMs }: Grid): QualityFinding[] {
  const startMs = floorToBar(timeframe, sums.first!, anchorMs)
  const expected = countOpens(timeframe, { startMs, endMs: sums.last! + 1 }, anchorMs)
  return [
    ...finding(
      'off-grid',
      path,
      sums.off_grid,
      sums.off_grid_at,
      `rows that open between two ${timeframe} bars`,
    ),
    ...finding(
      'missing',
      path,
      expected - (sums.on_grid ?? 0),
      null,
      `${timeframe} bars between the first and the last`,
    ),
  ]
}

async function outlierFindings(
  engine: Engine,
  select: string,
  path: string,
  columns: readonly string[],
  rule: OutlierRule,
): Promise<QualityFinding[]> {
  const found: QualityFinding[] = []
  for (const name of columns) {
    const x = identifier(name)
    const known = `(SELECT t, ${x} AS x FROM (${select}) WHERE ${x} IS NOT NULL AND NOT isnan(${x}))`
    const bounds =
      rule.method === 'iqr'
        ? `SELECT quantile_cont(x, 0.25) - ${rule.threshold} * (quantile_cont(x, 0.75) - quantile_cont(x, 0.25)) AS low,
             quantile_cont(x, 0.75) + ${rule.threshold} * (quantile_cont(x, 0.75) - quantile_cont(x, 0.25)) AS high FROM known`
        : `SELECT avg(x) - ${rule.threshold} * stddev_samp(x) AS low, avg(x) + ${rule.threshold} * stddev_samp(x) AS high FROM known`
    const [row] = (await engine.rows(
      `WITH known AS ${known}, bounds AS (${bounds})
       SELECT count(*)::DOUBLE AS n, min(t) AS at, any_value(low) AS low, any_value(high) AS high
       FROM known, bounds WHERE x < low OR x > high`,
    )) as Sums[]
    const detail = `outside ${row!.low} … ${row!.high} (${rule.method} ${rule.threshold})`
    found.push(...finding('outlier', path, row!.n, row!.at, detail, name))
  }
  return found
}

function finding(
  kind: QualityKind,
  path: string,
  count: number | null | undefined,
  firstMs: number | null | undefined,
  detail: string,
  column?: string,
): QualityFinding[] {
  if (!count || count <= 0) return []
  const at = typeof firstMs === 'number' ? { firstMs } : {}
  return [{ kind, path, count, detail, ...at, ...(column === undefined ? {} : { column }) }]
}

/** A finding as one line for a log. */
export const describeFinding = ({ kind, path, column, count, firstMs, detail }: QualityFinding): string =>
  `${kind}: ${count} ${column ? `in ${column}, ` : ''}${detail}${firstMs === undefined ? '' : `, first at ${iso(firstMs)}`} — ${path}`
