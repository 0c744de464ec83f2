import type { RangeSet } from '../../model/range-set.ts'
import { monthOf, overlap, type TimeRange } from '../../model/time.ts'
import { fixedWidthMs, type Timeframe } from '../../model/timeframe.ts'
import { type Feature, featureInputs, featureName, featureReach, featureSql } from '../features.ts'
import type { Frame } from '../frame.ts'
import { type Engine, identifier } from '../read/engine.ts'
import { framesOf, ROWS_PER_FRAME } from '../read/scan.ts'
import { slotsOf } from '../read/slots.ts'
import { selectOf } from '../read/source.ts'
import type { SeriesInput } from './inputs.ts'

export interface FeaturePlan {
  /** Columns of the lake to give beside the features. */
  readonly columns: readonly string[]
  readonly features: readonly Feature[]
  readonly range: TimeRange
  /** When the market is open, from `featureStart` on: its bars are counted, one after the other, whatever lies between. */
  readonly sessions?: RangeSet | undefined
}

const REAL = '__real'

/**
 * Where the bars begin that features of a range look back to. With `sessions` those are bars of the sessions, however
 * many nights lie between.
 */
export function featureStart(
  timeframe: Timeframe,
  { startMs }: TimeRange,
  features: readonly Feature[],
  sessionsOf?: (range: TimeRange) => RangeSet,
): number {
  const { back } = featureReach(features)
  const width = fixedWidthMs(timeframe) ?? 0
  for (let reach = back * width; ; reach *= 2) {
    const before = { startMs: Math.max(0, startMs - reach), endMs: startMs }
    if (!sessionsOf || reach === 0 || before.startMs === 0) return before.startMs
    const { count } = slotsOf('compact', timeframe, before, { sessions: sessionsOf(before) })
    if (count >= back) return before.startMs
  }
}

/**
 * Where the bars end that targets of a part look ahead to: as `featureStart`, but never past `limitMs`, since an export
 * knows nothing from its end on.
 */
function featureEnd(
  timeframe: Timeframe,
  { endMs }: TimeRange,
  features: readonly Feature[],
  { limitMs, sessions }: { readonly limitMs: number; readonly sessions: RangeSet | undefined },
): number {
  const { ahead } = featureReach(features)
  const width = fixedWidthMs(timeframe) ?? 0
  for (let reach = ahead * width; ; reach *= 2) {
    const after = { startMs: endMs, endMs: Math.min(limitMs, endMs + reach) }
    if (!sessions || reach === 0 || after.endMs === limitMs) return after.endMs
    if (slotsOf('compact', timeframe, after, { sessions }).count >= ahead) return after.endMs
  }
}

/**
 * The stored rows of a series in a range with its features, which look back to before the range where bars are stored
 * there, and never past its end. A month at a time, so that memory does not grow with the range.
 */
export async function* featureRows(
  engine: Engine,
  input: SeriesInput,
  plan: FeaturePlan,
): AsyncGenerator<Frame> {
  const { timeframe } = input.series
  const { range, features, sessions } = plan
  const wanted = [...new Set([...plan.columns, ...featureInputs(features)])]
  for (let month = monthOf(range.startMs); month.startMs < range.endMs; month = monthOf(month.endMs)) {
    const part = overlap(month, range)!
    const reach = {
      startMs: featureStart(timeframe, part, features, sessions && (() => sessions)),
      endMs: featureEnd(timeframe, part, features, { limitMs: range.endMs, sessions }),
    }
    const paths = input.files.filter((file) => overlap(file.month, reach)).map((file) => file.at)
    if (paths.length === 0) continue
    const select = await selectOf(engine, { paths }, { time: 'open_time', columns: wanted, range: reach })
    const names = features.map(featureName)
    if (sessions) {
      const open = sessions.filter((session) => overlap(session, reach))
      const sql = inSessions(select, { ...plan, range: part }, timeframe, open)
      const frames = framesOf(engine, sql, [...plan.columns, REAL, ...names], paths, ROWS_PER_FRAME)
      for await (const frame of frames) yield { ...frame, timeMs: frame.columns[REAL]! }
    } else {
      const sql = featureSql(select, features, { timeframe, range: part, keep: plan.columns })
      yield* framesOf(engine, sql, [...plan.columns, ...names], paths, ROWS_PER_FRAME)
    }
  }
}

/** As `featureSql`, on a clock that stands still while the market is closed; the real times stand beside it. */
function inSessions(
  select: string,
  { columns, features, range }: FeaturePlan,
  timeframe: Timeframe,
  sessions: RangeSet,
): string {
  const width = fixedWidthMs(timeframe) ?? 1
  let base = 0
  const rows = sessions.map(({ startMs, endMs }) => {
    const row = `(${startMs}::DOUBLE, ${endMs}::DOUBLE, ${base}::DOUBLE)`
    base += Math.ceil((endMs - startMs) / width) * width
    return row
  })
  const known =
    rows.length > 0 ? `VALUES ${rows.join(', ')}` : 'SELECT NULL::DOUBLE, NULL::DOUBLE, NULL::DOUBLE'
  const counted = `
    SELECT s.base + r.t - s.start_ms AS t, r.t AS ${identifier(REAL)}, r.* EXCLUDE (t)
    FROM (${select}) r ASOF JOIN (${known}) s(start_ms, end_ms, base) ON r.t >= s.start_ms
    WHERE r.t < s.end_ms AND (r.t - s.start_ms) % ${width} = 0`
  const whole = { startMs: 0, endMs: base + width }
  const sql = featureSql(counted, features, { timeframe, range: whole, keep: [...columns, REAL] })
  return `SELECT * FROM (${sql}) WHERE ${identifier(REAL)} >= ${range.startMs} AND ${identifier(REAL)} < ${range.endMs} ORDER BY t`
}
