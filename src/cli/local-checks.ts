import { constants } from 'node:fs'
import { access, opendir, stat, statfs } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Check } from '../app/commands.ts'
import { messageOf } from '../model/errors.ts'
import { bytes } from './format.ts'

const FREE_BYTES_MIN = 1_000_000_000
/** Files looked at for leftovers; a larger root is sampled. */
const FILES_MAX = 200_000

/** What can be said of this machine and the root without a ledger and without the network. */
export async function localChecks(root: string): Promise<readonly Check[]> {
  return Promise.all([
    check('node', async () => ({ state: 'pass', detail: process.versions.node })),
    check('duckdb', duckdbLoads),
    check('root', () => rootIsWritable(root)),
    check('free space', () => freeSpace(root)),
    check('leftover files', () => leftovers(root)),
  ])
}

async function check(name: string, look: () => Promise<Omit<Check, 'name'>>): Promise<Check> {
  try {
    return { name, ...(await look()) }
  } catch (error) {
    const hint = 'Mend what the message says, then run everybar doctor again.'
    return { name, state: 'fail', detail: messageOf(error), hint }
  }
}

async function duckdbLoads(): Promise<Omit<Check, 'name'>> {
  try {
    const duckdb = await import('@duckdb/node-api')
    return { state: 'pass', detail: `DuckDB ${duckdb.version()}` }
  } catch (error) {
    const hint = 'Install again with optional dependencies: npm install --include=optional.'
    return { state: 'fail', detail: messageOf(error), hint }
  }
}

/** The root, or the nearest folder above it that is there. */
async function existing(folder: string): Promise<string> {
  const found = await stat(folder).catch(() => undefined)
  return found || folder === dirname(folder) ? folder : existing(dirname(folder))
}

async function rootIsWritable(root: string): Promise<Omit<Check, 'name'>> {
  const folder = await existing(root)
  if (!(await stat(folder)).isDirectory()) {
    return { state: 'fail', detail: `${folder} is a file`, hint: 'Choose another --root.' }
  }
  try {
    await access(folder, constants.W_OK)
  } catch (error) {
    return { state: 'fail', detail: messageOf(error), hint: `Allow this user to write to ${folder}.` }
  }
  return { state: 'pass', detail: folder === root ? root : `${root} (not there yet)` }
}

async function freeSpace(root: string): Promise<Omit<Check, 'name'>> {
  const { bavail, bsize } = await statfs(await existing(root))
  const free = bavail * bsize
  if (free >= FREE_BYTES_MIN) return { state: 'pass', detail: bytes(free) }
  return {
    state: 'warn',
    detail: bytes(free),
    hint: 'Make room: a year of 1m bars takes about 100 MB of raw answers.',
  }
}

/** Temporary files that a killed process left. Harmless: writers clean up after themselves at the next run. */
async function leftovers(root: string): Promise<Omit<Check, 'name'>> {
  if (!(await stat(root).catch(() => undefined))?.isDirectory()) return { state: 'pass', detail: 'none' }
  let seen = 0
  const found: string[] = []
  const folders = [root]
  for (let folder = folders.pop(); folder !== undefined && seen < FILES_MAX; folder = folders.pop()) {
    for await (const entry of await opendir(folder)) {
      seen++
      if (entry.isDirectory()) folders.push(join(folder, entry.name))
      else if (/^\.tmp-|\.tmp$/.test(entry.name)) found.push(join(folder, entry.name))
    }
  }
  if (found.length === 0) return { state: 'pass', detail: 'none' }
  const hint = 'They are harmless, and can be deleted while nothing runs.'
  return { state: 'warn', detail: `${found.length}, for instance ${found[0]}`, hint }
}
