import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { notWritable } from '../ledger/faults.ts'
import type { EpochMs } from '../model/time.ts'

/**
 * Notes which keeper has the ledger of a root, in `<root>/.everybar/keeper.json`: records of one that had it before are
 * older than what the other has done since, and nothing in them says so.
 *
 * @returns since when it is this keeper and no other; 0 for always. A note that cannot be read is as good as another's.
 * @throws EverybarError `ledger.not-writable` (abort).
 */
export function noteKeeper(root: string, keeper: string, nowMs: EpochMs): EpochMs {
  const path = join(root, '.everybar', 'keeper.json')
  const noted = read(path)
  if (noted?.keeper === keeper && Number.isSafeInteger(noted.sinceMs)) return noted.sinceMs!
  const sinceMs = noted ? nowMs : 0
  try {
    const temporary = `${path}.tmp`
    writeFileSync(temporary, `${JSON.stringify({ keeper, sinceMs })}\n`, { flush: true })
    renameSync(temporary, path)
  } catch (error) {
    throw notWritable(path, error)
  }
  return sinceMs
}

/** `undefined` where nothing was noted yet. */
function read(path: string): { readonly keeper?: string; readonly sinceMs?: EpochMs } | undefined {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw notWritable(path, error)
  }
  try {
    return (JSON.parse(text) ?? {}) as { readonly keeper?: string; readonly sinceMs?: EpochMs }
  } catch {
    return {}
  }
}
