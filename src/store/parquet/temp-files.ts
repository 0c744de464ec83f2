import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { DAY_MS } from '../../model/time.ts'
import type { LakeFilesystem } from './filesystem.ts'

const host =
  hostname()
    .replace(/[^A-Za-z0-9]/g, '-')
    .slice(0, 40) || 'host'

/** Where files are written before they are renamed into place: beside the month files, so that a rename suffices. */
export const tempFolder = (root: string): string => join(root, 'lake', '.tmp')

/** A new name that says who writes it: `<host>.<pid>.<random>.tmp`. Does not end in `.parquet`, so no reader takes it. */
export const tempPath = (root: string): string =>
  join(tempFolder(root), `${host}.${process.pid}.${randomBytes(6).toString('hex')}.tmp`)

/**
 * Removes what writers that no longer live have left. A file of a living process stays; one of another machine goes
 * when it has not changed for a day. A folder that cannot be cleaned is no obstacle to anything.
 *
 * @returns how many files went.
 */
export async function removeLeftovers(root: string, fs: LakeFilesystem): Promise<number> {
  let removed = 0
  try {
    for (const name of await fs.list(tempFolder(root))) {
      const match = /^([A-Za-z0-9-]+)\.(\d+)\.[0-9a-f]{12}\.tmp$/.exec(name)
      if (!match) continue
      const path = join(tempFolder(root), name)
      const found = await fs.stat(path)
      if (!found || !isLeftover(match[1]!, Number(match[2]), found.changedMs)) continue
      await fs.remove(path)
      removed++
    }
  } catch {
    // Reading a lake has to work where nothing may be removed; writing will tell what is wrong.
  }
  return removed
}

function isLeftover(writerHost: string, pid: number, changedMs: number): boolean {
  const startedMs = performance.timeOrigin
  if (writerHost !== host) return changedMs < startedMs - DAY_MS
  // The number of a process may be used again, after a restart of a container for certain.
  return pid === process.pid ? changedMs < startedMs : !isAlive(pid)
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
