import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { escapeSymbol } from '../model/series.ts'
import type { EpochMs, TimeRange } from '../model/time.ts'
import { readWhen, whenHint } from '../model/when.ts'
import type { ParquetLoaderConfig } from './config.ts'
import { ConfigError, InvalidFilenameError } from './errors.ts'
import { datasetKey, monthRange, type ParquetFileInfo, readFileName } from './files.ts'

/** Epoch milliseconds, or ISO 8601 in UTC: `2024`, `2024-03`, `2024-03-05T14:30Z`. */
export type Instant = EpochMs | string

/**
 * Which months of which dataset. The months are named in one of two ways: by `year` or `yearRange`, with `month` or
 * `monthRange` (both ends belong to a range, and the months are taken of *every* year); or by `from` and `to`, a real
 * half-open range, of which either end may be left out.
 */
export interface FileQuery {
  readonly symbol: string
  readonly year?: number
  readonly yearRange?: readonly [number, number]
  readonly month?: number
  readonly monthRange?: readonly [number, number]
  readonly from?: Instant
  readonly to?: Instant
  /** As everybar writes them (`1m`) or as in the name (`1min`); all unless said. */
  readonly timeframes?: readonly string[]
  readonly horizon?: number
  readonly hash?: string
}

/** The months a query names: a test, and the time they hold together (`from … to` exactly, where given). */
export interface MonthFilter {
  readonly holds: (year: number, month: number) => boolean
  readonly range: TimeRange
}

const FOREVER: TimeRange = { startMs: 0, endMs: Date.UTC(5138, 0, 1) }

/** Finds month files under `{root}/{YYYY}/{MM}/`. Looks at names only; opens nothing. */
export class FileDiscovery {
  readonly root: string
  readonly #config: Pick<ParquetLoaderConfig, 'naming' | 'extensions'>

  constructor(config: Pick<ParquetLoaderConfig, 'rootDir' | 'naming' | 'extensions'>, root = config.rootDir) {
    this.root = root
    this.#config = config
  }

  /**
   * The files of `query`, by month, then symbol, timeframe, horizon and hash. Folders that are not there are skipped;
   * nothing found is an empty list. A JSON file stands for its month only where there is no Parquet file beside it.
   *
   * @throws ConfigError `loader.bad-range` for months that are absent, reversed or impossible.
   * @throws InvalidFilenameError `loader.bad-filename` for a data file in a visited folder whose name says nothing, or
   *   names another month than the folder.
   */
  async discover(query: FileQuery): Promise<ParquetFileInfo[]> {
    const months = monthsOf(query)
    const wanted = matcher(query)
    const files: ParquetFileInfo[] = []
    for (const year of await numberedFolders(this.root, /^\d{4}$/)) {
      for (const month of await numberedFolders(join(this.root, year), /^\d{2}$/)) {
        if (!months.holds(Number(year), Number(month))) continue
        files.push(...(await this.#month(year, month)).filter(wanted))
      }
    }
    return files.sort(byMonthThenName)
  }

  async #month(year: string, month: string): Promise<ParquetFileInfo[]> {
    const { extensions, naming } = this.#config
    const folder = join(this.root, year, month)
    const entries = await readdir(folder, { withFileTypes: true })
    const found: ParquetFileInfo[] = []
    const twins: ParquetFileInfo[] = []
    for (const { name } of entries.filter((entry) => !entry.isDirectory() && !entry.name.startsWith('.'))) {
      const isParquet = name.endsWith(extensions.parquet)
      if (!isParquet && !name.endsWith(extensions.json)) continue
      const file = readFileName(join(folder, name), naming)
      if (file.year !== Number(year) || file.month !== Number(month)) {
        throw misplaced(file, `${year}/${month}`)
      }
      ;(isParquet ? found : twins).push(file)
    }
    return withTwins(found, twins)
  }
}

function withTwins(found: ParquetFileInfo[], twins: ParquetFileInfo[]): ParquetFileInfo[] {
  const byKey = new Map(found.map((file) => [datasetKey(file), file]))
  for (const twin of twins) {
    const file = byKey.get(datasetKey(twin))
    byKey.set(datasetKey(twin), file ? { ...file, twin: twin.path } : twin)
  }
  return [...byKey.values()]
}

async function numberedFolders(path: string, pattern: RegExp): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return []
    throw error
  })
  return entries
    .map((entry) => entry.name)
    .filter((name) => pattern.test(name))
    .sort()
}

function matcher(query: FileQuery): (file: ParquetFileInfo) => boolean {
  const token = escapeSymbol(query.symbol)
  const frames = query.timeframes && new Set(query.timeframes)
  return (file) =>
    (file.symbol === query.symbol || file.symbol === token) &&
    (!frames ||
      frames.has(file.timeframeToken) ||
      (file.timeframe !== undefined && frames.has(file.timeframe))) &&
    (query.horizon === undefined || file.horizon === query.horizon) &&
    (query.hash === undefined || file.hash === query.hash)
}

const byMonthThenName = (a: ParquetFileInfo, b: ParquetFileInfo): number =>
  a.year - b.year || a.month - b.month || (datasetKey(a) < datasetKey(b) ? -1 : 1)

/**
 * The months `query` names.
 *
 * @throws ConfigError `loader.bad-range`.
 */
export function monthsOf(query: FileQuery): MonthFilter {
  if (query.timeframes?.length === 0) throw badRange('timeframes is empty', query.timeframes)
  const byYear = query.year !== undefined || query.yearRange !== undefined
  const byTime = query.from !== undefined || query.to !== undefined
  if (byYear === byTime) {
    throw badRange('name the months either by year or yearRange, or by from and to', {
      ...(byYear && { year: query.year ?? query.yearRange }),
      ...(byTime && { from: query.from ?? null, to: query.to ?? null }),
    })
  }
  return byTime ? betweenInstants(query) : betweenYears(query)
}

function betweenInstants({ from, to, month, monthRange: months }: FileQuery): MonthFilter {
  if (month !== undefined || months !== undefined)
    throw badRange('month does not go with from and to', month ?? months)
  const range = {
    startMs: from === undefined ? FOREVER.startMs : instantMs('from', from),
    endMs: to === undefined ? FOREVER.endMs : instantMs('to', to),
  }
  if (range.endMs <= range.startMs) throw badRange('to has to come after from', { from, to })
  return {
    range,
    holds: (year, m) => {
      const held = monthRange({ year, month: m })
      return held.startMs < range.endMs && held.endMs > range.startMs
    },
  }
}

function betweenYears({ year, yearRange, month, monthRange: months }: FileQuery): MonthFilter {
  if (year !== undefined && yearRange !== undefined) throw badRange('give year or yearRange, not both', year)
  if (month !== undefined && months !== undefined) throw badRange('give month or monthRange, not both', month)
  const [firstYear, lastYear] = inOrder('yearRange', yearRange ?? [year!, year!], 1970, 5137)
  const one: readonly [number, number] | undefined = month === undefined ? undefined : [month, month]
  const [firstMonth, lastMonth] = inOrder('monthRange', months ?? one ?? [1, 12], 1, 12)
  return {
    range: { startMs: Date.UTC(firstYear, firstMonth - 1, 1), endMs: Date.UTC(lastYear, lastMonth, 1) },
    holds: (y, m) => y >= firstYear && y <= lastYear && m >= firstMonth && m <= lastMonth,
  }
}

function inOrder(
  name: string,
  pair: readonly [number, number],
  least: number,
  most: number,
): readonly [number, number] {
  const [first, last] = pair
  const whole = [first, last].every((n) => Number.isInteger(n) && n >= least && n <= most)
  if (!whole) throw badRange(`${name} has to lie in ${least} … ${most}`, pair)
  if (last < first) throw badRange(`${name} is reversed`, pair)
  return pair
}

/** @throws ConfigError `loader.bad-range` for text that is no absolute time, or a number that is no epoch ms. */
export function instantMs(name: string, instant: Instant): EpochMs {
  const when = typeof instant === 'string' ? readWhen(instant) : undefined
  const ms = typeof instant === 'number' ? instant : when?.kind === 'at' ? when.ms : Number.NaN
  if (!Number.isSafeInteger(ms) || ms < 0 || ms > FOREVER.endMs) {
    throw badRange(`${name} is not an absolute time. ${whenHint}`, instant)
  }
  return ms
}

const misplaced = (file: ParquetFileInfo, folder: string): InvalidFilenameError =>
  new InvalidFilenameError(
    'loader.bad-filename',
    `the file lies in the folder ${folder} and names another month`,
    {
      path: file.path,
      value: `${file.year}-${file.month}`,
      hint: 'Move the file to the folder of its month, or correct its name.',
    },
  )

const badRange = (message: string, value: unknown): ConfigError =>
  new ConfigError('loader.bad-range', message, {
    value,
    hint: 'For instance year: 2014, yearRange: [2014, 2016] with monthRange: [1, 6], or from: "2014-03", to: "2016".',
  })
