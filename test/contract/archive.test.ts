import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { nodeFileSystem } from '../../src/app/filesystem.ts'
import { openFsArchive } from '../../src/archive/fs/fs-archive.ts'
import { memoryArchive } from '../../src/archive/memory/memory-archive.ts'
import { archiveContract } from '../../src/testing/archive-contract.ts'

archiveContract('memory', async () => ({ open: memoryArchive, keepsAcrossOpens: false }))

const kinds = [
  { compression: 'none', threads: 0 },
  { compression: 'none', threads: 2 },
  { compression: 'zstd', threads: 1 },
] as const
for (const { compression, threads } of kinds) {
  archiveContract(`files, ${compression}, ${threads} threads`, async () => {
    const root = await mkdtemp(join(tmpdir(), 'everybar-archive-'))
    return {
      open: () => openFsArchive({ root, compression, threads, files: nodeFileSystem }),
      keepsAcrossOpens: true,
      dispose: () => rm(root, { recursive: true }),
    }
  })
}
