/**
 * `everybar/testing`: the suites every adapter of everybar passes, for adapters of your own. They register tests with
 * vitest, which has to be installed beside everybar.
 */
export type { Archive, ArchivedResponse, ArchiveFolder } from '../archive/archive.ts'
export type { Ledger, LedgerSeries, SliceRecord, SliceStatus } from '../ledger/ledger.ts'
export type { EndpointSpec, Source } from '../source/source.ts'
export type { AppendEntry, CommitResult, Store, StoreTraits } from '../store/store.ts'
export { type ArchiveSubject, archiveContract } from './archive-contract.ts'
export { type CrashFileSystem, crashFileSystem, PowerCut } from './crash-filesystem.ts'
export {
  type HostileMoment,
  type HostileRun,
  type HostileSubject,
  hostileContract,
} from './hostile-contract.ts'
export { type LedgerSubject, ledgerContract } from './ledger-contract.ts'
export { type AnswerCase, type SourceSubject, sourceContract } from './source-contract.ts'
export { type StorePlace, storeContract } from './store-contract.ts'
