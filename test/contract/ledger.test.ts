import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
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
