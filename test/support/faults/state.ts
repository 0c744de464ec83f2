import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { nodeFileSystem } from '../../../src/app/filesystem.ts'
import { openFsArchive } from '../../../src/archive/fs/fs-archive.ts'
import type { SliceRecord } from '../../../src/ledger/ledger.ts'
import { openSqliteLedger } from '../../../src/ledger/sqlite/sqlite-ledger.ts'
import { filesIn, lakeHashes } from '../root.ts'

/** All that a root keeps, without the moments at which it came to it. */
export interface RootState {
  readonly lake: Readonly<Record<string, string>>
  readonly answers: readonly string[]
  readonly ledger: readonly unknown[]
  readonly manifests: Readonly<Record<string, string>>
  /** Files nobody should find: temporary ones, and any of unknown kind. */
  readonly strangers: readonly string[]
}

/** Times of asking and answering; they differ from run to run. */
const moments = /^(requestedAtMs|completedAtMs|venueTimeMs|askedAtMs|askedAt|url)$/

const withoutMoments = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(value, (name, item: unknown) => (moments.test(name) ? undefined : item)))

const known =
  /^(lake\/.*\.parquet|.*\/responses\/[0-9a-f]{32}(\.\d+)?\.json|.*\/manifest\.json|.*\/evidence\/.*|\.everybar\/(ledger\.db(\.seal|-wal|-shm)?|lock\.db(-journal)?|.*\.jsonl?))$/

/** Reads a root that nobody writes to. */
export async function rootState(root: string): Promise<RootState> {
  return {
    lake: existsSync(join(root, 'lake')) ? lakeHashes(root) : {},
    answers: await answersOf(root),
    ledger: await ledgerOf(root),
    manifests: Object.fromEntries(
      filesIn(root)
        .filter((path) => path.endsWith('manifest.json'))
        .map((path) => [path, withoutTimes(readFileSync(join(root, path), 'utf8'))]),
    ),
    strangers: filesIn(root).filter((path) => !known.test(path)),
  }
}

/** Every answer, current or older: its key, its place and the hash of its bytes. */
async function answersOf(root: string): Promise<string[]> {
  const archive = openFsArchive({ root, files: nodeFileSystem, compression: 'none' })
  const all: string[] = []
  for await (const folder of archive.folders()) {
    for await (const { sliceId, version } of archive.list(folder)) {
      const { meta, sha256, body } = (await archive.get(folder, sliceId, version))!
      const hash = createHash('sha256').update(body).digest('hex')
      if (hash !== sha256) throw new Error(`${sliceId} has another hash than it says`)
      all.push(`${meta.sliceKey} ${version} ${meta.httpStatus} ${hash}`)
    }
  }
  return all.sort()
}

async function ledgerOf(root: string): Promise<unknown[]> {
  const ledger = openSqliteLedger({ path: join(root, '.everybar/ledger.db'), readOnly: true })
  const all: unknown[] = []
  try {
    for (const series of await ledger.series()) {
      const slices: SliceRecord[] = []
      for await (const record of ledger.slices(series)) slices.push(record)
      const stored: unknown[] = []
      for await (const facet of ledger.stored(series, 'parquet')) stored.push(facet)
      const files: unknown[] = []
      for await (const file of ledger.storedFiles(series, 'parquet')) files.push(file)
      const facts = [await ledger.getFact(series, 'first-bar'), await ledger.getFact(series, 'last-bar')]
      all.push(withoutMoments({ series, slices, stored, files, facts, wanted: await ledger.wanted(series) }))
    }
  } finally {
    await ledger[Symbol.asyncDispose]()
  }
  return all
}

const withoutTimes = (text: string): string =>
  text.replace(/"\d{4}-\d\d-\d\dT[^"]*"/g, '"…"').replace(/"(\w*(?:at|At|_ms|Ms))": ?\d+/g, '"$1": 0')

/** Where two roots differ, a line for each part that does. */
export function differences(expected: RootState, found: RootState): string[] {
  return (Object.keys(expected) as (keyof RootState)[]).flatMap((part) => {
    const [a, b] = [JSON.stringify(expected[part]), JSON.stringify(found[part])]
    if (a === b) return []
    let at = 0
    while (a[at] === b[at]) at++
    const around = (text: string) => text.slice(Math.max(0, at - 60), at + 100)
    return [`${part} differs: …${around(b)}… instead of …${around(a)}…`]
  })
}
