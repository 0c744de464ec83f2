import { seriesId } from '../model/series.ts'
import type { Compacted, Fold, Lake } from '../store/lake.ts'
import type { House } from './house.ts'

/**
 * Folds what was appended to the lake into its month files, and lets the ledger know of those before a delta file goes:
 * a stop at any moment leaves nothing for `verify` to find. Each series in its turn, where several pieces of work share
 * the house. No request; repeating it is harmless.
 *
 * @throws EverybarError `store.corrupt` (abort) for a damaged delta file, before anything is folded; as `Lake.compact` does.
 */
export async function compactLake(
  { ledger, turns, onEvent }: Pick<House, 'ledger' | 'turns' | 'onEvent'>,
  lake: Lake,
  signal?: AbortSignal,
): Promise<Compacted> {
  const known = new Map((await ledger.series()).map((series) => [series.seriesId, series]))
  const foldAndRecord = async (id: string, fold: Fold) => {
    const files = await fold()
    const ref = known.get(id)
    if (ref) await ledger.recordStored(ref, lake.name, [], files)
  }
  const done = await lake.compact({
    each: (series, fold) => {
      const id = seriesId(series)
      return turns ? turns.run(id, () => foldAndRecord(id, fold)) : foldAndRecord(id, fold)
    },
    ...(signal && { signal }),
  })
  onEvent({ event: 'lake_compacted', level: done.files > 0 ? 'info' : 'debug', ...done })
  return done
}
