import { join } from 'node:path'
import { lakePath, parseLakeFileName } from '../../model/lake.ts'
import { parseSeries, type Series, seriesId } from '../../model/series.ts'
import { monthOf, type TimeRange } from '../../model/time.ts'
import type { LakeFile } from '../lake.ts'
import { corrupt } from './errors.ts'
import type { LakeFilesystem } from './filesystem.ts'

/** Months a venue has a folder for, oldest first. */
export async function* monthFolders(
  root: string,
  venue: string,
  fs: LakeFilesystem,
): AsyncGenerator<TimeRange> {
  const folder = join(root, 'lake', venue)
  for (const year of await fs.list(folder)) {
    if (!/^\d{4}$/.test(year)) continue
    for (const month of await fs.list(join(folder, year))) {
      if (/^(0[1-9]|1[0-2])$/.test(month)) yield monthOf(Date.UTC(Number(year), Number(month) - 1, 1))
    }
  }
}

/** Every Parquet file below `lake/` and none of a writer under way, relative to the data root, with `/`. */
export async function* parquetFiles(root: string, fs: LakeFilesystem, at = 'lake'): AsyncGenerator<string> {
  for (const name of await fs.list(join(root, at))) {
    if (name.endsWith('.parquet')) yield `${at}/${name}`
    else if (!name.startsWith('.')) yield* parquetFiles(root, fs, `${at}/${name}`)
  }
}

/** The month files of a series, oldest first. */
export async function* filesOf(root: string, series: Series, fs: LakeFilesystem): AsyncGenerator<LakeFile> {
  for await (const month of monthFolders(root, series.instrument.venue, fs)) {
    const path = lakePath(series, month.startMs)
    const found = await fs.stat(join(root, path))
    if (found) yield { series, month, path, bytes: found.bytes }
  }
}

/** A file whose name is a lake file's, and the folder it should be in. Whether it holds what it says is not known. */
export interface NamedFile {
  /** Relative to the data root, with `/`. */
  readonly path: string
  readonly venue: string
  readonly symbol: string
  readonly timeframe: string
  readonly month: TimeRange
  readonly hash: string
}

/** Every market-bar file of the lake by its name, by venue, month and name. Other files are passed over. */
export async function* namedFiles(root: string, fs: LakeFilesystem): AsyncGenerator<NamedFile> {
  for (const venue of await fs.list(join(root, 'lake'))) {
    if (!/^[a-z0-9][a-z0-9-]*$/.test(venue)) continue
    for await (const month of monthFolders(root, venue, fs)) {
      const date = new Date(month.startMs)
      const year = date.getUTCFullYear()
      const folder = `lake/${venue}/${year}/${String(date.getUTCMonth() + 1).padStart(2, '0')}`
      for (const name of await fs.list(join(root, folder))) {
        const parsed = parseLakeFileName(name)
        if (parsed?.horizon !== 0) continue
        if (parsed.year !== year || parsed.month !== date.getUTCMonth() + 1) continue
        const { symbol, timeframe, hash } = parsed
        yield { path: `${folder}/${name}`, venue, symbol, timeframe, month, hash }
      }
    }
  }
}

/** A series and its files, oldest first, paths relative to the data root. */
export interface ListedSeries {
  readonly series: Series
  readonly paths: readonly string[]
}

/**
 * Every series of the lake with its files, by series id. A file's name tells symbol, timeframe and month; market and
 * price kind stand behind its hash, and one file of each hash is asked for them through `seriesIn`. The answer is
 * checked against the hash, so no file can pass itself off as another market's.
 *
 * @throws EverybarError `store.corrupt` (abort) when no file of a dataset can say what it is.
 */
export async function listSeries(
  root: string,
  fs: LakeFilesystem,
  seriesIn: (path: string) => Promise<string | undefined>,
): Promise<ListedSeries[]> {
  const datasets = new Map<string, NamedFile[]>()
  for await (const file of namedFiles(root, fs)) {
    const key = `${file.venue}/${file.hash}`
    const list = datasets.get(key)
    if (list) list.push(file)
    else datasets.set(key, [file])
  }
  const found = new Map<string, { series: Series; paths: string[] }>()
  for (const files of datasets.values()) {
    const like = await identify(root, files, seriesIn)
    for (const { path, venue, symbol, timeframe } of files) {
      const { market } = like.instrument
      const series: Series = {
        ...like,
        instrument: { venue, market, symbol },
        timeframe: timeframe as Series['timeframe'],
      }
      const id = seriesId(series)
      const listed = found.get(id)
      if (listed) listed.paths.push(path)
      else found.set(id, { series, paths: [path] })
    }
  }
  return [...found.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, listed]) => listed)
}

/** A series of the dataset the files belong to. */
async function identify(
  root: string,
  files: readonly NamedFile[],
  seriesIn: (path: string) => Promise<string | undefined>,
): Promise<Series> {
  let reason: unknown
  for (const file of files) {
    try {
      const id = await seriesIn(join(root, file.path))
      const series = id === undefined ? undefined : parseSeries(id)
      if (series && lakePath(series, file.month.startMs) === file.path) return series
    } catch (error) {
      reason ??= error
    }
  }
  throw reason ?? corrupt(join(root, files[0]!.path), 'does not say which series it holds')
}
