import { intersect, subtract, toRangeSet } from '../../model/range-set.ts'
import type { EpochMs, TimeRange } from '../../model/time.ts'
import { ConfigError } from '../errors.ts'
import { type Feature, featureInputs, featureName, featureSql, rangeWithReach } from '../features.ts'
import { monthRange, type ParquetFileInfo } from '../files.ts'
import type { Frame } from '../frame.ts'
import { checkQuality, type OutlierRule, type QualityFinding, type QualityReport } from '../quality.ts'
import { type Engine, identifier, type Row } from './engine.ts'
import { framesOf, scan } from './scan.ts'
import { type ReadPlan, selectOf, unreadable } from './source.ts'

/** What to read of a dataset's months. */
export interface MonthsPlan {
  readonly time: string
  readonly columns: readonly string[]
  readonly timeColumns: readonly string[]
  readonly features: readonly Feature[]
  readonly range: TimeRange
  readonly rowsMax: number
  readonly outliers: OutlierRule | undefined
}

/** The last known value of a column, and when it was. */
interface Known {
  readonly ms: EpochMs
  readonly value: number
}

/** The month files of one dataset, read one at a time; each is looked at before it is read, once. */
export class Months {
  readonly files: readonly ParquetFileInfo[]
  readonly plan: MonthsPlan
  /** The columns of the frames, in order. */
  readonly names: readonly string[]
  readonly #engine: Engine
  readonly #reports = new Map<string, Promise<QualityReport>>()

  constructor(engine: Engine, files: readonly ParquetFileInfo[], plan: MonthsPlan) {
    this.files = files
    this.plan = plan
    this.names = [...plan.columns, ...plan.features.map(featureName)]
    this.#engine = engine
  }

  /** What is wrong with the part of a file that is read, and what of it is not. */
  report(file: ParquetFileInfo): Promise<QualityReport> {
    const known = this.#reports.get(file.path)
    if (known) return known
    const report = this.#check(file)
    this.#reports.set(file.path, report)
    return report
  }

  async #check(file: ParquetFileInfo): Promise<QualityReport> {
    const read = this.#read(this.#part(file) ?? this.plan.range)
    const options = { timeframe: file.timeframe, outliers: this.plan.outliers }
    const report = await checkQuality(this.#engine, { paths: [file.path] }, read, options)
    return { ...report, findings: [...report.findings, ...(await this.#strays(file))] }
  }

  /** Rows that lie in the range and not in the month of the file's name: they would come twice, or out of turn. */
  async #strays(file: ParquetFileInfo): Promise<QualityFinding[]> {
    const month = monthRange(file)
    if (subtract([this.plan.range], [month]).length === 0) return []
    const sql = await selectOf(this.#engine, { paths: [file.path] }, this.#read(this.plan.range, []))
    const outside = `t < ${month.startMs} OR t >= ${month.endMs}`
    const [row] = await this.#ask(
      file,
      `SELECT count(*)::DOUBLE AS count, min(t) AS first FROM (${sql}) WHERE ${outside}`,
    )
    const [count, firstMs] = [Number(row!.count), Number(row!.first)]
    const detail = 'rows of another month than the name says, left out'
    return count > 0 ? [{ kind: 'other-month', path: file.path, count, firstMs, detail }] : []
  }

  /** The part of the range that a file stands for. */
  #part(file: ParquetFileInfo): TimeRange | undefined {
    return intersect([monthRange(file)], [this.plan.range])[0]
  }

  /** What was found so far, by file. */
  async findings(): Promise<QualityFinding[]> {
    return (await Promise.all(this.#reports.values())).flatMap((report) => report.findings)
  }

  /** The same files, read in another range. */
  within(range: TimeRange): Months {
    return new Months(this.#engine, this.files, { ...this.plan, range })
  }

  /** The last time in the plan's range that a row of `file` has; `undefined` where it has none. */
  async lastMs(file: ParquetFileInfo): Promise<EpochMs | undefined> {
    const range = this.#part(file)
    if (!range) return undefined
    const sql = await selectOf(this.#engine, { paths: [file.path] }, this.#read(range, []))
    const [row] = await this.#ask(file, `SELECT max(t) AS last FROM (${sql})`)
    return typeof row!.last === 'number' ? row!.last : undefined
  }

  /** The last value of each of `columns` that is known before `ms`: rows, ascending, that hold nothing else. */
  async knownBefore(ms: EpochMs, columns: readonly string[]): Promise<Frame> {
    const found = new Map<string, Known>()
    for (const file of this.files.toReversed()) {
      const [range] = intersect([monthRange(file)], toRangeSet([{ startMs: 0, endMs: ms }]))
      const open = columns.filter((name) => !found.has(name))
      if (!range || open.length === 0) continue
      for (const [name, known] of await this.#lastKnown(file, range, open)) found.set(name, known)
    }
    const times = [...new Set([...found.values()].map((known) => known.ms))].sort((a, b) => a - b)
    const column = (name: string) =>
      Float64Array.from(times, (time) => (found.get(name)?.ms === time ? found.get(name)!.value : Number.NaN))
    return {
      length: times.length,
      timeMs: Float64Array.from(times),
      columns: Object.fromEntries(this.names.map((name) => [name, column(name)])),
      filled: {},
    }
  }

  async #lastKnown(
    file: ParquetFileInfo,
    range: TimeRange,
    columns: readonly string[],
  ): Promise<Map<string, Known>> {
    const read = { ...this.#read(range, columns), mend: true }
    const select = await selectOf(this.#engine, { paths: [file.path] }, read)
    const outputs = columns.flatMap((name, i) => {
      const x = identifier(name)
      const where = `FILTER (${x} IS NOT NULL AND NOT isnan(${x}))`
      return [`max(t) ${where} AS ms_${i}`, `arg_max(${x}, t) ${where} AS value_${i}`]
    })
    const [row] = await this.#ask(file, `SELECT ${outputs.join(', ')} FROM (${select})`)
    return new Map(
      columns.flatMap((name, i) => {
        const [ms, value] = [row![`ms_${i}`], row![`value_${i}`]]
        return typeof ms === 'number' && typeof value === 'number' ? [[name, { ms, value }]] : []
      }),
    )
  }

  #ask(file: ParquetFileInfo, sql: string): Promise<Row[]> {
    return this.#engine.rows(sql).catch((cause: unknown) => {
      throw unreadable([file.path], cause)
    })
  }

  /** The rows of one month in the plan's range, ascending, one a time, with its features. */
  async *frames(file: ParquetFileInfo): AsyncGenerator<Frame> {
    const range = this.#part(file)
    if (!range) return
    if (this.plan.features.length > 0) {
      yield* this.#withFeatures(file, range)
    } else {
      const read = { ...this.#read(range), mend: !(await this.report(file)).inOrder }
      yield* scan(this.#engine, { paths: [file.path] }, read, this.plan.rowsMax)
    }
  }

  /** Windows reach into the months beside it. */
  async *#withFeatures(file: ParquetFileInfo, range: TimeRange): AsyncGenerator<Frame> {
    const { plan } = this
    const timeframe = timeframeOf(file)
    const wide = rangeWithReach(range, timeframe, plan.features)
    // Back as far as there are bars, ahead never past the range: what comes after it is what nobody is to know.
    const reach = { ...wide, endMs: Math.min(wide.endMs, plan.range.endMs) }
    const columns = [...new Set([...plan.columns, ...featureInputs(plan.features)])]
    const selects: string[] = []
    for (const near of this.files) {
      const [held] = intersect([monthRange(near)], toRangeSet([reach]))
      if (!held) continue
      // Reports are of the range only: of what is before it nothing is known.
      const mend = held.startMs < plan.range.startMs || !(await this.report(near)).inOrder
      const read = { ...this.#read(held, columns), mend }
      selects.push(`(${await selectOf(this.#engine, { paths: [near.path] }, read)})`)
    }
    const options = { timeframe, range, keep: plan.columns }
    const sql = featureSql(selects.join(' UNION ALL '), plan.features, options)
    yield* framesOf(this.#engine, sql, this.names, [file.path], plan.rowsMax)
  }

  #read(range: TimeRange, columns = this.plan.columns): ReadPlan {
    return { time: this.plan.time, columns, timeColumns: this.plan.timeColumns, range }
  }
}

/** @throws ConfigError `loader.bad-timeframe` where the name's token is none that everybar knows. */
export function timeframeOf(file: ParquetFileInfo): NonNullable<ParquetFileInfo['timeframe']> {
  if (file.timeframe) return file.timeframe
  throw new ConfigError(
    'loader.bad-timeframe',
    'the width of these bars is not known, so bars cannot be counted',
    {
      path: file.path,
      value: file.timeframeToken,
      hint: 'Name files with a timeframe such as 1min, 4h or 1d; without one, load without features, context or require.',
    },
  )
}
