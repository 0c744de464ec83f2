import type { Archive, ArchiveFolder } from '../archive/archive.ts'
import type { CertifiedBars, CertifiedFile, CertifiedSlice, StreamedSeries } from '../coverage/certificate.ts'
import { isoRange } from '../coverage/certificate.ts'
import type { GapClass } from '../coverage/gap-class.ts'
import { batchWithin } from '../model/bar.ts'
import { lakePath } from '../model/lake.ts'
import type { RangeSet } from '../model/range-set.ts'
import { monthOf, overlap, type TimeRange } from '../model/time.ts'
import { byMonth } from '../store/bars.ts'
import { BarDigest } from '../store/digest.ts'
import type { Lake } from '../store/lake.ts'
import type { Store } from '../store/store.ts'
import type { SeriesJob } from './house.ts'
import type { Verdict, VerifyHouse } from './verify.ts'

/** What a verdict without a fault certifies. Slices and months are read while the text is written. */
export async function certifySeries(
  house: VerifyHouse,
  job: SeriesJob,
  verdict: Verdict,
): Promise<StreamedSeries> {
  const { range, gaps } = verdict
  const absent: { [name in GapClass]?: number } = {}
  for (const gap of gaps) absent[gap.class] = (absent[gap.class] ?? 0) + gap.bars
  return {
    series: job.id,
    ...isoRange(range),
    expected: verdict.expected,
    present: verdict.present,
    absent,
    complete: verdict.complete,
    gaps: gaps.map((gap) => ({ class: gap.class, ...isoRange(gap.range), bars: gap.bars })),
    files: await certifiedFiles(house, job, range),
    slices: certifiedSlices(house, job, range),
    bars: certifiedBars(house, job, range),
  }
}

/** Month files, where the lake keeps the bars; without it they are certified by their values alone. */
async function certifiedFiles(
  { lake, ledger }: VerifyHouse,
  job: SeriesJob,
  range: TimeRange,
): Promise<readonly CertifiedFile[]> {
  if (!lake) return []
  // Where bars wait in delta files the month file is not all there is.
  const waiting = new Set((await pendingMonths(lake, job)).map(({ startMs }) => startMs))
  const files: CertifiedFile[] = []
  for await (const { path, range: month, bytes, sha256 } of ledger.storedFiles(job.ref, lake.name))
    if (overlap(month, range) && sha256 !== null && !waiting.has(month.startMs))
      files.push({ path, bytes, sha256 })
  return files
}

async function* certifiedSlices(
  { archive, ledger }: VerifyHouse,
  job: SeriesJob,
  range: TimeRange,
): AsyncGenerator<CertifiedSlice> {
  const older = await olderVersions(archive, job.folder)
  for await (const { sliceId, key, sha256 } of ledger.slices(job.ref, range)) {
    if (sha256 === null) continue
    const versions = (older.get(sliceId) ?? []).map((version) => ({ sliceId, version }))
    const hashes = (await archive.check(job.folder, versions)).flatMap(({ answer }) => answer?.sha256 ?? [])
    yield { key, sha256, ...(hashes.length > 0 && { older: hashes }) }
  }
}

/** The superseded answers a folder lists, by slice: their versions, ascending. A name may hold any number. */
export async function olderVersions(
  archive: Archive,
  folder: ArchiveFolder,
): Promise<ReadonlyMap<string, readonly number[]>> {
  const older = new Map<string, number[]>()
  for await (const { sliceId, version } of archive.list(folder))
    if (version > 0) older.set(sliceId, [...(older.get(sliceId) ?? []), version])
  for (const versions of older.values()) versions.sort((a, b) => a - b)
  return older
}

/** The bars of the range by month, each with a digest of their values. Holds a run of bars. */
async function* certifiedBars(
  house: VerifyHouse,
  job: SeriesJob,
  range: TimeRange,
): AsyncGenerator<CertifiedBars> {
  const store = house.stores[0]!
  for (const month of await monthsOf(house, job)) {
    const part = overlap(month, range)
    if (!part) continue
    const digest = await digestOf(store, job, part)
    const path = store.traits.rewritesMonths ? lakePath(job.series, month.startMs) : store.name
    if (digest.rows > 0) yield { path, ...isoRange(part), bars: digest.rows, sha256: digest.hex() }
  }
}

/** The calendar months the first store may have bars of, ascending. */
async function monthsOf({ lake, stores }: VerifyHouse, job: SeriesJob): Promise<readonly TimeRange[]> {
  const months = new Map<number, TimeRange>()
  const add = (month: TimeRange) => months.set(month.startMs, month)
  if (lake) {
    for (const month of await pendingMonths(lake, job)) add(month)
    for await (const { month } of lake.files(job.series)) add(month)
  } else {
    const { firstMs, lastMs } = (await stores[0]!.extent(job.series)) ?? { firstMs: 0, lastMs: -1 }
    for (let month = monthOf(firstMs); month.startMs <= lastMs; month = monthOf(month.endMs)) add(month)
  }
  return [...months.values()].sort((a, b) => a.startMs - b.startMs)
}

/** The months of bars that wait in delta files, ascending. */
export const pendingMonths = async (lake: Lake, { series }: SeriesJob): Promise<readonly TimeRange[]> =>
  [...byMonth(await lake.pendingBars(series))].map(({ month }) => month)

/** @param parts of the range: bars elsewhere are passed over. */
export async function digestOf(
  store: Store,
  { series }: SeriesJob,
  range: TimeRange,
  parts: RangeSet = [range],
): Promise<BarDigest> {
  const digest = new BarDigest()
  for await (const batch of store.scan(series, range))
    for (const part of parts) digest.add(batchWithin(batch, part))
  return digest
}
