import type { SliceRecord } from '../ledger/ledger.ts'
import { batchWithin, emptyBatch } from '../model/bar.ts'
import { isEverybarError } from '../model/errors.ts'
import type { RangeSet } from '../model/range-set.ts'
import { slice } from '../model/slice.ts'
import { overlap, type TimeRange } from '../model/time.ts'
import { StoreComparer } from './compare.ts'
import { type OnFault, repairHint } from './fault.ts'
import type { House, SeriesJob } from './house.ts'
import { type Acquired, olderAnswers, settleable } from './slice-answers.ts'

export interface DeepOptions {
  /** Where to compare, ascending. */
  readonly ranges: RangeSet
  readonly anchorMs: number | undefined
  /** Slices whose answers cannot be trusted, or that the ledger or the store do not know in their current form. */
  readonly skip: ReadonlySet<string>
  /** Where bars count as present. */
  readonly count: TimeRange
  readonly onFault: OnFault
  readonly onProgress?: () => void
}

export interface DeepCompared {
  /** Bars read from the store. */
  readonly bars: number
  /** Bars of the range to be counted that trusted answers hold. */
  readonly present: number
}

/**
 * Decodes archived answers again and compares what they say, field for field with the ledger and bar for bar with the
 * first store. Holds a month and a slice; about 400,000 bars a second.
 */
export async function compareDeep(
  house: Pick<House, 'archive' | 'ledger' | 'stores' | 'onEvent'>,
  job: SeriesJob,
  options: DeepOptions,
): Promise<DeepCompared> {
  const store = house.stores[0]!
  const stored = await rowsStored(house, job)
  let bars = 0
  let present = 0
  for (const range of options.ranges) {
    const comparer = new StoreComparer(store, job.series, options.onFault)
    let doneMs = range.startMs
    for await (const record of house.ledger.slices(job.ref, range)) {
      const here = overlap(record.range, range)!
      await comparer.expect({ startMs: doneMs, endMs: here.startMs }, emptyBatch)
      doneMs = here.endMs
      options.onProgress?.()
      if (options.skip.has(record.sliceId)) continue
      const read = await readSlice(house, job, record, options)
      if (record.sha256 === null) await comparer.expect(here, emptyBatch)
      else if (read) {
        await comparer.expect(here, read.bars)
        present += batchWithin(read.bars, options.count).length
        compareRows(house, job, record, read, stored.get(record.sliceId), options.onFault)
      }
    }
    await comparer.expect({ startMs: doneMs, endMs: range.endMs }, emptyBatch)
    bars += comparer.barsRead
  }
  return { bars, present }
}

/** What the ledger says the store has of each slice. About 100 bytes a slice. */
async function rowsStored({ ledger, stores }: Pick<House, 'ledger' | 'stores'>, job: SeriesJob) {
  const rows = new Map<string, number>()
  for await (const facet of ledger.stored(job.ref, stores[0]!.name)) rows.set(facet.sliceId, facet.rows)
  return rows
}

function compareRows(
  { archive, stores }: Pick<House, 'archive' | 'stores'>,
  job: SeriesJob,
  { sliceId, key, range }: SliceRecord,
  { bars }: Acquired,
  rows: number | undefined,
  onFault: OnFault,
): void {
  if (rows === undefined || rows === bars.length) return
  const path = archive.pathOf(job.folder, sliceId)
  const detail = `slice ${key}: ${rows} bars noted for ${stores[0]!.name}, the archive has ${bars.length}`
  onFault({ kind: 'ledger.differs', path, sliceId, range, detail, hint: repairHint })
}

/** Reads a slice's answers back and holds them against the ledger. `undefined` when there are none to be had. */
async function readSlice(
  house: Pick<House, 'archive' | 'onEvent'>,
  job: SeriesJob,
  record: SliceRecord,
  { anchorMs, onFault }: DeepOptions,
): Promise<Acquired | undefined> {
  if (record.sha256 === null) return undefined
  const { sliceId, key, range, limit } = record
  const path = house.archive.pathOf(job.folder, sliceId)
  const own = slice(job.series, job.source.spec.id, range, limit)
  if (own.id !== sliceId || own.key !== key) {
    const detail = `slice ${key}: neither its range nor its id is that of its key`
    onFault({ kind: 'ledger.differs', path, sliceId, range, detail, hint: repairHint })
    return undefined
  }
  try {
    const current = await house.archive.get(job.folder, sliceId)
    if (!current) return undefined
    const answers = [...(await olderAnswers(house, job, sliceId, current)), current]
    const read = await settleable(job, own, answers, anchorMs)
    const differs = differenceOf(record, read.record)
    if (differs) {
      const detail = `slice ${key}: ${differs}`
      onFault({ kind: 'ledger.differs', path, sliceId, range, detail, hint: repairHint })
    }
    return read
  } catch (error) {
    if (!isEverybarError(error, 'archive.corrupt')) throw error
    return undefined // told by whoever hashed it
  }
}

function differenceOf(record: SliceRecord, read: SliceRecord): string | undefined {
  const fields = [
    'status',
    'httpStatus',
    'items',
    'firstMs',
    'lastMs',
    'requestedAtMs',
    'completedAtMs',
    'venueTimeMs',
    'sha256',
    'error',
  ] as const
  for (const field of fields) {
    if (record[field] !== read[field]) return `${field} is ${record[field]}, the archive says ${read[field]}`
  }
  const same = JSON.stringify(record.findings) === JSON.stringify(read.findings)
  return same ? undefined : 'its findings are not what the archive shows'
}
