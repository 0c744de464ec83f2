import type { RangeSet } from '../../model/range-set.ts'
import { type EpochMs, iso, type TimeRange } from '../../model/time.ts'
import { fixedWidthMs, nextOpen, type Timeframe } from '../../model/timeframe.ts'
import { ConfigError, DataQualityError } from '../errors.ts'
import { featureName } from '../features.ts'
import { fillFrames } from '../fill.ts'
import type { Engine } from '../read/engine.ts'
import { ROWS_PER_FRAME } from '../read/scan.ts'
import { ownDay, type Slots, slotsOf } from '../read/slots.ts'
import { type DenseCounts, type DenseFrame, densify } from './dense.ts'
import { featureRows } from './feature-rows.ts'
import { type SeriesInput, storedRows } from './inputs.ts'
import { type Definition, featuresOf, fillOptions } from './options.ts'

/** Rows of an export: on a regular grid, `realMs` telling the open times where the grid's are not the real ones. */
export interface ExportFrame extends DenseFrame {
  readonly realMs?: Float64Array
}

/** One series of an export and its grid. */
export interface Item {
  readonly id: string
  readonly input: SeriesInput
  readonly timeframe: Timeframe
  readonly slots: Slots
  /** The same grid in another part of the range, on real times. */
  readonly slotsIn: (range: TimeRange) => Slots
  /** The time a row has in the files, by its open time and its number, where that is not the open time itself. */
  readonly stamp?: (openMs: EpochMs, row: number) => EpochMs
  /** When the market is open, with the grid `compact`. */
  readonly sessions?: RangeSet
  /** What did not fit, counted as the rows go by. */
  readonly counts: DenseCounts
  /** Filled values by column, counted as the rows go by. */
  readonly filled: Record<string, number>
}

/** @throws ConfigError `loader.bad-grid`. */
export function makeItem(
  input: SeriesInput,
  definition: Definition,
  range: TimeRange,
  sessions?: RangeSet,
): Item {
  const { timeframe } = input.series
  const { anchorMs } = input
  // Sessions count their bars from the opening bell, not from midnight.
  const options =
    definition.grid === 'compact'
      ? { ...(sessions && { sessions }) }
      : { ...(anchorMs !== undefined && { anchorMs }) }
  const startMs = definition.leading === 'trim' ? Math.max(range.startMs, input.firstMs) : range.startMs
  const slotsIn = (part: TimeRange) => slotsOf(definition.grid, timeframe, part, options)
  const slots = slotsIn({ startMs, endMs: range.endMs })
  const counts = { offGrid: 0, missing: 0 }
  const compact = definition.grid === 'compact' && sessions
  const stamp = stampOf(definition, timeframe, slots)
  return {
    ...{ id: input.id, input, timeframe, slots, slotsIn, counts, filled: {} },
    ...(stamp && { stamp }),
    ...(compact && { sessions }),
  }
}

/**
 * Regular times for rows whose own are none: for a market that closes, the first real one, then a bar's width at a time;
 * for business days, the dates, since trainers know Monday to Friday by them.
 */
function stampOf({ grid }: Definition, timeframe: Timeframe, { firstMs }: Slots): Item['stamp'] {
  if (grid === 'business-days' && ownDay(firstMs) !== firstMs) return ownDay
  if (grid !== 'compact') return undefined
  const width = widthOf(timeframe)
  return (_, row) => firstMs + row * width
}

/**
 * The rows of an item: every slot, unknown values filled by the definition's policy. Counts into the item.
 *
 * @throws DataQualityError `loader.irregular` with the policy `none` at the first slot without a bar.
 */
export async function* itemFrames(
  engine: Engine,
  item: Item,
  definition: Definition,
  range: TimeRange,
): AsyncGenerator<ExportFrame> {
  const fill = fillOptions(definition)
  const features = featuresOf(definition)
  // The close stands in for every price, so it is read even where it is not exported.
  const columns = [...new Set([...definition.columns, ...(fill ? ['close'] : [])])]
  const stored =
    features.length > 0
      ? featureRows(engine, item.input, { columns, features, range, sessions: item.sessions })
      : storedRows(engine, item.input, columns, range)
  const names = [...columns, ...features.map(featureName)]
  const dense = densify(stored, names, item.slots, ROWS_PER_FRAME, item.counts)
  const whole = fill ? fillFrames(dense, fill) : dense
  let row = 0
  for await (const frame of whole) {
    if (definition.fill.policy === 'none' && definition.format !== 'csv') refuseHoles(item, frame)
    for (const name of definition.columns) {
      const marks = frame.filled[name]
      if (marks) item.filled[name] = (item.filled[name] ?? 0) + marks.reduce((sum, mark) => sum + mark, 0)
    }
    yield stamped(frame, item, row)
    row += frame.length
  }
}

function refuseHoles(item: Item, frame: DenseFrame): void {
  const hole = frame.present.indexOf(0)
  if (hole < 0) return
  throw new DataQualityError(
    'loader.irregular',
    `${item.id} has no bar at ${iso(frame.timeMs[hole]!)}, so its rows are not regular`,
    {
      path: item.input.files[0]!.path,
      hint: 'Use the fill policy nan, which keeps the row without values, or previous or linear, which mark what they make.',
    },
  )
}

function stamped(frame: DenseFrame, { stamp }: Item, row: number): ExportFrame {
  if (!stamp) return frame
  const timeMs = frame.timeMs.map((ms, i) => stamp(ms, row + i))
  return { ...frame, timeMs, realMs: frame.timeMs }
}

function widthOf(timeframe: Timeframe): number {
  const width = fixedWidthMs(timeframe)
  if (width !== undefined) return width
  throw new ConfigError('loader.bad-grid', 'the grid compact needs bars of a fixed width', {
    value: timeframe,
    hint: 'Use the grid calendar for months.',
  })
}

/** The times of the rows after the last one of an export, as a model counts them on. */
export function futureTimes(item: Item, mode: Definition['grid'], count: number): Float64Array {
  const { slots, timeframe, stamp } = item
  const out = new Float64Array(count)
  // When a market opens after the range is not known, and its rows are numbered on all the same.
  let ms: EpochMs = mode === 'compact' ? slots.endMs : firstAfter(slots)
  for (let i = 0; i < count; i++) {
    out[i] = stamp ? stamp(ms, slots.count + i) : ms
    ms = mode === 'business-days' ? slots.next(ms) : nextOpen(timeframe, ms)
  }
  return out
}

/** The first slot at or after the end of the range. */
function firstAfter({ firstMs, endMs, next }: Slots): EpochMs {
  let ms = firstMs
  while (ms < endMs) ms = next(ms)
  return ms
}
