import { mkdirSync, readdirSync, rmSync, statfsSync } from 'node:fs'
import { freemem } from 'node:os'
import { dirname, join } from 'node:path'

const MEMORY_DISK = '/dev/shm'
const GB = 1024 ** 3
const NAME = /^everybar-test-(\d+)$/

/**
 * The folder for what tests write, one a run: on a disk in memory where there is one with room, as the tests wait for
 * thousands of syncs that prove nothing there. `undefined` leaves it to TMPDIR.
 */
export function scratchFolder(): string | undefined {
  try {
    const { bavail, bsize } = statfsSync(MEMORY_DISK)
    const room = Math.min(bavail * bsize, freemem())
    return room < 6 * GB ? undefined : join(MEMORY_DISK, `everybar-test-${process.pid}`)
  } catch {
    return undefined
  }
}

/** Makes it, and clears away those of runs that were killed. Gives what removes it. */
export function makeScratchFolder(folder: string | undefined): () => void {
  if (folder === undefined || dirname(folder) !== MEMORY_DISK) return () => {}
  for (const name of readdirSync(MEMORY_DISK)) {
    const pid = Number(NAME.exec(name)?.[1])
    if (pid > 0 && !isRunning(pid)) rmSync(join(MEMORY_DISK, name), { recursive: true, force: true })
  }
  // Other users' processes write there too: a database server does not run as root.
  mkdirSync(folder, { recursive: true, mode: 0o755 })
  return () => rmSync(folder, { recursive: true, force: true })
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
