import type { SliceRecord, SliceStatus } from './ledger.ts'

export const sliceStatuses = ['pending', 'ok', 'partial', 'empty', 'failed', 'quarantined'] as const

/** Whether a slice needs no further request. */
export const isSettled = (status: SliceStatus): boolean => status === 'ok' || status === 'empty'

/** Whether there is an archived answer a store can be filled from. */
export const isAnswered = ({ status, sha256 }: Pick<SliceRecord, 'status' | 'sha256'>): boolean =>
  sha256 !== null && status !== 'failed' && status !== 'pending'

/** Whether a record says more than "answered, nothing missing". */
export const isNotable = ({ status, findings }: Pick<SliceRecord, 'status' | 'findings'>): boolean =>
  status !== 'ok' || findings.length > 0

export const noCounts = (): Record<SliceStatus, number> => ({
  pending: 0,
  ok: 0,
  partial: 0,
  empty: 0,
  failed: 0,
  quarantined: 0,
})
