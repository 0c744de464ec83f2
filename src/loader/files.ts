import { basename } from 'node:path'
import { timeframeOfToken } from '../model/lake.ts'
import { unescapeSymbol } from '../model/series.ts'
import type { TimeRange } from '../model/time.ts'
import type { Timeframe } from '../model/timeframe.ts'
import { nameParts } from './config.ts'
import { InvalidFilenameError } from './errors.ts'

/** One month of one dataset, as its file name says. */
export interface ParquetFileInfo {
  readonly path: string
  readonly symbol: string
  /** `1m`; `undefined` where the name's token is none that everybar writes. */
  readonly timeframe: Timeframe | undefined
  /** The timeframe as it stands in the name: `1min`. */
  readonly timeframeToken: string
  /** Steps the targets were built for; 0 for market bars. */
  readonly horizon: number
  readonly year: number
  /** 1 to 12. */
  readonly month: number
  /** Names the dataset by its definition; the same for every month and for the twin. */
  readonly hash: string
  /** `parquet` or `json`. */
  readonly extension: string
  /** The same month as JSON beside a Parquet file; not read. */
  readonly twin?: string
}

/** The month a file holds. */
export const monthRange = ({
  year,
  month,
}: {
  readonly year: number
  readonly month: number
}): TimeRange => ({
  startMs: Date.UTC(year, month - 1, 1),
  endMs: Date.UTC(year, month, 1),
})

/**
 * What the name of `path` says by the configured pattern.
 *
 * @throws InvalidFilenameError `loader.bad-filename` where it does not fit, or names a month that does not exist.
 */
export function readFileName(path: string, naming: RegExp): ParquetFileInfo {
  const name = basename(path)
  const match = naming.exec(name)
  const parts =
    match && (match.groups ?? Object.fromEntries(nameParts.map((part, i) => [part, match[i + 1]])))
  const month = Number(parts?.month)
  const year = Number(parts?.year)
  const horizon = Number(/\d+$/.exec(parts?.horizon ?? '')?.[0])
  const whole = parts && nameParts.every((part) => parts[part] !== undefined)
  if (!whole || !(month >= 1 && month <= 12) || !Number.isInteger(year) || !Number.isInteger(horizon)) {
    throw new InvalidFilenameError(
      'loader.bad-filename',
      'the file name does not fit the configured pattern',
      {
        path,
        value: name,
        hint: 'Rename or move the file, or widen file_patterns.naming_regex; names are {SYMBOL}_{TIMEFRAME}_h{HORIZON}_{YEAR}_{MONTH}_{HASH}.{EXT}.',
      },
    )
  }
  const symbolToken = parts.symbol!
  return {
    path,
    symbol: unescapeSymbol(symbolToken) ?? symbolToken,
    timeframe: timeframeOfToken(parts.timeframe!),
    timeframeToken: parts.timeframe!,
    horizon,
    year,
    month,
    hash: parts.hash!,
    extension: parts.extension!,
  }
}

/** Names a dataset's month: no two files of different symbol, timeframe, horizon, month or hash share a key. */
export function fileKey(file: ParquetFileInfo): string {
  const month = String(file.month).padStart(2, '0')
  const symbol = encodeURIComponent(file.symbol).replaceAll('_', '%5F')
  return `${symbol}_${file.timeframeToken}_h${file.horizon}_${file.year}_${month}_${file.hash}`
}

/** What makes two files months of one dataset. */
export const datasetKey = (file: ParquetFileInfo): string =>
  `${file.symbol} ${file.timeframeToken} h${file.horizon} ${file.hash}`
