import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { zstdDecompressSync } from 'node:zlib'
import { parquetReadObjects } from 'hyparquet'

/** Every file below `folder` by path, `/` between its parts. */
export function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort()
}

/** What people keep in a root: answers, manifests and the lake; not the ledger's own database. */
export const keptFiles = (root: string): string[] =>
  filesIn(root).filter((path) => !path.startsWith('.everybar'))

const hashOf = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex')

/** Kept files as hash and time of change. */
export const snapshot = (root: string): ReadonlyMap<string, string> =>
  new Map(
    keptFiles(root).map((path) => {
      const full = join(root, path)
      return [path, `${hashOf(full)} ${statSync(full).mtimeMs}`]
    }),
  )

/** Hash of every file of the lake. */
export const lakeHashes = (root: string): Record<string, string> =>
  Object.fromEntries(filesIn(join(root, 'lake')).map((path) => [path, hashOf(join(root, 'lake', path))]))

const columns = [
  ...['open_time', 'open', 'high', 'low', 'close', 'volume', 'close_time', 'quote_volume', 'trades'],
  ...['taker_buy_base_volume', 'taker_buy_quote_volume'],
]

/** The rows of one lake file in its own order, as numbers; read by another Parquet library than the one that wrote. */
export async function readLakeFile(path: string): Promise<readonly (readonly number[])[]> {
  const { buffer, byteOffset, byteLength } = readFileSync(path)
  const rows = await parquetReadObjects({
    file: (buffer as ArrayBuffer).slice(byteOffset, byteOffset + byteLength),
    compressors: { ZSTD: (input: Uint8Array) => new Uint8Array(zstdDecompressSync(input)) },
  })
  return rows.map((row) => columns.map((name) => Number(row[name])))
}
