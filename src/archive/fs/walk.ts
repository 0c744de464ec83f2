import { join } from 'node:path'
import { type FileSystem, faultCode } from '../../model/filesystem.ts'
import type { ArchiveFolder } from '../archive.ts'
import { folderOf } from '../paths.ts'
import { readFault } from './faults.ts'

async function* directoriesIn(files: FileSystem, path: string): AsyncIterable<string> {
  try {
    for await (const entry of files.list(path)) if (entry.kind === 'directory') yield entry.name
  } catch (error) {
    const code = faultCode(error)
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw readFault(error, path)
  }
}

/** Every folder of the archive's shape below `root`, whether it holds answers or not. */
export async function* walkFolders(files: FileSystem, root: string): AsyncIterable<ArchiveFolder> {
  for await (const venue of directoriesIn(files, root)) {
    for await (const directory of directoriesIn(files, join(root, venue))) {
      const raw = join(root, venue, directory, 'raw')
      for await (const symbol of directoriesIn(files, raw)) {
        for await (const timeframe of directoriesIn(files, join(raw, symbol))) {
          const folder = folderOf(venue, directory, symbol, timeframe)
          if (folder) yield folder
        }
      }
    }
  }
}
