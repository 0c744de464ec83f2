import { createHash } from 'node:crypto'
import { type FileSystem, faultCode, TEMPORARY_PREFIX, type WritableFile } from '../model/filesystem.ts'
import { diskFull, notWritable } from './faults.ts'
import type { Ledger, LedgerSeries } from './ledger.ts'
import {
  entryOf,
  type ManifestPlace,
  manifestHead,
  manifestLine,
  nameOf,
  summaryOf,
} from './manifest-format.ts'
import { noCounts } from './status.ts'

const FACT = 'manifest-export'

/** Characters gathered before they are hashed or written. */
const PIECE = 64 * 1024

export interface ExportOptions {
  readonly ledger: Ledger
  readonly series: LedgerSeries
  readonly place: ManifestPlace
  readonly files: FileSystem
  /** Looks at the file even where nothing has changed since it was written: it may have been damaged. */
  readonly anew?: boolean
}

/**
 * Writes what a ledger knows of a series as the `manifest.json` in its folder, to be read by eye and by other tools.
 * The file is replaced at one instant, and only when it would say something else; a series whose records have not
 * changed since costs two look-ups. Memory does not grow with the slices.
 *
 * @returns whether the file was written.
 * @throws EverybarError `ledger.disk-full`, `ledger.not-writable` (abort). The ledger itself is not harmed.
 */
export async function exportManifest({
  ledger,
  series,
  place,
  files,
  anew,
}: ExportOptions): Promise<boolean> {
  const revision = await ledger.revision(series)
  try {
    const fact = await ledger.getFact(series, FACT)
    const exists = (await files.size(place.path)) !== undefined
    if (revision === 0 || (!anew && exists && fact?.revision === revision)) return false
    const hash = createHash('sha256')
    for await (const piece of pieces(ledger, series, place)) hash.update(piece)
    const sha256 = hash.digest('hex')
    const changed = !exists || (await hashOf(files, place.path)) !== sha256
    if (changed) await writeManifest(files, place.path, pieces(ledger, series, place))
    await ledger.putFact(series, FACT, { revision, names: nameOf(place, ANY_ID) })
    return changed
  } catch (error) {
    throw exportFault(error, place.path)
  }
}

/**
 * Compares an exported manifest with what would be exported now: `level` also where the ledger has gone on since, or
 * none was exported yet. Costs two look-ups, and the file's text where they give nothing away.
 */
export async function exportState({
  ledger,
  series,
  place,
  files,
}: ExportOptions): Promise<'level' | 'missing' | 'differs'> {
  const fact = await ledger.getFact(series, FACT)
  if (!fact || fact.revision !== (await ledger.revision(series))) return 'level'
  try {
    if ((await files.size(place.path)) === undefined) return 'missing'
    const own = createHash('sha256')
    // As answers were named then: a setting may have changed since.
    const names = String(fact.names ?? nameOf(place, ANY_ID))
    const then = { ...place, relativePath: (id: string) => names.replace(ANY_ID, id) }
    for await (const piece of pieces(ledger, series, then)) own.update(piece)
    return own.digest('hex') === (await hashOf(files, place.path)) ? 'level' : 'differs'
  } catch (error) {
    if (faultCode(error) === 'EISDIR') return 'differs'
    throw exportFault(error, place.path)
  }
}

/** Has the next export look at the file whatever was noted: another keeper may have put its own in its place. */
export const forgetExported = (ledger: Ledger, series: LedgerSeries): Promise<void> =>
  ledger.putFact(series, FACT, {})

const ANY_ID = '0'.repeat(32)

async function hashOf(files: FileSystem, path: string): Promise<string> {
  return createHash('sha256')
    .update(await files.readFile(path))
    .digest('hex')
}

/** The file's text, piece by piece, out of the ledger. */
async function* pieces(ledger: Ledger, series: LedgerSeries, place: ManifestPlace): AsyncGenerator<string> {
  const counts = noCounts()
  let latestMs: number | null = null
  let { limit } = place
  for await (const record of ledger.slices(series)) {
    const { status, completedAtMs } = record
    counts[status]++
    limit = record.limit
    if (completedAtMs !== null) latestMs = Math.max(latestMs ?? 0, completedAtMs)
  }
  let text = `${manifestHead({ ...place, limit }, summaryOf(counts, latestMs))},\n  "slices": {`
  let separator = '\n'
  for await (const record of ledger.slices(series)) {
    text += separator + manifestLine(record.key, entryOf(record, place))
    separator = ',\n'
    if (text.length < PIECE) continue
    yield text
    text = ''
  }
  yield `${text}\n  }\n}\n`
}

async function writeManifest(files: FileSystem, path: string, text: AsyncIterable<string>): Promise<void> {
  const folder = path.replace(/[/\\][^/\\]*$/, '')
  await files.makeDirectory(folder)
  const temporary = `${folder}/${TEMPORARY_PREFIX}manifest`
  const file = await createAfresh(files, temporary)
  try {
    try {
      for await (const piece of text) await file.write([Buffer.from(piece)])
      await file.sync()
    } finally {
      await file.close()
    }
    await files.rename(temporary, path)
  } catch (error) {
    await files.remove(temporary).catch(() => {})
    throw error
  }
  await files.syncDirectory(folder)
}

/** One process writes below a root, so what lies under this name was left by one that died. */
async function createAfresh(files: FileSystem, path: string): Promise<WritableFile> {
  try {
    return await files.create(path)
  } catch (error) {
    if (faultCode(error) !== 'EEXIST') throw error
    await files.remove(path)
    return files.create(path)
  }
}

function exportFault(error: unknown, path: string): unknown {
  const code = faultCode(error)
  if (code === 'ENOSPC' || code === 'EDQUOT') return diskFull(path, error)
  return code !== undefined && /^E[A-Z]+$/.test(code) ? notWritable(path, error) : error
}
