import type { EpochMs } from '../../model/time.ts'
import { shiftBars } from '../../model/timeframe.ts'
import type { AuditSession } from '../audit.ts'
import { monthsOf } from '../discovery.ts'
import { concatFrames, type Frame, rowAt, sliceFrame } from '../frame.ts'
import type { Months } from '../read/months.ts'
import {
  audited,
  auditedLoop,
  checkComplete,
  handledFrames,
  type LoadContext,
  type Loaded,
  type LoadQuery,
  lookAhead,
  noData,
  openMonths,
} from './common.ts'

export interface TrainingData extends Loaded {
  readonly train: Frame
  /** The later part, `embargoBars` after the end of `train`. Empty with a `validation_split` of 0. */
  readonly validation: Frame
  /** The first time that is not in `train`. */
  readonly cutoffMs: EpochMs
  /** The configured one, or as far as the targets look ahead where that is farther: so many rows at least, and so long. */
  readonly embargoBars: number
}

export function loadTraining(context: LoadContext, query: LoadQuery): Promise<TrainingData> {
  return audited(context, 'training', query, async (session) => {
    const months = await begin(context, query, session)
    const frames: Frame[] = []
    for await (const frame of handledFrames(context, months, session)) frames.push(frame)
    const all = concatFrames(frames, months.names)
    const findings = await months.findings()
    return { ...split(context, months, all), files: months.files, findings, sessionId: session.id }
  })
}

export const trainingFrames = (context: LoadContext, query: LoadQuery): AsyncGenerator<Frame> =>
  auditedLoop(context, 'training', query, async function* (session) {
    yield* handledFrames(context, await begin(context, query, session), session)
  })

async function begin(context: LoadContext, query: LoadQuery, session: AuditSession): Promise<Months> {
  const months = await openMonths(context, 'training', query)
  await session.count({ files_discovered: months.files.length })
  if (months.files.length === 0) throw noData(context, 'training', query)
  if (query.require === 'complete') await checkComplete(context, months, monthsOf(query))
  return months
}

function split(context: LoadContext, months: Months, all: Frame): Omit<TrainingData, keyof Loaded> {
  const { validation_split, embargo_bars } = context.config.processing
  const embargoBars = Math.max(embargo_bars, lookAhead(months))
  const cut = all.length - Math.round(all.length * validation_split)
  if (cut >= all.length) {
    const cutoffMs = all.length > 0 ? all.timeMs.at(-1)! + 1 : 0
    return { train: all, validation: sliceFrame(all, all.length, all.length), cutoffMs, embargoBars }
  }
  const cutoffMs = all.timeMs[cut]!
  const { timeframe } = months.files[0]!
  // By time, so that holes do not shorten the embargo, and by rows, so that a night does not pass for one.
  const byTime = timeframe ? rowAt(all, shiftBars(timeframe, cutoffMs, embargoBars)) : 0
  const resume = Math.min(Math.max(byTime, cut + embargoBars), all.length)
  const train = sliceFrame(all, 0, cut)
  if (context.config.processing.null_handling === 'interpolate') openLines(train)
  return { train, validation: sliceFrame(all, resume, all.length), cutoffMs, embargoBars }
}

/** Takes back the values at the end of `train` that lie on a line to a value after it, in place. */
function openLines({ length, columns, filled }: Frame): void {
  for (const [name, marks] of Object.entries(filled)) {
    for (let row = length - 1; row >= 0 && marks[row] === 1; row--) {
      columns[name]![row] = Number.NaN
      marks[row] = 0
    }
  }
}
