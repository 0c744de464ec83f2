import { EverybarError } from '../model/errors.ts'
import { escapeSymbol, unescapeSymbol } from '../model/series.ts'
import type { ArchiveFolder } from './archive.ts'

export type Compression = 'none' | 'zstd'

/** How an answer's file is written: whole, or as a tail of many; compressed or not. */
export type Form = Compression | 'tail' | 'tail-zstd'

const endings: Readonly<Record<Form, string>> = {
  none: '.json',
  zstd: '.json.zst',
  tail: '.tail.json',
  'tail-zstd': '.tail.json.zst',
}

export const isTail = (form: Form): boolean => form === 'tail' || form === 'tail-zstd'

const word = /^[a-z0-9][a-z0-9-]*$/
const timeframeWord = /^(?:[1-9]\d{0,3}[smhdwM]|by-id)$/
const sliceIdWord = /^[0-9a-f]{32}$/

/** Room for `.tail.json.zst` and version numbers in the 255 bytes a file system gives a name. */
const NAME_BYTES_MAX = 200

function badName(what: string, value: string): EverybarError {
  return new EverybarError('archive.bad-name', `${what} "${value.slice(0, 60)}" cannot be a folder's name`, {
    recovery: 'abort',
    hint: `Venues are [a-z0-9-], symbols 1 to ${NAME_BYTES_MAX} bytes once escaped, slice ids 32 hexadecimal characters.`,
  })
}

/**
 * Folder of the answers, relative to the root. Nothing a folder says can lead out of the root: symbols are escaped,
 * everything else is checked. Months are written `1mon`, so that `1m` and `1M` stay apart where case does not count.
 *
 * @throws EverybarError `archive.bad-name` (abort).
 */
export function folderPath({ venue, directory, symbol, timeframe }: ArchiveFolder): string {
  if (!word.test(venue)) throw badName('venue', venue)
  if (!word.test(directory)) throw badName('directory', directory)
  if (!timeframeWord.test(timeframe)) throw badName('timeframe', timeframe)
  const name = escapeSymbol(symbol)
  if (name === '' || name.length > NAME_BYTES_MAX || unescapeSymbol(name) !== symbol)
    throw badName('symbol', symbol)
  return `${venue}/${directory}/raw/${name}/${timeframe.replace('M', 'mon')}/responses`
}

/** The inverse of `folderPath`, from its parts; `undefined` for what it never makes. */
export function folderOf(
  venue: string,
  directory: string,
  symbolName: string,
  timeframeName: string,
): ArchiveFolder | undefined {
  const symbol = unescapeSymbol(symbolName)
  const timeframe = timeframeName.replace('mon', 'M')
  if (!symbol || !word.test(venue) || !word.test(directory) || !timeframeWord.test(timeframe))
    return undefined
  return { venue, directory, symbol, timeframe }
}

/** @throws EverybarError `archive.bad-name` (abort) for an id or version that is none. */
export function answerName(sliceId: string, version: number, form: Form): string {
  if (!sliceIdWord.test(sliceId)) throw badName('slice id', sliceId)
  if (!Number.isSafeInteger(version) || version < 0) throw badName('version', String(version))
  const number = version === 0 ? '' : `.${version}`
  return `${sliceId}${number}${endings[form]}`
}

/** The inverse of `answerName`; `undefined` for other files. */
export function parseAnswerName(name: string): { sliceId: string; version: number } | undefined {
  const match = /^([0-9a-f]{32})(?:\.([1-9]\d{0,8}))?(?:\.tail)?\.json(?:\.zst)?$/.exec(name)
  return match ? { sliceId: match[1]!, version: match[2] ? Number(match[2]) : 0 } : undefined
}

/** Where the evidence of a folder lies: beside `responses`. @throws EverybarError `archive.bad-name` (abort). */
export function evidencePath(folder: ArchiveFolder, name: string): string {
  if (!word.test(name)) throw badName('evidence', name)
  return `${evidenceFolder(folder)}/${name}.json`
}

export const evidenceFolder = (folder: ArchiveFolder): string =>
  folderPath(folder).replace(/responses$/, 'evidence')

/** The inverse of `evidencePath`, of the last part; `undefined` for other files. */
export const parseEvidenceName = (name: string): string | undefined =>
  /^([a-z0-9][a-z0-9-]*)\.json$/.exec(name)?.[1]
