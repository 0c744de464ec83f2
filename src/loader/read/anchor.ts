import type { EpochMs } from '../../model/time.ts'
import { anchorOf, fixedWidthMs, type Timeframe } from '../../model/timeframe.ts'
import type { Engine } from './engine.ts'

/**
 * A point of the grid that the bars of a timeframe stand on, by the bars themselves: where most of them open within a
 * bar's width. Not every venue counts from midnight UTC: days of India begin at 18:30, hours at the opening bell. Of
 * grids with equally many bars the usual one.
 *
 * @param opens SQL that gives `t`, the open times as epoch ms.
 * @returns `undefined` without a single bar, and for months, which need no anchor.
 */
export async function anchorIn(
  engine: Engine,
  opens: string,
  timeframe: Timeframe,
): Promise<EpochMs | undefined> {
  const width = fixedWidthMs(timeframe)
  if (width === undefined) return undefined
  const usual = (anchorOf(timeframe) ?? 0) % width
  const [row] = await engine.rows(
    `SELECT (t % ${width})::DOUBLE AS anchor FROM (${opens}) WHERE t IS NOT NULL
     GROUP BY anchor ORDER BY count(*) DESC, anchor <> ${usual}, anchor LIMIT 1`,
  )
  return row?.anchor as number | undefined
}
