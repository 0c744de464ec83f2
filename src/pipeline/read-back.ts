import type { SliceRecord } from '../ledger/ledger.ts'
import { isEverybarError } from '../model/errors.ts'
import { slice } from '../model/slice.ts'
import type { House, SeriesJob } from './house.ts'
import { type Acquired, olderAnswers, settleable } from './slice-answers.ts'

/** An archived slice as it was when it came; `undefined`, and a word in the log, when its file is gone or damaged. */
export async function readBack(
  house: Pick<House, 'archive' | 'onEvent'>,
  job: SeriesJob,
  record: SliceRecord,
  anchorMs: number | undefined,
): Promise<Acquired | undefined> {
  try {
    const current = await house.archive.get(job.folder, record.sliceId)
    if (!current) return undefined
    const own = slice(job.series, job.source.spec.id, record.range, record.limit)
    const answers = [...(await olderAnswers(house, job, record.sliceId, current)), current]
    const acquired = await settleable(job, own, answers, anchorMs)
    return { ...acquired, record: { ...acquired.record, sha256: record.sha256 } }
  } catch (error) {
    if (!isEverybarError(error, 'archive.corrupt')) throw error
    house.onEvent({ event: 'archive_corrupt', level: 'error', series: job.id, message: error.message })
    return undefined
  }
}
