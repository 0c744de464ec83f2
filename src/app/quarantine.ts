import { copyFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Mover } from '../pipeline/repair.ts'
import { nodeFileSystem } from './filesystem.ts'

/** Where files go that were taken out of the way: nothing everybar did not make again is ever deleted. */
const QUARANTINE = '.everybar/quarantine'

/**
 * Moves files below a root. What is set aside keeps its path below `.everybar/quarantine/`, with a number where that is
 * taken; each move is durable.
 *
 * @param onMoved called with the path it had.
 */
export function moverIn(root: string, onMoved: (path: string) => void): Mover {
  const move = async (from: string, to: string) => {
    if ((await nodeFileSystem.size(join(root, from))) === undefined) return
    await nodeFileSystem.makeDirectory(dirname(join(root, to)))
    await nodeFileSystem.rename(join(root, from), join(root, to))
    await nodeFileSystem.syncDirectory(dirname(join(root, to)))
    await nodeFileSystem.syncDirectory(dirname(join(root, from)))
  }
  const placeFor = async (path: string) => {
    let to = `${QUARANTINE}/${path}`
    for (let n = 1; (await nodeFileSystem.size(join(root, to))) !== undefined; n++)
      to = `${QUARANTINE}/${path}.${n}`
    return to
  }
  const setAside = async (path: string) => {
    if ((await nodeFileSystem.size(join(root, path))) === undefined) return
    await move(path, await placeFor(path))
    onMoved(path)
  }
  return {
    rename: move,
    setAside,
    makeRoom: async (path) => {
      const found = await stat(join(root, path)).catch(() => undefined)
      if (found && !found.isFile()) await setAside(path)
    },
    copyAside: async (path) => {
      if ((await nodeFileSystem.size(join(root, path))) === undefined) return
      const to = join(root, await placeFor(path))
      await nodeFileSystem.makeDirectory(dirname(to))
      await copyFile(join(root, path), to)
      onMoved(path)
    },
  }
}
