import type { LedgerSeries, RunRecord } from './ledger.ts'

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

export const bySeries = (a: LedgerSeries, b: LedgerSeries): number =>
  compare(a.seriesId, b.seriesId) || compare(a.endpoint, b.endpoint)

export const latestFirst = (a: RunRecord, b: RunRecord): number =>
  b.startedAtMs - a.startedAtMs || compare(b.runId, a.runId)
