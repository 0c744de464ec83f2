import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type MemoryShelf, openMemoryStore } from '../../src/store/memory/open-memory-store.ts'
import { openLake } from '../../src/store/parquet/open-lake.ts'
import { storeContract } from '../../src/testing/store-contract.ts'

storeContract('memory', async () => {
  const shelf: MemoryShelf = new Map()
  return { open: async () => openMemoryStore({ shelf }) }
})

storeContract('parquet', async () => {
  // Characters that SQL and path patterns read as something else have to be harmless in the root too.
  const root = await mkdtemp(join(tmpdir(), "everybar lake's [a-z]*-"))
  return { open: () => openLake({ root }), remove: () => rm(root, { recursive: true, force: true }) }
})
