import { type BarBatch, spanOf } from '../model/bar.ts'
import type { EverybarError } from '../model/errors.ts'
import type { Store } from '../store/store.ts'
import type { House, SeriesJob } from './house.ts'
import { rebuildStore } from './reconcile-store.ts'

/**
 * Makes the months of a batch again from the archive, one of which is not as it was written: merged with the batch, what
 * is wrong with it would pass for ours.
 *
 * @throws `altered` where an answer of theirs cannot be read: the store may be the last to have its bars, which is for
 *   `repair` to find out.
 */
export async function remakeAltered(
  house: Pick<House, 'archive' | 'ledger' | 'onEvent'>,
  job: SeriesJob,
  store: Store,
  batch: BarBatch,
  altered: EverybarError,
): Promise<void> {
  const range = spanOf(batch)
  if (!range) return
  const fields = { series: job.id, store: store.name, message: altered.message }
  house.onEvent({ event: 'month_altered', level: 'warn', ...fields })
  await rebuildStore(house, job, store, { range, unreadable: altered })
}
