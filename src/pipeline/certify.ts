import type { CertifiedBars, CertifiedFile, CertifiedSlice, StreamedSeries } from '../coverage/certificate.ts'
import { isoRange } from '../coverage/certificate.ts'
import type { GapClass } from '../coverage/gap-class.ts'
import { lakePath } from '../model/lake.ts'
import { overlap, type TimeRange } from '../model/time.ts'
import { byMonth } from '../store/bars.ts'
import { BarDigest } from '../store/digest.ts'
import type { Lake } from '../store/lake.ts'
import type { House, SeriesJob } from './house.ts'
import type { Verdict } from './verify.ts'

type CertifyHouse = Pick<House, 'archive' | 'ledger'> & { readonly lake: Lake }

/** What a verdict without a fault certifies. Slices and months are read while the text is written. */
export async function certifySeries(
  house: CertifyHouse,
  job: SeriesJob,
  verdict: Verdict,
): Promise<StreamedSeries> {
  const { range, gaps } = verdict
  const absent: { [name in GapClass]?: number } = {}
  for (const gap of gaps) absent[gap.class] = (absent[gap.class] ?? 0) + gap.bars
  // Where bars wait in delta files the month file is not all there is: those months are certified by their bars alone.
  const waiting = new Set((await pendingMonths(house.lake, job)).map(({ startMs }) => startMs))
  const files: CertifiedFile[] = []
  for await (const { path, range: month, bytes, sha256 } of house.ledger.storedFiles(
    job.ref,
    house.lake.name,
  ))
    if (overlap(month, range) && sha256 !== null && !waiting.has(month.startMs))
      files.push({ path, bytes, sha256 })
  return {
    series: job.id,
    ...isoRange(range),
    expected: verdict.expected,
    present: verdict.present,
    absent,
    complete: verdict.complete,
    gaps: gaps.map((gap) => ({ class: gap.class, ...isoRange(gap.range), bars: gap.bars })),
    files,
    slices: certifiedSlices(house, job, range),
    bars: certifiedBars(house.lake, job, range),
  }
}

async function* certifiedSlices(
  { archive, ledger }: CertifyHouse,
  job: SeriesJob,
  range: TimeRange,
): AsyncGenerator<CertifiedSlice> {
  const older = new Map<string, number>()
  for await (const { sliceId, version } of archive.list(job.folder))
    if (version > 0) older.set(sliceId, Math.max(version, older.get(sliceId) ?? 0))
  for await (const { sliceId, key, sha256 } of ledger.slices(job.ref, range)) {
    if (sha256 === null) continue
    const count = older.get(sliceId) ?? 0
    const versions = Array.from({ length: count }, (_, i) => ({ sliceId, version: i + 1 }))
    const hashes = (await archive.check(job.folder, versions)).flatMap(({ answer }) => answer?.sha256 ?? [])
    yield { key, sha256, ...(hashes.length > 0 && { older: hashes }) }
  }
}

/** The bars of the range by month, each with a digest of their values. Holds a run of bars. */
async function* certifiedBars(lake: Lake, job: SeriesJob, range: TimeRange): AsyncGenerator<CertifiedBars> {
  const months = new Map((await pendingMonths(lake, job)).map((month) => [month.startMs, month]))
  for await (const { month } of lake.files(job.series)) months.set(month.startMs, month)
  for (const startMs of [...months.keys()].sort((a, b) => a - b)) {
    const part = overlap(months.get(startMs)!, range)
    if (!part) continue
    const digest = await digestOf(lake, job, part)
    const path = lakePath(job.series, startMs)
    if (digest.rows > 0) yield { path, ...isoRange(part), bars: digest.rows, sha256: digest.hex() }
  }
}

/** The months of bars that wait in delta files, ascending. */
const pendingMonths = async (lake: Lake, { series }: SeriesJob): Promise<readonly TimeRange[]> =>
  [...byMonth(await lake.pendingBars(series))].map(({ month }) => month)

export async function digestOf(lake: Lake, { series }: SeriesJob, range: TimeRange): Promise<BarDigest> {
  const digest = new BarDigest()
  for await (const batch of lake.scan(series, range)) digest.add(batch)
  return digest
}
