import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { nodeFileSystem } from '../../src/app/filesystem.ts'
import type { LedgerSeries } from '../../src/ledger/ledger.ts'
import { openManifestLedger } from '../../src/ledger/manifest/manifest-ledger.ts'
import type { ManifestPlace } from '../../src/ledger/manifest-format.ts'
import { memoryLedger } from '../../src/ledger/memory/memory-ledger.ts'
import { openSqliteLedger } from '../../src/ledger/sqlite/sqlite-ledger.ts'
import { ledgerContract } from '../../src/testing/ledger-contract.ts'

const temporaryRoot = () => mkdtemp(join(tmpdir(), 'everybar-ledger-'))

ledgerContract('memory', async () => ({ open: async () => memoryLedger(), keepsAcrossOpens: false }))

ledgerContract('sqlite', async () => {
  const root = await temporaryRoot()
  return {
    open: async () => openSqliteLedger({ path: join(root, '.everybar', 'ledger.db') }),
    keepsAcrossOpens: true,
    dispose: () => rm(root, { recursive: true }),
  }
})

ledgerContract('manifest', async () => {
  const root = await temporaryRoot()
  return {
    open: async () => openManifestLedger({ root, files: nodeFileSystem, placeOf: placeIn(root) }),
    keepsAcrossOpens: true,
    dispose: () => rm(root, { recursive: true }),
  }
})

const placeIn =
  (root: string) =>
  ({ seriesId, endpoint }: LedgerSeries): ManifestPlace => {
    const [venue, , symbol, interval] = seriesId.split(':')
    const directory = endpoint.split('.')[1]!
    const path = join(root, venue!, directory, 'raw', symbol!, interval!, 'manifest.json')
    return { path, endpoint: directory, symbol: symbol!, interval: interval!, limit: 1000 }
  }
